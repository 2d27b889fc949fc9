// Package pace measures time as far as the machine gives it. A program on a busy machine is not wrong because it
// is late: its deadlines have to grow with the load. The clock of this package runs at full speed while
// there is a processor for everybody who wants one, and slower in proportion while there is not.
package pace

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// tick is how often the load is read.
	tick = 50 * time.Millisecond
	// slowest bounds how far the clock slows down, so that every deadline passes in the end.
	slowest = 1.0 / 20
)

// A Load reports how many threads are running or ready to run, and how many processors there are.
type Load func() (runnable, processors int)

// A Clock counts paced time. Close it. All methods may be called concurrently.
type Clock struct {
	load Load
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	samples []sample
	waits   map[*wait]struct{}
	last    time.Time // of the latest tick
	delays  []delay
}

// A delay says that a tick was late, and how much.
type delay struct {
	at time.Time
	by time.Duration
}

// A sample says what paced time it was, and how fast it went from then on.
type sample struct {
	at    time.Time
	paced time.Duration
	speed float64
}

// A wait is cut off at a paced time.
type wait struct {
	until time.Duration
	cut   context.CancelFunc
}

// Start starts a clock; load is System outside of tests.
func Start(load Load) *Clock {
	c := &Clock{
		load: load, stop: make(chan struct{}), done: make(chan struct{}), waits: map[*wait]struct{}{},
	}
	c.sample(time.Now())
	go c.run()
	return c
}

// Close stops the clock. Waits that are not over never are.
func (c *Clock) Close() {
	close(c.stop)
	<-c.done
}

func (c *Clock) run() {
	defer close(c.done)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			c.sample(time.Now())
		case <-c.stop:
			return
		}
	}
}

// sample reads the load and ends the waits whose time is over.
func (c *Clock) sample(now time.Time) {
	speed := speedOf(c.load())
	c.mu.Lock()
	defer c.mu.Unlock()
	paced := time.Duration(0)
	if n := len(c.samples); n > 0 {
		paced = c.samples[n-1].on(now)
	}
	if n := len(c.samples); n == 0 || c.samples[n-1].speed != speed {
		c.samples = append(c.samples, sample{at: now, paced: paced, speed: speed})
	}
	if by := now.Sub(c.last) - tick; !c.last.IsZero() && by > tick {
		c.delays = append(c.delays, delay{at: now, by: by})
	}
	c.last = now
	for w := range c.waits {
		if w.until <= paced {
			w.cut()
			delete(c.waits, w)
		}
	}
}

// speedOf is a thread's share of a processor.
func speedOf(runnable, processors int) float64 {
	if runnable <= processors {
		return 1
	}
	return max(slowest, float64(processors)/float64(runnable))
}

// on is the paced time at a later moment.
func (s sample) on(now time.Time) time.Duration {
	return s.paced + time.Duration(s.speed*float64(now.Sub(s.at)))
}

// at is the paced time at a moment.
func (c *Clock) at(when time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, found := slices.BinarySearchFunc(c.samples, when, func(s sample, t time.Time) int { return s.at.Compare(t) })
	if !found {
		i = max(0, i-1)
	}
	return c.samples[i].on(when)
}

// Between is how much paced time went by between two moments since the start.
func (c *Clock) Between(from, to time.Time) time.Duration { return c.at(to) - c.at(from) }

// Lateness returns how late the clock's own ticks were between two moments, at most: so late any timer
// on this machine may have been.
func (c *Clock) Lateness(from, to time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := time.Duration(0)
	for _, d := range c.delays {
		if !d.at.Before(from) && !d.at.Add(-d.by).After(to) {
			most = max(most, d.by)
		}
	}
	return most
}

// Stretch returns how long d of paced time takes at the present load.
func (c *Clock) Stretch(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(float64(d) / c.samples[len(c.samples)-1].speed)
}

// Within returns a context that ends with a cause when d of paced time is over.
func (c *Clock) Within(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	w := &wait{until: c.at(time.Now()) + d, cut: func() { end(cause) }}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits[w] = struct{}{}
	return ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waits, w)
		end(context.Canceled)
	}
}
