package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/validator"
)

// Patience with what is asked to end.
const (
	// idleExit is how long executors without jobs may take to end.
	idleExit = 5 * time.Second
	// lastWords is how long executors that are given up may take to be gone, above their own limit.
	lastWords = 6 * time.Second
	// verdicts is how long the verdicts on given up flows are awaited.
	verdicts = 3 * time.Second
)

// A Stop says how a Local ends.
type Stop struct {
	// Patience is how long living flows may go on.
	Patience time.Duration
	// GiveUp ends that time when it is closed.
	GiveUp <-chan struct{}
	// Waiting is told how many flows are waited for; may be nil.
	Waiting func(flows int)
}

// Stop ends everything: it takes no new flows, lets the living ones end while there is patience, gives
// up the rest (their jobs panic with kind drained), and ends executors, services and the server. When
// it returns no process of this Dagyo is left.
func (l *Local) Stop(ctx context.Context, s Stop) error {
	l.endService(validator.Name) // what is submitted now waits for the next start
	return l.end(ctx, l.awaitFlows(ctx, s))
}

// awaitFlows waits for the live flows, and returns the patience that executors deserve then: none when
// some go on, or nobody answers how many do.
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
	n, err := l.client.LiveFlows(ctx)
	if err != nil {
		return 0
	}
	if n > 0 && s.Waiting != nil {
		s.Waiting(n)
	}
	if err := l.client.AwaitNoLiveFlows(ctx); err != nil {
		return 0
	}
	return idleExit
}

// end ends executors, services and the server, in the order in which each can still have its last
// word.
func (l *Local) end(ctx context.Context, patience time.Duration) error {
	l.endService(spawner.Name) // it would start executors anew
	err := l.endExecutors(ctx, patience)
	wait, cancel := context.WithTimeout(ctx, verdicts)
	_ = l.client.AwaitNoLiveFlows(wait) // flows that were not granted capacity yet live on
	cancel()
	l.endService(planner.Name)
	l.endService(aggregator.Name)
	return errors.Join(err, l.abandon())
}

func (l *Local) endService(name string) {
	if r := l.services[name]; r != nil {
		r.cancel()
		<-r.done
		r.link.Close()
		delete(l.services, name)
	}
}

// abandon ends what runs in this process, and leaves executors alone.
func (l *Local) abandon() error {
	for name := range l.services {
		l.endService(name)
	}
	if l.client != nil {
		l.client.Close()
	}
	if l.server != nil {
		l.server.Shutdown()
	}
	return l.lock.Close()
}

// endExecutors asks all executors to end, then to give up their jobs, and kills those that do neither.
func (l *Local) endExecutors(ctx context.Context, patience time.Duration) error {
	b, err := l.backend()
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
	return errors.New("some executors do not end, although they were killed")
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
			errs = append(errs, fmt.Errorf("end executor %s: %w", x.Executor, err))
		}
	}
	return len(all), errors.Join(errs...)
}

// awaitExits reports whether all executors have ended in time. The exits are not forgotten: the next
// start tells of them.
func awaitExits(ctx context.Context, b backend.Backend, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond) // an exit may have been seen before
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
