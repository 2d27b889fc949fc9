package cli

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
)

// errInterrupted is the cause of a context that a signal cancelled.
var errInterrupted = errors.New("interrupted")

// listens marks a command that handles signals from start to end.
const listens = "listens to signals"

// A desk passes signals to the part of the command that handles them. If none does, as while a document is read from
// a terminal, the first signal stops the command.
type desk struct {
	from      <-chan os.Signal
	to        chan os.Signal
	listeners atomic.Int32
	// first is closed by the first signal, alone by one that is not handled.
	first, alone chan struct{}
	begin        sync.Once
	stopped      chan struct{}
	ended        sync.WaitGroup
}

func newDesk(from <-chan os.Signal) *desk {
	return &desk{
		from: from, to: make(chan os.Signal, 4), first: make(chan struct{}), alone: make(chan struct{}),
		stopped: make(chan struct{}),
	}
}

// start starts passing on signals. Earlier signals are not lost.
func (d *desk) start() { d.begin.Do(func() { d.ended.Go(d.run) }) }

func (d *desk) run() {
	for came := false; ; came = true {
		select {
		case s := <-d.from:
			if !came {
				close(d.first)
			}
			if d.listeners.Load() == 0 {
				close(d.alone)
				return
			}
			select {
			case d.to <- s:
			default: // enough signals are queued
			}
		case <-d.stopped:
			return
		}
	}
}

func (d *desk) stop() {
	close(d.stopped)
	d.ended.Wait()
}

// signals returns a channel of the signals until stop is called. Meanwhile, signals do not stop the command by
// themselves.
func (a *app) signals() (signals <-chan os.Signal, stop func()) {
	a.desk.listeners.Add(1)
	return a.desk.to, func() { a.desk.listeners.Add(-1) }
}

// interrupts are the signals of one command, as channels that are closed.
type interrupts struct {
	first, second <-chan struct{}
	// one is set while all signals count as one: `timeout` sends two at once.
	one *atomic.Bool
}

// interrupts handles signals until stop is called.
func (a *app) interrupts() (in interrupts, stop func()) {
	signals, release := a.signals()
	first, second := make(chan struct{}), make(chan struct{})
	stopped, done := make(chan struct{}), make(chan struct{})
	in = interrupts{first, second, new(atomic.Bool)}
	go func() {
		defer close(done)
		for next := first; ; {
			select {
			case <-signals:
				if next == second && in.one.Load() {
					continue
				}
				close(next)
				if next == second {
					return
				}
				next = second
			case <-stopped:
				return
			}
		}
	}()
	return in, func() { close(stopped); <-done; release() }
}

// together sets whether further signals count as the first one.
func (in interrupts) together(yes bool) {
	if in.one != nil {
		in.one.Store(yes)
	}
}

// untilInterrupt returns a context that the first signal cancels.
func (a *app) untilInterrupt(ctx context.Context) (context.Context, func()) {
	in, stop := a.interrupts()
	ctx, end := until(ctx, in.first)
	return ctx, func() { end(); stop() }
}

// until returns a context that a signal cancels, with the cause errInterrupted.
func until(ctx context.Context, signal <-chan struct{}) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-signal:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}
