package trace_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/trace"
)

const (
	ids    = "-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
	parent = "00" + ids + "01"
)

func TestParse(t *testing.T) {
	zeros := strings.Repeat("0", 32)
	for _, tt := range []struct{ parent, state, wantParent, wantState string }{
		{parent, "", parent, ""},
		{parent, "a=1,b@c=2", parent, "a=1,b@c=2"},
		{parent, " a=1 , ,b=x y\t", parent, "a=1,b=x y"},
		{"00" + ids + "00", "", "00" + ids + "00", ""},
		{"00" + ids + "ff", "", "00" + ids + "03", ""},
		{"cc" + ids + "01-what-follows", "a=1", parent, "a=1"},
		{"", "a=1", "", ""},
		{"ff" + ids + "01", "", "", ""},
		{parent + "-more", "", "", ""},
		{"cc" + ids + "01more", "", "", ""},
		{"cc" + ids + "01-" + strings.Repeat("x", trace.StateLimit), "", "", ""},
		{strings.ToUpper(parent), "", "", ""},
		{"00-" + zeros + "-00f067aa0ba902b7-01", "", "", ""},
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-" + zeros[:16] + "-01", "", "", ""},
		{parent[:54], "", "", ""},
		{strings.ReplaceAll(parent, "-", "0"), "", "", ""},
		{parent, "a", parent, ""},
		{parent, "A=1", parent, ""},
		{parent, "a=1=2", parent, ""},
		{parent, "a=", parent, ""},
		{parent, "@a=1", parent, ""},
		{parent, "a@b@c=1", parent, ""},
		{parent, "a=\x00", parent, ""},
		{parent, "a=é", parent, ""},
		{parent, strings.Repeat("a=1,", 33), parent, ""},
		{parent, "a=" + strings.Repeat("x", 257), parent, ""},
		{parent, strings.Repeat("a", 257) + "=1", parent, ""},
		{parent, strings.Repeat("a=1234567890123456789012345678,", 17), parent, ""},
	} {
		if c := trace.Parse(tt.parent, tt.state); c.Parent != tt.wantParent || c.State != tt.wantState {
			t.Errorf("%q, %q: %q, %q; want %q, %q", tt.parent, tt.state, c.Parent, c.State, tt.wantParent, tt.wantState)
		}
	}
}

func TestSampled(t *testing.T) {
	for flags, want := range map[string]bool{"00": false, "01": true, "02": false, "03": true, "fe": false} {
		if got := trace.Parse("00"+ids+flags, "").Sampled(); got != want {
			t.Errorf("%s is sampled: %v", flags, got)
		}
	}
	if new(trace.Context).Sampled() || (trace.Context{Parent: "garbage"}).Sampled() {
		t.Error("no trace is sampled")
	}
}

// A context survives snapshots, and those of the previous version are read.
func TestText(t *testing.T) {
	for _, c := range []trace.Context{{}, {Parent: parent}, {Parent: parent, State: "a=x y,b=2"}} {
		body, err := json.Marshal(c)
		var back trace.Context
		if err == nil {
			err = json.Unmarshal(body, &back)
		}
		if err != nil || back != c {
			t.Errorf("%s: %+v, %v", body, back, err)
		}
	}
	var old trace.Context
	if err := json.Unmarshal([]byte(`"`+parent+`"`), &old); err != nil || old.Parent != parent {
		t.Errorf("%+v, %v", old, err)
	}
}

// The span of a flow is the root of a trace that was begun with it, and otherwise a child of the caller's.
func TestRoot(t *testing.T) {
	begun := trace.New("f")
	now := time.Unix(1, 0)
	for _, of := range []trace.Flow{trace.Of(begun, "f"), trace.OfRejected(begun, "f", 7)} {
		if s := of.Root(now, now); s.Parent != "" || s.TraceID() != begun.TraceID() {
			t.Errorf("%+v", s)
		}
	}
	called := trace.Parse(parent, "")
	root := trace.Of(called, "f").Root(now, now.Add(-time.Second))
	if root.Parent != called.SpanID() || !root.Remote || root.End != now {
		t.Errorf("%+v", root)
	}
	if again := trace.Of(trace.Derive("f", "1"), "f").Root(now, now); again.Parent != "" || again.TraceID() == trace.Derive("f", "2").TraceID() {
		t.Errorf("%+v", again)
	}
}

// Each span has an id of its own, which executors know.
func TestIDs(t *testing.T) {
	c, now := trace.Parse(parent, ""), time.Unix(1, 0)
	var all []string
	for _, of := range []trace.Flow{trace.Of(c, "f"), trace.Of(c, "g"), trace.OfRejected(c, "f", 7), trace.OfRejected(c, "f", 8)} {
		root := of.Root(now, now)
		all = append(all, root.SpanID())
		for _, s := range []trace.Span{of.Phase(trace.PhasePlan, now, now), of.Phase(trace.PhaseQueue, now, now), of.Job("plan", "p", now, now)} {
			if s.Parent != root.SpanID() || s.Remote {
				t.Errorf("%+v is not below %+v", s, root)
			}
			all = append(all, s.SpanID())
		}
	}
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("some of these are the same: %v", all)
	}
	if s := trace.Of(c, "f").Job("j", "p", now, now); s.SpanID() != c.Job("f", "j").SpanID() || s.Name != "job p" {
		t.Errorf("%+v", s)
	}
	if !(trace.Context{}).Job("f", "j").IsZero() {
		t.Error("a job without a trace has a context")
	}
}

func TestCarriers(t *testing.T) {
	c := trace.Parse(parent, "a=1")
	if trace.FromMap(c.Map()) != c || len((trace.Context{}).Map()) != 0 {
		t.Errorf("%v", c.Map())
	}
	if got := c.Environment(); !slices.Equal(got, []string{"TRACEPARENT=" + parent, "TRACESTATE=a=1"}) || (trace.Context{}).Environment() != nil {
		t.Errorf("%v", got)
	}
	env := map[string]string{"TRACEPARENT": parent, "TRACESTATE": "a=1"}
	if trace.FromEnvironment(func(name string) string { return env[name] }) != c {
		t.Error("the environment has another context")
	}
	if ctx := trace.NewContext(t.Context(), c); trace.FromContext(ctx) != c || !trace.FromContext(t.Context()).IsZero() {
		t.Error("a Go context carries another context")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(parent, "a=1,b@c=2")
	f.Add("cc"+ids+"01-what-follows", " ,a=1")
	f.Fuzz(func(t *testing.T, parent, state string) {
		c := trace.Parse(parent, state)
		if trace.Parse(c.Parent, c.State) != c || len(c.State) > trace.StateLimit || c.IsZero() != (c.Parent == "") {
			t.Errorf("%q, %q: %+v", parent, state, c)
		}
		_ = c.Job("f", "j").Sampled()
	})
}
