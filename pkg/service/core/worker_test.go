package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A ledger is a Log that stores everything.
type ledger struct{ stored []string }

func (l *ledger) Append(_ context.Context, e contract.Event, _ uint64) (uint64, bool, error) {
	l.stored = append(l.stored, e.Subject)
	return uint64(len(l.stored)), true, nil
}

func (*ledger) Last(context.Context, string) (uint64, contract.Type, error) { return 0, "", nil }

// starting is a task that starts executors for a flow.
func starting(executors int) *Task {
	t := &Task{}
	for i := range executors {
		t.effects = append(t.effects, contract.Event{
			Type: contract.TypeExecutorStarted, Subject: fmt.Sprint("x", i), Data: &contract.ExecutorStarted{Progdef: "p"},
		})
	}
	t.effects = append(t.effects, contract.Event{Type: contract.TypeFlowSpawned, Subject: "f"})
	return t
}

// Executors start at the same time, some at once; the flow is spawned after that.
func TestExecutorsStartTogether(t *testing.T) {
	log := &ledger{}
	var groups []int
	w := Worker{
		Log: log, Held: func() bool { return true }, LastOf: func(string) uint64 { return 0 },
		Perform: func(_ context.Context, e contract.Event) (contract.Event, error) { return e, nil },
		Each: func(n int, do func(int)) {
			groups = append(groups, n)
			var calls sync.WaitGroup
			for i := range n {
				calls.Go(func() { do(i) })
			}
			calls.Wait()
		},
	}
	r := w.Do(t.Context(), starting(10))
	want := []string{"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "f"}
	if r.Err != nil || len(r.effects) != len(want) || !slices.Equal(log.stored, want) || !slices.Equal(groups, []int{together, 2}) {
		t.Errorf("stored %v in groups of %v, %v", log.stored, groups, r.Err)
	}
}

// If one executor does not start, the others that have started are published, and the flow is not spawned.
func TestStartedExecutorsArePublished(t *testing.T) {
	log, broken := &ledger{}, errors.New("broken")
	w := Worker{
		Log: log, Held: func() bool { return true }, LastOf: func(string) uint64 { return 0 },
		Perform: func(_ context.Context, e contract.Event) (contract.Event, error) {
			if e.Subject == "x1" || e.Subject == "x2" {
				return e, fmt.Errorf("%s: %w", e.Subject, broken)
			}
			return e, nil
		},
	}
	r := w.Do(t.Context(), starting(4))
	if !errors.Is(r.Err, broken) || r.failed.Subject != "x1" || !slices.Equal(log.stored, []string{"x0", "x3"}) || len(r.effects) != 2 {
		t.Errorf("stored %v, %v fails: %v", log.stored, r.failed, r.Err)
	}
}

// An effect that panics fails for good. The stack is for the log, not for users.
func TestPanicsArePermanent(t *testing.T) {
	log := &ledger{}
	w := Worker{
		Service: "tester", Log: log, Held: func() bool { return true }, LastOf: func(string) uint64 { return 0 },
		Perform: func(context.Context, contract.Event) (contract.Event, error) {
			var none map[string]int
			none["x"] = 1
			return contract.Event{}, nil
		},
	}
	r := w.Do(t.Context(), starting(1))
	var permanent *problem.Permanent
	if !errors.As(r.Err, &permanent) || permanent.Problem.Code != problem.InternalFailure || len(log.stored) > 0 ||
		!strings.Contains(permanent.Problem.Message, "the tester cannot carry out executor.started of x0: assignment to entry in nil map") ||
		!strings.Contains(r.Err.Error(), "worker_test.go") {
		t.Errorf("stored %v: %v", log.stored, r.Err)
	}
}
