package aggregator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/trace"
)

// A flow has the spans of the phases that it has reached and of the jobs that have run, however it ends.
func TestSpans(t *testing.T) {
	const begun = "submit f; tick 1s; validated f; tick 2s; planned f a:greet b:shout; tick 3s; spawned f; tick 1s"
	for name, tt := range map[string]struct{ script, want string }{
		"completed": {begun + "; started f a x1; tick 1s; started f b x2; tick 1s; done f a x1; tick 1s; done f b x2", `
			flow 0s 10s [completed f]
			validate 0s 1s [f]
			plan 1s 3s [f]
			queue 3s 6s [f]
			spawn 6s 8s [f]
			job greet 7s 9s [a greet r1 x1 done f]
			job shout 8s 10s [b shout r1 x2 done f]`},
		"panicked": {begun + "; started f a x1; tick 1s; panic f a x1 error a secret", `
			flow 0s 8s panic: error [panic error a f]
			validate 0s 1s [f]
			plan 1s 3s [f]
			queue 3s 6s [f]
			spawn 6s 8s [f]
			job greet 7s 8s panic: error [a greet r1 x1 panicked error f]`},
		"of an unknown kind": {begun + "; started f a x1; panic f a x1 made-up", `
			flow 0s 7s panic: other [panic other a f]
			validate 0s 1s [f]
			plan 1s 3s [f]
			queue 3s 6s [f]
			spawn 6s 7s [f]
			job greet 7s 7s panic: other [a greet r1 x1 panicked other f]`},
		"crashed": {begun + "; started f a x1; tick 1s; exited x1 greet 3", `
			flow 0s 8s panic: crash [panic crash a f]
			validate 0s 1s [f]
			plan 1s 3s [f]
			queue 3s 6s [f]
			spawn 6s 8s [f]
			job greet 7s 8s panic: crash [a greet r1 x1 panicked crash f]`},
		"never started": {begun + "; runs x1 greet; exited x1 greet 3; runs x2 greet; exited x2 greet 3; tick 1s; runs x3 greet; exited x3 greet 3", `
			flow 0s 8s panic: crash [panic crash a f]
			validate 0s 1s [f]
			plan 1s 3s [f]
			queue 3s 6s [f]
			spawn 6s 8s [f]
			job greet 6s 8s panic: crash [a greet r1 panicked crash f]`},
		"cancelled while a job does not answer": {begun + "; started f a x1; cancel f; tick 1s", `
			flow 0s 7.15s [cancelled f]
			validate 0s 1s [f]
			plan 1s 3s [f]
			queue 3s 6s [f]
			spawn 6s 7.15s [f]
			job greet 7s 7.15s [a greet r1 x1 running f]`},
		"cancelled in the queue": {"submit f; validated f; tick 1s; planned f a:greet; tick 1s; cancel f", `
			flow 0s 2s [cancelled f]
			validate 0s 0s [f]
			plan 0s 1s [f]
			queue 1s 2s [f]`},
		"rejected by the planner": {"submit f; validated f; tick 1s; rejected f", `
			flow 0s 1s rejected: other [rejected other f]
			validate 0s 0s [f]
			plan 0s 1s rejected: other [f]`},
		"rejected by the validator": {"submit f; tick 1s; refused f", `
			flow 1s 1s rejected: other [rejected other f]
			validate 1s 1s rejected: other [f]`},
		"not at an end":  {begun + "; started f a x1", ""},
		"not of a flow":  {"runs x1 greet; exited x1 greet 3; deadletter f", ""},
		"an unknown one": {"cleaned f", ""},
	} {
		for _, sampled := range []bool{true, false} {
			m, want := newMachine(t), ""
			m.of = trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "")
			if sampled {
				m.of, want = trace.New("f"), strings.ReplaceAll(strings.TrimSpace(tt.want), "\t", "")
			}
			for line := range strings.SplitSeq(tt.script, "; ") {
				m.do(line)
			}
			if got := m.told(); got != want {
				t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
			}
		}
	}
}

// A rejection names its submission, with which its spans begin. Another one of the same flow has other spans.
func TestSpansOfRejectedSubmissions(t *testing.T) {
	m := newMachine(t)
	m.of = trace.New("f")
	for range 2 {
		m.do("submit f")
		submit := m.seq
		m.do("tick 1s")
		m.feed(contract.Event{
			Type: contract.TypeFlowRejected, Subject: "f", Source: contract.Source("validator"), Cause: submit,
			Data: &contract.FlowRejected{Problems: problem.List{{Code: problem.UnknownPort, Message: "secret"}}},
		})
	}
	const rejected = " rejected: unknown-port [rejected unknown-port f]\n"
	const validate = " rejected: unknown-port [f]\n"
	want := "flow 0s 1s" + rejected + "validate 0s 1s" + validate + "flow 1s 2s" + rejected + "validate 1s 2s" + validate
	if got := m.told() + "\n"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if len(m.spans) == 4 && m.spans[0].SpanID() == m.spans[2].SpanID() {
		t.Error("two submissions have the same span")
	}
}

// told returns the spans so far, each on a line with its times and values.
func (m *machine) told() string {
	var lines []string
	for _, s := range m.spans {
		var values []string
		for _, a := range s.Attributes {
			if a[1] != "" {
				values = append(values, a[1])
			}
		}
		line := fmt.Sprintf("%s %s %s %s %v", s.Name, m.since(s.Start), m.since(s.End), s.Error, values)
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

// Spans do not depend on whether a service was started from a snapshot in between.
func TestSpansAfterASnapshot(t *testing.T) {
	var told []string
	for _, restarts := range []bool{false, true} {
		m := newMachine(t)
		m.of = trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1")
		for _, line := range []string{
			"submit f", "tick 1s", "validated f", "tick 1s", "planned f a:greet", "tick 1s", "spawned f", "tick 1s", "started f a x1", "tick 1s", "done f a x1",
		} {
			m.do(line)
			if restarts {
				m.reload()
			}
		}
		told = append(told, fmt.Sprintf("%s\n%+v", m.told(), m.spans))
	}
	if told[0] != told[1] || !strings.Contains(told[0], "a=1") {
		t.Errorf("%s\nwith restarts\n%s", told[0], told[1])
	}
}
