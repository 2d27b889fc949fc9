package service

import (
	"context"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A clock estimates the broker's time. Nothing is decided by the estimate: it only tells when to ask.
type clock struct {
	// ahead is by how much the broker's clock is ahead of ours, at least.
	ahead time.Duration
	known bool
	// heard is when we last could hear.
	heard time.Time
}

// note takes in that the broker stored a message at a time that we learn of now. exact is set for messages
// that were asked for: they have not waited for us.
func (c *clock) note(at, now time.Time, exact bool) {
	if ahead := at.Sub(now); exact || !c.known || ahead > c.ahead {
		c.ahead, c.known = ahead, true
	}
}

func (c *clock) now(local time.Time) time.Time { return local.Add(c.ahead) }

const (
	// listenEvery is the time between two looks whether we hear, deafAfter the gap between them from which on
	// we did not.
	listenEvery = 100 * time.Millisecond
	deafAfter   = time.Second
	// tickPause is the least time between two ticks, tickRetry that after one that failed.
	tickPause = 20 * time.Millisecond
	tickRetry = time.Second
	// tickWait bounds the wait for a tick to be stored and to come back.
	tickWait = 5 * time.Second
)

// listen notes the times in which the process could not hear.
func (r *Runtime[S]) listen(ctx context.Context) {
	t := time.NewTicker(listenEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			if r.link.IsConnected() {
				r.step(func(*core[S]) { r.hear(now) })
			}
		case <-ctx.Done():
			return
		}
	}
}

// hear folds FactDeaf if we have not heard anything for too long. The caller is in a step.
func (r *Runtime[S]) hear(now time.Time) {
	gap := now.Sub(r.clock.heard)
	if !r.clock.heard.IsZero() && gap > deafAfter {
		r.core.fact(contract.Event{Type: FactDeaf, Time: r.clock.now(now), With: gap})
	}
	if gap > 0 {
		r.clock.heard = now
	}
}

// keepTime asks for the broker's time whenever a decision is due.
func (r *Runtime[S]) keepTime(ctx context.Context) {
	for ctx.Err() == nil {
		wait, moved := r.untilDue()
		if wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-moved:
			case <-ctx.Done():
			}
			t.Stop()
			continue
		}
		err := r.askTime(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("cannot learn the broker's time; trying again")
			pause(ctx, tickRetry)
		}
		pause(ctx, tickPause)
	}
}

// longWait is how long is waited where nothing is due: until something moves.
const longWait = time.Hour

// untilDue returns how long it is until a decision is due, by our estimate.
func (r *Runtime[S]) untilDue() (time.Duration, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, due := r.core.agenda.next()
	if !due {
		return longWait, r.watch()
	}
	return at.Sub(r.clock.now(time.Now())), r.watch()
}

func (r *Runtime[S]) askTime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tickWait)
	defer cancel()
	return r.Sync(ctx)
}

// tick asks for the broker's time.
func tick(service string) contract.Event {
	return contract.Event{Type: contract.TypeTick, Subject: service, Data: &contract.Tick{Service: service}}
}

// tick stores a tick and returns its place.
func (r *Runtime[S]) tick(ctx context.Context) (uint64, error) {
	seq, err := eventLog[S]{r}.Append(ctx, tick(r.s.Name), 0)
	if err != nil {
		return 0, fmt.Errorf("store a tick: %w", err)
	}
	return seq, nil
}
