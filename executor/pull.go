package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// pullLast is how long to wait for jobs in flight, to return them, when no more are needed.
const pullLast = 2 * time.Second

// A pullRequest asks a mailbox for jobs, as the broker reads it.
type pullRequest struct {
	Batch     int           `json:"batch"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
}

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
	request, err := json.Marshal(pullRequest{n, pullFor, pullBeat})
	if err != nil {
		return 0, err
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + contract.StreamJobs + "." + contract.MailboxConsumer(x.progdef, x.revision)
	if err := x.link.PublishRequest(subject, inbox, request); err != nil {
		return 0, err
	}
	silence := time.NewTimer(3 * pullBeat)
	defer silence.Stop()
	for got < n {
		select {
		case m := <-msgs:
			silence.Reset(3 * pullBeat)
			if m.Reply != "" {
				got++
				take(m)
			} else if over, err := pullOver(m); over {
				return got, err
			}
		case <-silence.C:
			return got, errors.New("the broker lost the request for jobs")
		case <-ctx.Done():
			return got, x.giveBack(sub, msgs)
		}
	}
	return got, nil
}

// pullOver interprets a status message of the broker about a request.
func pullOver(m *nats.Msg) (over bool, err error) {
	switch code := m.Header.Get("Status"); code {
	case "100": // a heartbeat
		return false, nil
	case "404", "408": // none arrived in time
		return true, nil
	default:
		return true, fmt.Errorf("cannot get jobs from the mailbox: status %s %s", code, m.Header.Get("Description"))
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
			if m.Reply != "" {
				_ = x.link.Publish(m.Reply, []byte("-NAK")) // a lost nak costs ClaimWait
			}
		case <-closed:
			open, closed = false, nil
		case <-limit.C:
			return errors.New("the broker did not end the request for jobs")
		}
	}
	return nil
}
