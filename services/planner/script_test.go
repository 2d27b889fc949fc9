package planner

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/script"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
)

func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		l := DefaultLimits()
		l.Flows, l.Edges = 2, 5
		return (&machine{t: t, s: NewState(l, "0"), now: time.Unix(1_000_000, 0).UTC()}).do
	})
}

// machine folds the events of script lines into a state, and prints the decisions. Decided events are folded at once,
// as if received from EVENTS.
type machine struct {
	t   *testing.T
	s   *State
	now time.Time
}

func (m *machine) do(line string) string {
	f := strings.Fields(line)
	switch f[0] {
	case "validated": // validated f greet=hello,again edges: hello.greeting>again.name again.greeting>outputs.x const>hello.name
		return m.event(contract.TypeFlowValidated, f[1], validated(f[2:]))
	case "completed":
		return m.event(contract.TypeFlowCompleted, f[1], &contract.FlowCompleted{})
	case "panicked":
		return m.event(contract.TypeFlowPanic, f[1], &contract.FlowPanic{})
	case "released":
		return m.feed(contract.Event{Type: FactReleased, Subject: f[1]})
	case "started":
		return m.event(contract.TypeExecutorStarted, f[1], &contract.ExecutorStarted{Executor: f[1], Progdef: f[2], Revision: "r1"})
	case "exited":
		return m.event(contract.TypeExecutorExited, f[1], &contract.ExecutorExited{Executor: f[1], Progdef: f[2], Revision: "r1"})
	case "tick":
		d, _ := time.ParseDuration(f[1])
		m.now = m.now.Add(d)
		return m.feed(contract.Event{})
	case "orphans": // orphans streams=f,g jobs=f mailboxes=greet.r1
		return m.orphans(f[1:])
	}
	m.t.Fatalf("unknown command %q", line)
	return ""
}

func validated(args []string) *contract.FlowValidated {
	d := &contract.FlowValidated{
		Flow:     flow.Flow{Nodes: map[string]flow.Node{}, Deadline: document.Duration(time.Hour)},
		Progdefs: map[string]progdef.Pinned{},
	}
	for _, a := range args {
		if prog, nodes, ok := strings.Cut(a, "="); ok {
			d.Progdefs[prog] = progdef.Pinned{Revision: "r1"}
			for n := range strings.SplitSeq(nodes, ",") {
				d.Flow.Nodes[n] = flow.Node{Progdef: prog, Revision: "r1"}
			}
			continue
		}
		from, to, _ := strings.Cut(a, ">")
		e := flow.Edge{From: from, To: to, Type: "utf8-string"}
		if from == "const" {
			e.From, e.Const = "", &flow.Const{Values: []flow.Value{flow.Value("Alice"), flow.Value("Bob")}}
		}
		if name, ok := strings.CutPrefix(to, "outputs."); ok {
			e.To, e.Output = "", name
		}
		d.Flow.Edges = append(d.Flow.Edges, e)
	}
	return d
}

func (m *machine) orphans(args []string) string {
	have := inventory{edges: map[string][]string{}, mailboxes: map[string]string{}}
	for _, a := range args {
		what, list, _ := strings.Cut(a, "=")
		for x := range strings.SplitSeq(list, ",") {
			switch what {
			case "streams":
				have.streams = append(have.streams, x)
			case "edges":
				have.edges["EDGES-0"] = append(have.edges["EDGES-0"], x)
			case "jobs":
				have.jobs = append(have.jobs, x)
			case "mailboxes":
				have.mailboxes[x] = x
			}
		}
	}
	o := m.s.orphans(have)
	return fmt.Sprintf("edges=%v streams=%v jobs=%v mailboxes=%v", o.edges["EDGES-0"], o.streams, o.jobs, o.mailboxes)
}

func (m *machine) event(t contract.Type, subject string, data any) string {
	return m.feed(contract.Event{Type: t, Subject: subject, Time: m.now, Data: data})
}

func (m *machine) feed(e contract.Event) string {
	touched := Evolve(m.s, e)
	if e.Type == "" { // time has passed
		touched = Open(m.s)
	}
	var out []string
	for len(touched) > 0 {
		effects, _ := Decide(m.s, touched[0], m.now)
		touched = touched[1:]
		for _, x := range effects {
			x.Time = m.now
			body, _ := json.MarshalIndent(x.Data, "", " ")
			out = append(out, fmt.Sprintf("%s %s %s", x.Type, x.Subject, body))
			touched = append(touched, Evolve(m.s, x)...)
		}
	}
	return strings.Join(out, "\n")
}

// The same constant always produces the same frames, which decode to its records.
func TestConstantFrames(t *testing.T) {
	var values []flow.Value
	for i := range 50 {
		values = append(values, flow.Value(strings.Repeat("x", i*i*100)))
	}
	frames, err := stream.Frames(values)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := stream.Frames(values)
	if !slices.EqualFunc(frames, again, slices.Equal) {
		t.Error("the frames differ the second time")
	}
	d := wire.NewDecoder(wire.DefaultMaxRecord)
	n := 0
	for _, frame := range frames {
		if _, err := d.Frame(frame); err != nil {
			t.Fatal(err)
		}
		for {
			record, ok, err := d.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if len(record) != len(values[n]) {
				t.Fatalf("record %d has %d bytes, want %d", n, len(record), len(values[n]))
			}
			n++
		}
	}
	if n != len(values) || !d.Ended() {
		t.Errorf("%d records, ended %v; want %d and the end", n, d.Ended(), len(values))
	}
}
