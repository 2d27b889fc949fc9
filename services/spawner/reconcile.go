package spawner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// differences compares EVENTS with what the backend runs: lost executors should run and do not,
// strays run and are in no event.
func (s State) differences(running []backend.Status) (lost, strays []backend.Instance) {
	seen := make(map[string]bool)
	for _, x := range running {
		seen[x.Executor] = true
		if s.executors[x.Executor] == nil {
			strays = append(strays, x.Instance)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.executors)) {
		if !seen[id] {
			progdef, revision := contract.SplitMailbox(s.executors[id].mailbox)
			lost = append(lost, backend.Instance{Executor: id, Progdef: progdef, Revision: revision})
		}
	}
	return lost, strays
}

// reconcile says executor.exited for executors that are gone without an exit report, and
// executor.started for those that run unheard of, so that they are counted and drained when idle.
// It acts on what it has seen twice in a row: events and exits may be on their way.
func (w *wiring) reconcile(ctx context.Context, r *service.Runtime[State]) error {
	t := time.NewTicker(w.config.ReconcileEvery)
	defer t.Stop()
	suspects := make(map[string]bool)
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
		next, err := w.compare(ctx, r, suspects)
		if err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Msg("cannot compare executors; trying again")
			continue
		}
		suspects = next
	}
}

func (w *wiring) compare(ctx context.Context, r *service.Runtime[State], suspects map[string]bool) (map[string]bool, error) {
	running, err := w.backend.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list executors: %w", err)
	}
	var lost, strays []backend.Instance
	if !r.Read(func(s State) { lost, strays = s.differences(running) }) {
		return nil, nil // wait for the latest events
	}
	next := make(map[string]bool)
	for _, x := range lost {
		if next["lost "+x.Executor] = true; suspects["lost "+x.Executor] {
			e := exited(backend.Exit{Instance: x, Code: -1, Reason: "it no longer runs, and nobody saw its end"}, false)
			if err := r.Say(ctx, e); err != nil {
				return nil, err
			}
		}
	}
	for _, x := range strays {
		if next["stray "+x.Executor] = true; suspects["stray "+x.Executor] {
			if err := r.Say(ctx, adopted(x)); err != nil {
				return nil, err
			}
		}
	}
	return next, nil
}

// adopted tells of an executor that runs already: there is nothing to perform.
func adopted(x backend.Instance) contract.Event {
	return contract.Event{
		Type: contract.TypeExecutorStarted, Subject: x.Executor, MsgID: "adopted." + x.Executor,
		Data: &contract.ExecutorStarted{Executor: x.Executor, Progdef: x.Progdef, Revision: x.Revision},
	}
}
