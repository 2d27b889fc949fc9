package core

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// granting is a service whose one decision concerns three flows.
func granting() Logic[int] {
	return Logic[int]{
		Name:   "test",
		Evolve: func(int, contract.Event) []string { return nil },
		Open:   func(int) []string { return []string{"admit"} },
		Decide: func(int, string, time.Time) (effects []contract.Event, next time.Time) {
			for _, flow := range []string{"a", "b", "c"} {
				effects = append(effects,
					contract.Event{Type: contract.TypeExecutorStarted, Subject: "x-" + flow, Data: &contract.ExecutorStarted{Executor: "x-" + flow, Progdef: "p"}},
					contract.Event{Type: contract.TypeFlowSpawned, Subject: flow, Data: &contract.FlowSpawned{}})
			}
			return effects, next
		},
	}
}

// If one of several effects fails, its flow is rejected; the others succeed.
func TestOnlyTheFailingFlowIsRejected(t *testing.T) {
	for _, failing := range []int{0, 1} { // an act that must precede the flow's event, and the event
		for _, err := range []error{
			&problem.Permanent{Problem: problem.Problem{Code: problem.StartRefused, Message: "no"}},
			errors.New("transient, but persistent"),
		} {
			t.Run(fmt.Sprint(failing, err), func(t *testing.T) { refuseOne(t, failing, err) })
		}
	}
}

func refuseOne(t *testing.T, failing int, err error) {
	c := New(granting(), Limits{Workers: 10, MaxAttempts: 3}, 0, func(contract.Event, string) {})
	c.Lead(true)
	begun := c.Tasks()
	if len(begun) != 3 {
		t.Fatalf("%d tasks, want one per flow", len(begun))
	}
	f := begun[1]
	for range 3 {
		c.Finish(Result{task: f, failed: &f.effects[failing], Err: err})
		next := c.Tasks()
		if len(next) != 1 {
			t.Fatalf("%d tasks follow, want 1", len(next))
		}
		if f = next[0]; len(f.effects) > 0 {
			break
		}
		// After a pause the decision is made again; only the failed flow has no task in flight.
		c.Finish(Result{task: f})
		if next = c.Tasks(); len(next) != 1 {
			t.Fatalf("%d tasks after the pause, want 1", len(next))
		}
		f = next[0]
	}
	if len(f.effects) != 1 || f.effects[0].Type != contract.TypeFlowRejected || f.effects[0].Subject != "b" {
		t.Errorf("%+v, want flow.rejected of b", f.effects)
	}
}

// A refusal that fails is attempted again after a pause.
func TestAFailedRefusalIsSpaced(t *testing.T) {
	c := New(granting(), Limits{Workers: 10, MaxAttempts: 1}, 0, func(contract.Event, string) {})
	c.Lead(true)
	f := c.Tasks()[1]
	for range 2 { // the effect, and its refusal
		c.Finish(Result{task: f, failed: &f.effects[0], Err: errors.New("no")})
		next := c.Tasks()
		if len(next) != 1 {
			t.Fatalf("%d tasks follow, want 1", len(next))
		}
		f = next[0]
	}
	if f.Pause <= 0 || f.Pause >= longPause {
		t.Errorf("the next attempt follows after %v with %v", f.Pause, f.effects)
	}
}

// A verdict that cannot be stored is answered once, and attempted each minute for as long as the state requires it.
// It does not occupy a worker meanwhile.
func TestAnUnstorableVerdictIsAnsweredOnce(t *testing.T) {
	logic := Logic[int]{
		Name:   "test",
		Evolve: func(int, contract.Event) []string { return nil },
		Open:   func(int) []string { return []string{"f"} },
		Decide: func(int, string, time.Time) ([]contract.Event, time.Time) {
			return []contract.Event{{Type: contract.TypeFlowPanic, Subject: "f"}}, time.Time{}
		},
	}
	c := New(logic, Limits{Workers: 10, MaxAttempts: 3}, 0, func(contract.Event, string) {})
	c.Lead(true)
	var got []string
	for range 6 {
		for _, task := range c.Tasks() {
			r := Result{task: task, effects: task.effects}
			if task.Pause > 0 {
				got = append(got, task.Pause.String())
				if c.running != 0 {
					t.Errorf("%d workers occupied by a pause", c.running)
				}
			}
			for i, e := range task.effects {
				if got = append(got, string(e.Type)); e.Type == contract.TypeFlowPanic {
					large := &problem.Permanent{Problem: problem.Problem{Code: problem.TooLarge}}
					r = Result{task: task, failed: &task.effects[i], Err: large}
				}
			}
			c.Finish(r)
		}
	}
	want := []string{"flow.panic", "deadletter", "flow.panic", "1m0s", "flow.panic", "1m0s"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
