package simulation

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
)

func progdefDocument(name string) json.RawMessage {
	inputs := `{}`
	if name == "reporter" {
		inputs = `{"in": "json"}`
	}
	return fmt.Appendf(nil, `{"name": %q, "inputs": %s, "outputs": {}, "command": ["x"],
		"scaling": {"jobsPerExecutor": %d, "maxExecutors": 2, "idleTimeout": "10s"}}`, name, inputs, slotsOf(name))
}

var documents = []string{
	`{}`,
	`{"nodes": {"x": {"progdef": "a"}}}`,
	`{"nodes": {"x": {"progdef": "a"}, "y": {"progdef": "b"}, "z": {"progdef": "b"}}}`,
	`{"nodes": {"x": {"progdef": "a"}, "y": {"progdef": "a"}}}`,
	`{"nodes": {"x": {"progdef": "a"}, "y": {"progdef": "a"}, "z": {"progdef": "a"}}}`, // never fits
	`{"nodes": {"x": {"progdef": "unknown"}}}`,
	`{"nodes": {"x": {"progdef": "a"}, "r": {"progdef": "reporter"}, "y": {"progdef": "b"}},
		"edges": [{"from": "x.panic", "to": "r.in"}, {"from": "r.panic", "to": "y.stop"}]}`,
}

func TestEveryFlowEndsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.command(contract.TypeProgdefApply, "a", progdefDocument("a"))
		w.command(contract.TypeProgdefApply, "b", progdefDocument("b"))
		w.command(contract.TypeProgdefApply, "reporter", progdefDocument("reporter"))
		pick := pickFrom(t)
		service := func() *replica { return w.services[pick(len(w.services))] }
		submitted := map[string]bool{}
		steps := rapid.IntRange(0, 300).Draw(t, "steps")
		for range steps {
			w.now = w.now.Add(time.Duration(pick(100)) * time.Millisecond)
			switch action := pick(20); {
			case action < 2:
				flow := fmt.Sprintf("f%d", pick(6))
				submitted[flow] = true
				w.submit(flow, documents[pick(len(documents))])
			case action == 2:
				w.cancel(fmt.Sprintf("f%d", pick(6)))
			case action < 9:
				w.fold(service())
			case action < 13:
				if r := service(); len(r.open) > 0 {
					must(t, w.answer(r, pick(len(r.open)), pick(4)))
				}
			case action == 13:
				w.crash(service())
			case action == 14:
				must(t, w.tick(service()))
			case action < 16:
				w.claimOne(pick)
			case action == 16:
				w.dieClaiming(pick)
			case action < 19:
				w.finishOne(pick, pick(4) == 0)
			default:
				w.exitOne(pick, pick(3) == 0)
			}
		}
		settle(t, w)
		w.check(t, submitted)
	})
}

// settle lets everything come to rest: all is folded and answered, jobs end, idle executors go.
func settle(t *rapid.T, w *world) {
	first := func(int) int { return 0 }
	for quiet := 0; quiet < 3; {
		moved := false
		for _, r := range w.services {
			for w.fold(r) {
				moved = true
			}
			for len(r.open) > 0 {
				must(t, w.answer(r, 0, 1000))
				moved = true
			}
		}
		w.elapse(t, 20*time.Second)
		for w.claimOne(first) || w.finishOne(first, false) || w.exitOne(first, false) {
			moved = true
		}
		w.sweep()
		if quiet++; moved {
			quiet = 0
		}
		if len(w.log) > 10_000 {
			t.Fatalf("it does not come to rest:\n%s", w.tail())
		}
	}
}

// elapse lets time pass in small steps: a long gap would count as time in which nobody could hear.
func (w *world) elapse(t *rapid.T, d time.Duration) {
	const step = time.Second
	for ; d > 0; d -= step {
		w.now = w.now.Add(step)
		for _, r := range w.services {
			for w.fold(r) {
			}
			must(t, w.tick(r))
		}
	}
}

func (w *world) check(t *rapid.T, submitted map[string]bool) {
	valid, ends, cleaned := map[string]int{}, map[string]int{}, map[string]int{}
	started := map[string]int{}
	for _, e := range w.log {
		switch {
		case e.Type == contract.TypeFlowValidated:
			valid[e.Subject]++
		case contract.IsVerdict(e.Type), e.Type == contract.TypeFlowRejected && valid[e.Subject] > 0:
			ends[e.Subject]++
		case e.Type == contract.TypeFlowCleaned:
			cleaned[e.Subject]++
		case e.Type == contract.TypeJobStarted:
			started[e.NATSSubject()]++
		}
	}
	for flow, n := range valid {
		if n != 1 || ends[flow] != 1 || cleaned[flow] != 1 {
			t.Fatalf("%s: validated %d, ended %d, cleaned %d times; want once each\n%s", flow, n, ends[flow], cleaned[flow], w.tail())
		}
	}
	for job, n := range started {
		if n != 1 {
			t.Fatalf("%s %d times", job, n)
		}
	}
	if len(w.mailbox)+len(w.running)+len(w.executors)+len(w.streams) > 0 {
		t.Fatalf("left: %d jobs, %d running, executors %v, streams %v\n%s",
			len(w.mailbox), len(w.running), w.executors, w.streams, w.tail())
	}
}

func (w *world) tail() (s string) {
	for _, e := range w.log[max(0, len(w.log)-80):] {
		s += fmt.Sprintf("%4d %s %s\n", e.Seq, e.Type, e.NATSSubject())
	}
	return s
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
