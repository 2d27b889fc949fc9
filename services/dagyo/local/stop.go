package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/process"
	"github.com/dagyo/dagyo/services/validator"
)

// Time limits of a stop.
const (
	// idleExit is the time that executors without jobs have to exit.
	idleExit = 5 * time.Second
	// lastWords is the time that killed executors have to exit, in addition to their own limit.
	lastWords = 6 * time.Second
	// verdicts bounds the wait for the verdicts of stopped flows.
	verdicts = 3 * time.Second
)

// A Stop is the options of [Local.Stop].
type Stop struct {
	// Patience is the time that running flows have to end.
	Patience time.Duration
	// GiveUp, when closed, ends that time.
	GiveUp <-chan struct{}
	// Waiting, if not nil, is called with the number of running flows.
	Waiting func(flows int)
}

// Stop stops everything: it accepts no new flows, waits for running flows up to Patience, stops the rest (their jobs
// panic with kind drained), and stops executors, services and the server. When it returns, no process of this Dagyo
// is running.
func (l *Local) Stop(ctx context.Context, s Stop) error {
	l.endService(validator.Name) // new submissions wait for the next start
	return l.end(ctx, l.awaitFlows(ctx, s))
}

// awaitFlows waits for the live flows, and returns the time that executors then have to exit: none if flows are still
// running or their number is unknown.
func (l *Local) awaitFlows(ctx context.Context, s Stop) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	go func() {
		select {
		case <-s.GiveUp:
			cancel()
		case <-ctx.Done():
		}
	}()
	n, err := l.liveFlows(ctx)
	if err != nil {
		return 0
	}
	if n > 0 && s.Waiting != nil {
		s.Waiting(n)
	}
	if err := l.awaitNoLiveFlows(ctx); err != nil {
		return 0
	}
	return idleExit
}

// end stops executors, services and the server, in an order in which each can still publish its last events.
func (l *Local) end(ctx context.Context, patience time.Duration) error {
	l.endService(spawner.Name) // it would restart executors
	err := l.endExecutors(ctx, patience)
	wait, cancel := context.WithTimeout(ctx, verdicts)
	_ = l.awaitNoLiveFlows(wait) // flows without granted capacity stay live
	cancel()
	l.endService(planner.Name)
	l.endService(aggregator.Name)
	return errors.Join(err, l.abandon())
}

// endService stops a service of all tenants.
func (l *Local) endService(name string) {
	if h := l.hosts[name]; h != nil {
		h.Close()
	}
}

// abandon stops everything in this process, but not the executors.
func (l *Local) abandon() error {
	l.stop()
	l.working.Wait()
	for _, h := range l.hosts {
		h.Close()
	}
	if l.registry != nil {
		l.registry.Close()
	}
	if l.client != nil {
		l.client.Close()
	}
	if l.server != nil {
		l.server.Shutdown()
	}
	removeAddress(l.config.Dir)
	return l.lock.Close()
}

// endExecutors ends the executors of all tenants.
func (l *Local) endExecutors(ctx context.Context, patience time.Duration) error {
	ids, err := process.Tenants(l.process("").Dir)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, id := range append(ids, "") {
		g.Go(func() error { return l.endExecutorsOf(ctx, id, patience) })
	}
	return g.Wait()
}

// endExecutorsOf asks all executors of a tenant to exit, then to stop their jobs, and kills those that do neither.
func (l *Local) endExecutorsOf(ctx context.Context, location string, patience time.Duration) error {
	b, err := openBackend(l.process(location))
	if err != nil {
		return err
	}
	defer b.Close()
	for _, step := range []struct {
		tell func(context.Context, string) error
		wait time.Duration
	}{
		{b.Drain, patience}, {b.GiveUp, backend.GiveUpGrace + lastWords},
	} {
		left, err := tellAll(ctx, b, step.tell)
		if err != nil {
			return err
		}
		if left == 0 || awaitExits(ctx, b, step.wait) {
			return nil
		}
	}
	return errors.New("some executors did not exit after they were killed")
}

func tellAll(
	ctx context.Context, b backend.Backend, tell func(context.Context, string) error,
) (int, error) {
	all, err := b.List(ctx)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, x := range all {
		if err := tell(ctx, x.Executor); err != nil {
			errs = append(errs, fmt.Errorf("stop executor %s: %w", x.Executor, err))
		}
	}
	return len(all), errors.Join(errs...)
}

// awaitExits reports whether all executors exited in time. The exits stay recorded: the next start publishes
// them.
func awaitExits(ctx context.Context, b backend.Backend, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond) // an exit may have been observed before
	defer look.Stop()
	for {
		if all, err := b.List(ctx); err == nil && len(all) == 0 {
			return true
		}
		select {
		case <-b.Exits():
		case <-look.C:
		case <-ctx.Done():
			return false
		}
	}
}
