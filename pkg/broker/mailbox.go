package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// ClaimWait is how long an executor has between being handed a job and acknowledging it; after that
// the job is offered to another executor.
const ClaimWait = 10 * time.Second

// maxWaitingPulls is above the number of executors that one revision may have.
const maxWaitingPulls = 16_384

// EnsureMailbox makes the one durable consumer that all executors of a revision share. The planner
// calls it before jobs can arrive, and an executor whose mailbox is missing calls it again.
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
		return nil, fmt.Errorf("make mailbox %s: %w", contract.Mailbox(progdef, revision), err)
	}
	return c, nil
}
