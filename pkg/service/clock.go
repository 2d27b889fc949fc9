package service

import (
	"context"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// A clock estimates the broker's time. No decision depends on the estimate: it only determines when to ask the broker.
type clock struct {
	// ahead is the minimum by which the broker's clock is ahead of ours.
	ahead time.Duration
	known bool
	// alive is when the process was last known to be running and connected.
	alive time.Time
}

// note records the time at which the broker stored a message that we have just received. exact is set for messages that
// were not delayed on our side.
func (c *clock) note(at, now time.Time, exact bool) {
	if ahead := at.Sub(now); exact || !c.known || ahead > c.ahead {
		c.ahead, c.known = ahead, true
	}
}

func (c *clock) estimate(local time.Time) time.Time { return local.Add(c.ahead) }

// KnownUntil returns the broker's time up to which the state includes all of EVENTS.
func (r *Runtime[S]) KnownUntil() (t time.Time) {
	r.view(func(c *core.Core[S]) { t = c.Now })
	return t
}

// EstimatedTime returns the estimated current time of the broker.
func (r *Runtime[S]) EstimatedTime() (t time.Time) {
	r.view(func(*core.Core[S]) { t = r.clock.estimate(time.Now()) })
	return t
}

const (
	// gapCheck is the interval between two checks that the process is running. A gap longer than gapLimit is reported.
	// One longer than lateLimit is a sign of overload: on an idle machine a timer is late by one millisecond.
	gapCheck  = 100 * time.Millisecond
	lateLimit = gapCheck + 20*time.Millisecond
	gapLimit  = time.Second
	// tickPause is the minimum time between two ticks, tickRetry that after a failed one.
	tickPause = 20 * time.Millisecond
	tickRetry = time.Second
	// syncWait limits the wait for a tick to be stored and received.
	syncWait = 5 * time.Second
)

// watchGaps records the periods in which the process could not receive.
func (r *Runtime[S]) watchGaps(ctx context.Context) {
	Every(ctx, gapCheck, func() {
		if now := time.Now(); r.link.IsConnected() && !r.punctual(now) {
			r.step(func(*core.Core[S]) { r.noteGap(now) })
		}
	})
}

// punctual notes that the process is running. It returns false if there was a gap: only then something has changed that
// others wait for at once.
func (r *Runtime[S]) punctual(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	gap := now.Sub(r.clock.alive)
	if r.clock.alive.IsZero() || gap > lateLimit {
		return false
	}
	if gap > 0 {
		r.clock.alive = now
	}
	return true
}

// noteGap folds core.FactMissed if the process could not receive for too long, and core.FactLate if it was scheduled
// late. It must be called in a step.
func (r *Runtime[S]) noteGap(now time.Time) {
	gap := now.Sub(r.clock.alive)
	switch {
	case r.clock.alive.IsZero():
	case gap > gapLimit:
		r.core.Observe(contract.Event{Type: core.FactMissed, Time: r.clock.estimate(now), With: gap})
	case gap > lateLimit:
		r.core.Observe(contract.Event{Type: core.FactLate, Time: r.clock.estimate(now), With: gap - gapCheck})
	}
	if gap > 0 {
		r.clock.alive = now
	}
}

// keepTime requests the broker's time whenever a decision is due.
func (r *Runtime[S]) keepTime(ctx context.Context) {
	for ctx.Err() == nil {
		wait, changed := r.untilDue()
		if wait > 0 {
			sleep(ctx, wait, changed)
			continue
		}
		if err := r.Sync(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("cannot get the broker's time; trying again")
			sleep(ctx, tickRetry, nil)
		}
		sleep(ctx, tickPause, nil)
	}
}

// untilDue returns the estimated time until a decision is due, and a channel that is closed when that may change.
func (r *Runtime[S]) untilDue() (time.Duration, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.core.Due(); ok {
		return at.Sub(r.clock.estimate(time.Now())), r.watch()
	}
	return time.Hour, r.watch()
}

// Sync stores a tick, and returns when the state includes it, and so every event that was stored before the call. If
// EVENTS is full, Sync waits for the last stored event instead.
func (r *Runtime[S]) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncWait)
	defer cancel()
	seq, _, err := r.events.Append(ctx, contract.NewTick(r.service.Name), 0)
	if broker.Full(err) {
		_, seq, err = r.events.Bounds(ctx)
	}
	if err != nil {
		return fmt.Errorf("store a tick: %w", err)
	}
	for {
		r.mu.Lock()
		folded, changed := r.core.Last.Seq >= seq, r.watch()
		r.mu.Unlock()
		if folded {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Every calls do at an interval until the context ends. A call that takes longer than the interval delays the next one.
func Every(ctx context.Context, interval time.Duration, do func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}

// sleep waits for a duration, until wake is closed, or until the context ends. wake may be nil.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
}
