package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

const (
	// pullFor is how long one request for jobs stays open, pullBeat how often the server shows that
	// it still knows of it: a restarted server does not.
	pullFor  = 30 * time.Second
	pullBeat = 2 * time.Second
	// pullMost bounds the jobs of one request, so that executors of one mailbox share a burst.
	pullMost = 64
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
	doc, err := readJob(m.Data)
	if err != nil {
		x.config.Log.Error("a job that cannot be read", "subject", m.Subject, "error", err)
		_ = x.link.Publish(m.Reply, []byte("+TERM not a job: "+err.Error())) // lost, it comes again
		return
	}
	ours, err := x.claim(ctx, doc)
	if err != nil {
		x.config.Log.Warn("job not claimed", "flow", doc.Flow, "job", doc.Job, "error", err)
		return // who has started it, if anybody, is told by the next delivery
	}
	acknowledged := make(chan struct{})
	go func() { defer close(acknowledged); x.acknowledge(ctx, m) }()
	if ours {
		x.run(ctx, doc, stuck)
	} else {
		x.config.Log.Info("the job was started before", "flow", doc.Flow, "job", doc.Job)
	}
	<-acknowledged
}

// readJob refuses what could not even be started: it would be offered for ever.
func readJob(data []byte) (contract.Job, error) {
	var doc contract.Job
	if err := json.Unmarshal(data, &doc); err != nil {
		return doc, err
	}
	for _, name := range []string{doc.Flow, doc.Job} {
		if !document.ValidName(name) {
			return doc, fmt.Errorf("%q is not a name", name)
		}
	}
	return doc, nil
}

// claim publishes the job's job.started, which the broker stores once, and reports whether the one that is
// stored is ours. It is not, where another executor has started the job, or this one under an earlier delivery.
//
// The acknowledgement comes after that: a job whose executor dies before job.started is stored is offered to
// another one, and a job whose job.started is stored is acknowledged, and not run, by the executor that
// receives it next.
func (x *executor) claim(ctx context.Context, doc contract.Job) (ours bool, err error) {
	e := contract.Event{
		Type: contract.TypeJobStarted, Subject: doc.Flow, TraceParent: doc.TraceParent,
		// The ID tells this claim from every other one, of this executor too.
		ID:   strings.Join([]string{string(contract.TypeJobStarted), doc.Flow, doc.Job, x.config.ID, nuid.Next()}, "."),
		Data: &contract.JobStarted{Job: doc.Job, Executor: x.config.ID},
	}
	for {
		err := x.publish(ctx, e)
		if !broker.SaidBefore(err) {
			return err == nil, err
		}
		// By another, or by us in a try whose answer was lost.
		before, found, err := x.stored(ctx, e.NATSSubject())
		if found {
			return before.ID == e.ID, nil
		}
		// The broker has not said, or one of its servers is behind.
		if err := pause(ctx, err); err != nil {
			return false, err
		}
	}
}

// acknowledge has the mailbox forget a job. It tries for as long as the job is not offered again; then
// the executor that receives it acknowledges it, since it was started.
func (x *executor) acknowledge(ctx context.Context, m *nats.Msg) {
	ctx, cancel := context.WithTimeout(ctx, broker.ClaimWait)
	defer cancel()
	for {
		err := x.confirm(ctx, m)
		if err == nil {
			return
		}
		if pause(ctx, err) != nil {
			x.config.Log.Warn("a claimed job is not acknowledged; it will come again", "subject", m.Subject, "error", err)
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
