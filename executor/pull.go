package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

// pullLast is how long to wait for jobs in flight, to return them, when no more are needed.
const pullLast = 2 * time.Second

// pull requests up to n jobs and passes each one on, until all have arrived, the request ends, or no more
// are needed. It has its own subscription, since a job that is in flight when we need no more must be
// returned: if lost, it would wait ClaimWait for another executor.
func (x *executor) pull(ctx context.Context, n int, take func(*nats.Msg)) (got int, err error) {
	inbox, msgs := x.link.NewInbox(), make(chan *nats.Msg, n+16)
	sub, err := x.link.ChanSubscribe(inbox, msgs)
	if err != nil {
		return 0, err
	}
	// An error means that the connection is closed, or the subscription drained.
	defer func() { _ = sub.Unsubscribe() }()
	request := broker.Pull{Batch: n, Expires: pullFor, Heartbeat: pullBeat}
	consumer := contract.MailboxConsumer(x.progdef, x.revision)
	if err := request.Send(x.link, contract.StreamJobs, consumer, inbox); err != nil {
		return 0, err
	}
	silence := time.NewTimer(3 * pullBeat)
	defer silence.Stop()
	for got < n {
		select {
		case m := <-msgs:
			silence.Reset(3 * pullBeat)
			if ctx.Err() != nil { // select takes any of the cases that are ready
				x.nak(m)
				return got, x.giveBack(sub, msgs)
			}
			if m.Reply != "" {
				got++
				take(m)
			} else if over, err := broker.PullOver(m); over && err != nil {
				return got, fmt.Errorf("cannot get jobs from the mailbox: %w", err)
			} else if over {
				return got, nil
			}
		case <-silence.C:
			return got, errors.New("the broker lost the request for jobs")
		case <-ctx.Done():
			return got, x.giveBack(sub, msgs)
		}
	}
	return got, nil
}

// nak returns a job; m may be a status instead.
func (x *executor) nak(m *nats.Msg) {
	if m.Reply != "" {
		_ = x.link.Publish(m.Reply, []byte("-NAK")) // a lost nak costs ClaimWait
	}
}

// giveBack ends a request and returns the jobs that still arrive.
func (x *executor) giveBack(sub *nats.Subscription, msgs <-chan *nats.Msg) error {
	closed := sub.StatusChanged(nats.SubscriptionClosed)
	if err := sub.Drain(); err != nil {
		return err
	}
	limit := time.NewTimer(pullLast)
	defer limit.Stop()
	for open := true; open || len(msgs) > 0; {
		select {
		case m := <-msgs:
			x.nak(m)
		case <-closed:
			open, closed = false, nil
		case <-limit.C:
			return errors.New("the broker did not end the request for jobs")
		}
	}
	return nil
}
