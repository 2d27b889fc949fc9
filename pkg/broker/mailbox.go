package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// ClaimWait is how long an executor has to acknowledge a job after its delivery; then the job is
// delivered to another executor.
const ClaimWait = 10 * time.Second

// maxWaitingPulls exceeds the number of executors that a revision may have.
const maxWaitingPulls = 16_384

// EnsureMailbox creates the durable consumer that all executors of a revision share. The planner calls it before jobs
// arrive, and when an executor starts. Executors wait for it: they have no right to create consumers.
func EnsureMailbox(ctx context.Context, js jetstream.JetStream, progdef, revision string) (jetstream.Consumer, error) {
	c, err := js.CreateOrUpdateConsumer(ctx, contract.StreamJobs, jetstream.ConsumerConfig{
		Durable:       contract.MailboxConsumer(progdef, revision),
		Description:   "mailbox of " + contract.Mailbox(progdef, revision),
		FilterSubject: contract.MailboxSubjects(progdef, revision),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ClaimWait,
		MaxWaiting:    maxWaitingPulls,
		MaxAckPending: -1,
		Metadata:      map[string]string{"dagyo.progdef": progdef, "dagyo.revision": revision},
	})
	if err != nil {
		return nil, fmt.Errorf("create mailbox %s: %w", contract.Mailbox(progdef, revision), err)
	}
	return c, nil
}
