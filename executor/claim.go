package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

const (
	// pullFor is how long one request for jobs stays open; pullBeat is the interval at which the server
	// shows that it still has the request: a restarted server does not.
	pullFor  = 30 * time.Second
	pullBeat = 2 * time.Second
	// pullMost limits the jobs per request, so that the executors of a mailbox share a burst.
	pullMost = 64
)

// claimJobs takes jobs from the mailbox while slots are free. Jobs run under jobCtx.
func (x *executor) claimJobs(ctx, jobCtx context.Context, working *sync.WaitGroup, stuck chan<- struct{}) {
	tries := tries{}
	for {
		free := x.takeSlots(ctx)
		if free == 0 {
			return // the context is done
		}
		got, err := x.pull(ctx, free, func(m *nats.Msg) {
			working.Go(func() {
				defer x.freeSlots(1)
				x.serveJob(jobCtx, m, stuck)
			})
		})
		x.freeSlots(free - got)
		if ctx.Err() != nil {
			continue
		}
		pause, say := tries.after(err)
		if say {
			x.sayNoJobs(err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// Pauses between requests for jobs that fail.
const (
	firstPullPause = 50 * time.Millisecond
	lastPullPause  = time.Second
)

// tries counts the failed requests for jobs in a row.
type tries struct {
	pause time.Duration
	last  string // error
}

// after returns the pause after a request, and whether its error is a new one.
func (t *tries) after(err error) (pause time.Duration, say bool) {
	if err == nil {
		*t = tries{}
		return 0, false
	}
	say = err.Error() != t.last
	*t = tries{pause: min(max(2*t.pause, firstPullPause), lastPullPause), last: err.Error()}
	return t.pause, say
}

func (x *executor) sayNoJobs(err error) {
	if errors.Is(err, broker.ErrNoConsumer) {
		x.config.Log.Warn("the mailbox does not exist yet; waiting until the planner creates it", "mailbox", x.config.Mailbox)
		return
	}
	x.config.Log.Warn("cannot take jobs; trying again", "mailbox", x.config.Mailbox, "error", err)
}

// takeSlots waits for a free slot and takes all free slots, up to pullMost.
func (x *executor) takeSlots(ctx context.Context) int {
	if ctx.Err() != nil {
		return 0
	}
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

// serveJob claims a job and runs it. If the claim fails, the job is left to other executors.
func (x *executor) serveJob(ctx context.Context, m *nats.Msg, stuck chan<- struct{}) {
	doc, err := readJob(m.Data)
	if err != nil {
		x.config.Log.Error("received an unreadable job", "subject", m.Subject, "error", err)
		_ = x.link.Publish(m.Reply, []byte("+TERM not a job: "+err.Error())) // if lost, the job is delivered again
		return
	}
	began := time.Now()
	ours, err := x.claim(ctx, doc, m)
	if err != nil {
		x.config.Log.Warn("job not claimed", "flow", doc.Flow, "job", doc.Job, "error", err)
		return // the next delivery shows whether anyone started it
	}
	if ctx.Err() != nil { // the executor must exit
		_ = x.link.Publish(m.Reply, []byte("+ACK")) // if lost, the next delivery acknowledges it
		if ours {
			x.sayPanic(ctx, doc, drained(), contract.PortCounts{})
		}
		return
	}
	acknowledged := make(chan struct{})
	go func() { defer close(acknowledged); x.acknowledge(ctx, m) }()
	if ours {
		x.run(ctx, doc, began, stuck)
	} else {
		x.config.Log.Info("job already started", "flow", doc.Flow, "job", doc.Job)
	}
	<-acknowledged
}

// readJob rejects a job that cannot be started: it would be delivered forever.
func readJob(data []byte) (contract.Job, error) {
	var doc contract.Job
	if err := jsonv2.Unmarshal(data, &doc); err != nil {
		return doc, err
	}
	for _, name := range []string{doc.Flow, doc.Job} {
		if !document.ValidName(name) {
			return doc, fmt.Errorf("%q is not a name", name)
		}
	}
	return doc, nil
}

// claim publishes the job's job.started, which the broker stores only once, and reports whether the stored one is
// ours. It is not if another executor started the job, or if this executor started it under an earlier delivery.
//
// The acknowledgement follows: if the executor dies before job.started is stored, the job is delivered to
// another one; if job.started is stored, the next executor that receives the job acknowledges it without
// running it.
func (x *executor) claim(ctx context.Context, doc contract.Job, delivery *nats.Msg) (ours bool, err error) {
	e := contract.Event{
		Type: contract.TypeJobStarted, Subject: doc.Flow, Trace: doc.Trace(),
		// The ID distinguishes this claim from all others, including those of this executor.
		ID:      strings.Join([]string{string(contract.TypeJobStarted), doc.Flow, doc.Job, x.config.ID, nuid.Next()}, "."),
		Data:    &contract.JobStarted{Job: doc.Job, Executor: x.config.ID},
		Mailbox: contract.MailboxConsumer(contract.SplitMailbox(x.config.Mailbox)),
	}
	started, err := x.startedBefore(ctx, e.NATSSubject(), delivery)
	if ctx.Err() != nil {
		x.nak(delivery)
		return false, context.Cause(ctx)
	}
	if started || err != nil {
		return false, err
	}
	anyone := contract.StartedBy(e.NATSSubject(), e.Mailbox, "*")
	for {
		err := x.store(ctx, e, first(anyone))
		if err == nil || ctx.Err() == nil && !broker.SaidBefore(err) {
			return err == nil, err
		}
		if ctx.Err() != nil {
			return x.claimed(ctx, anyone, e.ID)
		}
		// Stored by another executor, or by an earlier try of ours whose answer was lost.
		before, found, err := x.stored(ctx, anyone)
		if found {
			return before.ID == e.ID, nil
		}
		// The broker did not answer, or one of its servers is behind.
		if pause(ctx, err) != nil {
			return x.claimed(ctx, anyone, e.ID)
		}
	}
}

// claimed reports whether a job.started that was not answered before the context ended is the stored one. It looks for a
// moment: if it is, nobody but this executor can publish how the job ends.
func (x *executor) claimed(ctx context.Context, anyone, id string) (ours bool, err error) {
	ctx, cancel := lingering(ctx, lastWords/2)
	defer cancel()
	for {
		before, found, err := x.stored(ctx, anyone)
		if found {
			return before.ID == id, nil
		}
		if err := pause(ctx, err); err != nil {
			return false, err
		}
	}
}

// startedBefore reports whether an executor of the previous version has started a job that is delivered again. Its
// job.started is on the plain subject, which the condition of ours does not include.
func (x *executor) startedBefore(ctx context.Context, started string, delivery *nats.Msg) (bool, error) {
	if meta, err := delivery.Metadata(); err == nil && meta.NumDelivered <= 1 {
		return false, nil // no executor had it before
	}
	for {
		_, found, err := x.stored(ctx, started)
		if err == nil {
			return found, nil
		}
		if err := pause(ctx, err); err != nil {
			return false, err
		}
	}
}

// acknowledge removes a job from the mailbox. It retries until the job is delivered again; the executor that
// then receives it acknowledges it, since it was started.
func (x *executor) acknowledge(ctx context.Context, m *nats.Msg) {
	ctx, cancel := context.WithTimeout(ctx, broker.ClaimWait)
	defer cancel()
	for {
		err := x.confirm(ctx, m)
		if err == nil {
			return
		}
		if pause(ctx, err) != nil {
			x.config.Log.Warn("cannot acknowledge a claimed job; it will be delivered again", "subject", m.Subject, "error", err)
			return
		}
	}
}

func (x *executor) confirm(ctx context.Context, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	_, err := x.link.RequestWithContext(ctx, m.Reply, []byte("+ACK"))
	return err
}
