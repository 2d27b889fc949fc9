package history

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Limits limit history. What exceeds one of them is removed, the oldest segments first.
type Limits struct {
	// MaxAge is how long a flow is kept after it was stored; 0 means no limit.
	MaxAge time.Duration
	// MaxFlows is the number of flows that are kept; -1 means no limit. The server knows only segments and
	// limits their number to it; [Index.Trim] limits the flows.
	MaxFlows int64
	// MaxBytes limits the stream on disk; -1 means no limit. The server reserves that much.
	MaxBytes int64
}

// DefaultLimits keep a million flows for 30 days, in at most 1 GiB.
func DefaultLimits() Limits {
	return Limits{MaxAge: 30 * 24 * time.Hour, MaxFlows: 1_000_000, MaxBytes: 1 << 30}
}

// Validate reports every error in the limits.
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

// minBytes leaves room for the largest segment and several others.
const minBytes = 16 << 20

// StreamConfig configures StreamHistory.
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
		// An append of several messages is stored completely or not at all.
		AllowAtomicPublish: true,
		// [Writer.Append] recognizes repeats by their place in EVENTS.
		Duplicates: time.Second,
	}
}
