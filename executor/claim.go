package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

const (
	// pullFor is how long one request for jobs stays open, pullBeat how often the server shows that
	// it still knows of it: a restarted server does not.
	pullFor  = 30 * time.Second
	pullBeat = 2 * time.Second
	// pullMost bounds the jobs of one request, so that executors of one mailbox share a burst.
	pullMost = 64
	// claimTimeout bounds the confirmation of a claim; below broker.ClaimWait.
	claimTimeout = 5 * time.Second
)

// claimJobs takes jobs from the mailbox while there are free slots. Jobs run under jobCtx.
func (x *executor) claimJobs(ctx, jobCtx context.Context, working *sync.WaitGroup, stuck chan<- struct{}) {
	there := false // the mailbox
	for {
		free := x.takeSlots(ctx)
		if free == 0 {
			return // the context has ended
		}
		got := 0
		err := x.ensureMailbox(ctx, there)
		if err == nil {
			got, err = x.pull(ctx, free, func(m *nats.Msg) {
				working.Go(func() {
					defer x.freeSlots(1)
					x.serveJob(jobCtx, m, stuck)
				})
			})
		}
		x.freeSlots(free - got)
		there = err == nil
		if there || ctx.Err() != nil {
			continue
		}
		x.config.Log.Warn("cannot take jobs; trying again", "mailbox", x.config.Mailbox, "error", err)
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

func (x *executor) ensureMailbox(ctx context.Context, there bool) error {
	if there {
		return nil
	}
	_, err := broker.EnsureMailbox(ctx, x.link.JS, x.progdef, x.revision)
	return err
}

// takeSlots waits for a free slot, and takes all that are free, pullMost at most.
func (x *executor) takeSlots(ctx context.Context) int {
	select {
	case x.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	n := 1
	for ; n < pullMost; n++ {
		select {
		case x.slots <- struct{}{}:
		default:
			return n
		}
	}
	return n
}

func (x *executor) freeSlots(n int) {
	for range n {
		<-x.slots
	}
}

// serveJob claims a job and runs it. Whatever prevents the claim leaves the job to others.
func (x *executor) serveJob(ctx context.Context, m *nats.Msg, stuck chan<- struct{}) {
	var doc contract.Job
	if err := json.Unmarshal(m.Data, &doc); err != nil {
		x.config.Log.Error("a job that cannot be read", "subject", m.Subject, "error", err)
		_ = x.link.Publish(m.Reply, []byte("+TERM not a job: "+err.Error())) // lost, it comes again
		return
	}
	if err := x.claim(ctx, m, doc); err != nil {
		x.config.Log.Warn("job not claimed", "flow", doc.Flow, "job", doc.Job, "error", err)
		return
	}
	x.run(ctx, doc, stuck)
}

// claim makes the job ours, and nobody else's: the broker confirms that it is off the mailbox, and
// that our job.started is the first. The second matters because a broker confirms late
// acknowledgements too: after ClaimWait two executors may both hold one.
func (x *executor) claim(ctx context.Context, m *nats.Msg, doc contract.Job) error {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	if _, err := x.link.RequestWithContext(ctx, m.Reply, []byte("+ACK")); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	err := x.say(ctx, contract.Event{
		Type: contract.TypeJobStarted, Subject: doc.Flow,
		Data:        &contract.JobStarted{Job: doc.Job, Executor: x.config.ID},
		TraceParent: doc.TraceParent,
	})
	if broker.SaidBefore(err) {
		return errors.New("another executor has started it")
	}
	return err
}

// say publishes an event, trying again until the broker has it or the context ends.
func (x *executor) say(ctx context.Context, e contract.Event) error {
	e.Source = "/dagyo/executor/" + x.config.ID
	e.Time = time.Now().UTC()
	m, err := event.Encode(e)
	if err != nil {
		return err
	}
	var opts []jetstream.PublishOpt
	if e.Type == contract.TypeJobStarted {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(0))
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err = x.link.JS.PublishMsg(attempt, m, opts...)
		cancel()
		if err == nil || broker.SaidBefore(err) || errors.Is(err, nats.ErrMaxPayload) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
