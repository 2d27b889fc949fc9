package client

import (
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// owedFor is how long a message that was heard is expected in the stream: the broker delivers a publication to
	// subscribers before it stores it, and may refuse to store it.
	owedFor = 1500 * time.Millisecond
	// owedMost limits the remembered subjects.
	owedMost = 256
	// leastPause and mostPause limit the pause after a round that found nothing although something was heard.
	leastPause = 2 * time.Millisecond
	mostPause  = 100 * time.Millisecond
	// checkEvery is the time between two rounds while nothing is heard: a message of the broker may be lost.
	checkEvery = 5 * time.Second
)

// A bell decides when to read EVENTS: when a subscription hears something. What it hears is not trusted, since any
// client may publish on most subjects; it is read from the stream.
type bell struct {
	wake chan struct{}

	mu   sync.Mutex
	rung bool
	// highest is the highest number of a message that was heard.
	highest uint64
	// owed are the subjects of messages that were heard before they were stored; until then the stream is read again.
	owed  map[string]time.Time
	pause time.Duration
	// after is the earliest time of the next round, if it is due to the bell.
	after time.Time
}

func newBell() *bell {
	return &bell{wake: make(chan struct{}, 1), rung: true, owed: make(map[string]time.Time)}
}

// heard handles a message of a subscription.
func (b *bell) heard(m *nats.Msg) {
	b.mu.Lock()
	if seq, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64); err == nil {
		b.highest = max(b.highest, seq)
	} else { // not stored yet
		if _, known := b.owed[m.Subject]; known || len(b.owed) < owedMost {
			b.owed[m.Subject] = time.Now().Add(owedFor)
		}
	}
	b.mu.Unlock()
	b.ring()
}

// ring makes a round due.
func (b *bell) ring() {
	b.mu.Lock()
	b.rung = true
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// due returns how long to wait for the next round unless the bell rings.
func (b *bell) due(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	for subject, until := range b.owed {
		if now.After(until) {
			delete(b.owed, subject)
		}
	}
	if !b.rung && len(b.owed) == 0 {
		b.pause = 0
		return checkEvery
	}
	return max(0, b.after.Sub(now))
}

// begin marks the begin of a round. It returns the highest number of a message that was heard, or the highest possible
// one if something was heard whose number is unknown.
func (b *bell) begin() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rung = false
	if len(b.owed) > 0 {
		return math.MaxUint64
	}
	return b.highest
}

// ended marks the end of a round. After fruitless rounds the next ones are slower, so that messages that are never
// stored cost little.
func (b *bell) ended(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pause = min(max(2*b.pause, leastPause), mostPause)
	b.after = now.Add(b.pause)
}

// found is called with what rounds have found.
func (b *bell) found(messages []*stored) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range messages {
		delete(b.owed, m.Subject)
	}
	b.pause, b.after = 0, time.Time{}
}
