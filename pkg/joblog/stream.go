package joblog

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Limits limit what is kept of what jobs log. What exceeds one of them is removed, the oldest lines first.
type Limits struct {
	// MaxAge is how long lines are kept.
	MaxAge time.Duration
	// MaxBytes limits the lines of all jobs; the server reserves that much.
	MaxBytes int64
	// PerJob is how many batches of a job are kept. A batch has at least one line, and about MaxBatch bytes at most.
	PerJob int64
}

// DefaultLimits keep the lines as long as history keeps flows, in at most 128 MiB, and of a job at most about 4 MiB.
func DefaultLimits() Limits {
	return Limits{MaxAge: 30 * 24 * time.Hour, MaxBytes: 128 << 20, PerJob: 256}
}

// minBytes leaves room for some messages.
const minBytes = 1 << 20

// Validate reports every error in the limits.
func (l Limits) Validate() error {
	var errs []error
	if l.MaxAge < time.Second {
		errs = append(errs, fmt.Errorf("logs max age: %v is less than a second", l.MaxAge))
	}
	if l.MaxBytes < minBytes {
		errs = append(errs, fmt.Errorf("logs max bytes: %d is less than %d", l.MaxBytes, minBytes))
	}
	if l.PerJob < 1 {
		errs = append(errs, fmt.Errorf("logs per job: %d is less than 1", l.PerJob))
	}
	return errors.Join(errs...)
}

// StreamConfig configures StreamLogs. Executors cannot delete from it, nor have it keep more of a job than the limits
// allow.
func StreamConfig(replicas int, l Limits) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              contract.StreamLogs,
		Description:       "What jobs log, some lines to a message",
		Subjects:          []string{contract.FromAny(contract.LogSubjects)},
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld,
		Storage:           jetstream.FileStorage,
		Replicas:          replicas,
		MaxAge:            l.MaxAge,
		MaxBytes:          l.MaxBytes,
		MaxMsgsPerSubject: l.PerJob,
		MaxMsgSize:        MaxMessage,
		AllowDirect:       true,
		Duplicates:        min(time.Second, l.MaxAge),
	}
}
