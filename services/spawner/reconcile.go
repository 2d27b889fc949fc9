package spawner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// Differences compares EVENTS with the running executors of the backend. Lost executors should run and do not; strays
// run but are not in EVENTS.
func (s *State) Differences(running []backend.Status) (lost, strays []backend.Instance) {
	seen := make(map[string]bool)
	for _, x := range running {
		seen[x.Executor] = true
		if s.executors[x.Executor] == nil {
			strays = append(strays, x.Instance)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.executors)) {
		if !seen[id] {
			progdef, revision := contract.SplitMailbox(s.executors[id].Mailbox)
			lost = append(lost, backend.Instance{Executor: id, Progdef: progdef, Revision: revision})
		}
	}
	return lost, strays
}

// sweepEvery is the number of rounds of the reconciler between two checks for names of exited executors.
const sweepEvery = 6

// reconcile publishes executor.exited for executors that disappeared without an exit report, and executor.started for
// strays, so that they are counted and drained when idle. An executor counts as lost only if it is missing twice in a
// row, because its exit may just be reported.
func (w *wiring) reconcile(ctx context.Context, r *service.Runtime[*State]) error {
	var missing, nameless map[string]bool
	round := 0
	service.Every(ctx, w.config.ReconcileEvery, func() {
		running, err := w.backend.List(ctx)
		if err != nil {
			err = fmt.Errorf("list executors: %w", err)
		}
		if err == nil {
			running, err = w.silent(ctx, r, running)
			r.Fold(contract.Event{Type: factRunning, With: reasons(running)})
		}
		if err == nil {
			missing, err = w.compare(ctx, r, running, missing)
		}
		if round++; err == nil && round%sweepEvery == 0 {
			nameless, err = w.sweepNames(ctx, r, running, nameless)
		}
		if err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Msg("cannot compare executors; trying again")
		}
	})
	return nil
}

// compare publishes what is missing in EVENTS, and returns the executors that were missing.
func (w *wiring) compare(
	ctx context.Context, r *service.Runtime[*State], running []backend.Status, missing map[string]bool,
) (map[string]bool, error) {
	var lost, strays []backend.Instance
	r.Read(func(s *State) { lost, strays = s.Differences(running) })
	next := make(map[string]bool)
	for _, x := range lost {
		if w.leaving.has(x.Executor) {
			continue // its exit is being reported
		}
		if next[x.Executor] = true; missing[x.Executor] {
			exit := backend.Exit{Instance: x, Code: -1, Reason: "it is no longer running, and its exit was not observed"}
			if err := r.Publish(ctx, Exited(exit)); err != nil {
				return next, err
			}
		}
	}
	for _, x := range strays {
		if err := w.takeIn(ctx, r, x); err != nil {
			return next, err
		}
	}
	return next, nil
}

// takeIn publishes the start of a stray, or stops it if its exit was published: its jobs are lost.
func (w *wiring) takeIn(ctx context.Context, r *service.Runtime[*State], x backend.Instance) error {
	err := r.Publish(ctx, Stray(x))
	gone := false
	r.Read(func(s *State) { gone = s.Gone(x.Executor) })
	if err == nil && gone && !w.leaving.has(x.Executor) {
		return w.backend.GiveUp(ctx, x.Executor)
	}
	return err
}

// Stray returns the event executor.started of a stray, unless it is known or its exit was published.
func Stray(x backend.Instance) func(*State) []contract.Event {
	return func(s *State) []contract.Event {
		if s.Gone(x.Executor) || s.executors[x.Executor] != nil {
			return nil
		}
		return []contract.Event{{
			Type: contract.TypeExecutorStarted, Subject: x.Executor,
			Data: &contract.ExecutorStarted{Executor: x.Executor, Progdef: x.Progdef, Revision: x.Revision},
		}}
	}
}

// Gone reports whether the executor is one of the last reported exits.
func (s *State) Gone(executor string) bool { return s.gone.known[executor] }

// sweepNames deletes the names of exited executors, and returns those to check again. It deletes a name on the second
// check: until a pod is deleted, its program may be started again.
func (w *wiring) sweepNames(
	ctx context.Context, r *service.Runtime[*State], running []backend.Status, suspects map[string]bool,
) (map[string]bool, error) {
	names, err := broker.Names(ctx, w.link.JS)
	if err != nil {
		return nil, err
	}
	live := make(map[string]bool)
	for _, x := range running {
		live[x.Executor] = true
	}
	known := func(s *State) {
		names = slices.DeleteFunc(names, func(id string) bool {
			return live[id] || s.executors[id] != nil || w.leaving.has(id)
		})
	}
	if err := r.Sync(ctx); err != nil {
		return suspects, err
	}
	r.Read(known)
	next := make(map[string]bool)
	for _, id := range names {
		if !suspects[id] {
			next[id] = true
			continue
		}
		if err := broker.DropName(ctx, w.link.JS, id); err != nil {
			return next, err
		}
	}
	return next, nil
}

const (
	// protectEvery is the time until the backend is told that an executor has a job.
	protectEvery = 250 * time.Millisecond
	// calm is how long an executor has had no job when it may be moved: one that gets its next job
	// at once stays protected.
	calm = 5 * time.Second
)

// protected returns for each executor whether it must not be moved: it has a job, had one a moment ago, or is needed
// for waiting jobs.
func (s *State) protected(now time.Time) map[string]bool {
	running := make(map[string]int) // jobs by mailbox
	for _, x := range s.executors {
		running[x.Mailbox] += x.jobs
	}
	out := make(map[string]bool, len(s.executors))
	for id, x := range s.executors {
		r := s.revisions[x.Mailbox]
		awaited := r != nil && r.used > running[x.Mailbox]
		out[id] = x.jobs > 0 || awaited || now.Sub(x.Idle) < calm
	}
	return out
}

// protect tells the backend which executors have jobs. A backend protects every executor from its start; a new leader
// tells the backend about all executors.
func (w *wiring) protect(ctx context.Context, r *service.Runtime[*State]) error {
	told := make(map[string]bool)
	service.Every(ctx, protectEvery, func() {
		var now map[string]bool
		r.Read(func(s *State) { now = s.protected(time.Now()) })
		for id, busy := range now {
			if before, known := told[id]; known && before == busy {
				continue
			}
			if err := w.backend.Protect(ctx, id, busy); err != nil {
				if ctx.Err() == nil {
					r.Log().Warn().Err(err).Str("executor", id).Msg("cannot tell that an executor is busy or idle; trying again")
				}
				return
			}
			told[id] = busy
		}
		maps.DeleteFunc(told, func(id string, _ bool) bool { _, there := now[id]; return !there })
	})
	return nil
}
