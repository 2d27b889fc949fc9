package history

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Limits bound history. What is beyond one of them is removed, the oldest segments first.
type Limits struct {
	// MaxAge is how long a flow is kept after it was stored; 0 is no limit.
	MaxAge time.Duration
	// MaxFlows is the number of flows that are kept; -1 is no limit. The server knows segments only and
	// bounds their number by it; [Index.Trim] bounds the flows.
	MaxFlows int64
	// MaxBytes bounds the stream on disk; -1 is no limit. The server sets that much aside.
	MaxBytes int64
}

// DefaultLimits keep a million flows for 30 days, in 1 GiB at most.
func DefaultLimits() Limits {
	return Limits{MaxAge: 30 * 24 * time.Hour, MaxFlows: 1_000_000, MaxBytes: 1 << 30}
}

// Validate reports everything that is wrong with the limits.
func (l Limits) Validate() error {
	var errs []error
	if l.MaxAge < 0 || l.MaxAge > 0 && l.MaxAge < time.Second {
		errs = append(errs, fmt.Errorf("history max age: %v is less than a second (0 for no limit)", l.MaxAge))
	}
	if l.MaxFlows == 0 || l.MaxFlows < -1 {
		errs = append(errs, fmt.Errorf("history max flows: %d is less than 1 (-1 for no limit)", l.MaxFlows))
	}
	if l.MaxBytes < minBytes && l.MaxBytes != -1 {
		errs = append(errs, fmt.Errorf("history max bytes: %d is less than %d (-1 for no limit)", l.MaxBytes, minBytes))
	}
	return errors.Join(errs...)
}

// minBytes leaves room for the largest segment and some others.
const minBytes = 16 << 20

// StreamConfig is how StreamHistory is kept.
func StreamConfig(replicas int, l Limits) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        contract.StreamHistory,
		Description: "The statuses of ended flows, some hundred to a message",
		Subjects:    []string{contract.SubjectHistory},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,
		MaxAge:      l.MaxAge,
		MaxMsgs:     l.MaxFlows, // a segment has at least one flow
		MaxBytes:    l.MaxBytes,
		AllowDirect: true,
		// An append that needs several messages is stored whole or not at all.
		AllowAtomicPublish: true,
		// [Writer.Append] recognizes repeats by their place in EVENTS.
		Duplicates: time.Second,
	}
}
