package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/joblog"
)

// A LogLine is a line that a job of a flow has logged.
type LogLine struct {
	Job string `json:"job"`
	joblog.Line
}

// LogQuery selects lines of a flow.
type LogQuery struct {
	// Node selects the lines of one node; "" those of all.
	Node string
	// Follow also waits for new lines, until the flow has ended.
	Follow bool
}

// Logs are the lines that jobs of a flow have logged, in the order in which they were stored. Those of a job are in the order
// in which it has logged them.
type Logs struct {
	client *Client
	tail   *tail
	follow bool
	status contract.FlowStatus
	// awaited are the subjects for whose job a start was awaited in vain.
	awaited map[string]bool
}

// Logs opens the lines that are kept of a flow. The caller must close them. The error is ErrUnknownFlow if no flow has the
// id, or ErrUnknownNode.
func (c *Client) Logs(ctx context.Context, flow string, q LogQuery) (*Logs, error) {
	s, err := c.Flow(ctx, flow)
	if err != nil {
		return nil, err
	}
	job := cmp.Or(q.Node, "*")
	if _, ok := s.Jobs[q.Node]; !ok && q.Node != "" && len(s.Jobs) > 0 && s.Omitted == "" {
		return nil, fmt.Errorf("%w: flow %s has no %q", ErrUnknownNode, flow, q.Node)
	}
	t, err := openTail(c.link, contract.StreamLogs, []string{contract.FromAny(contract.LogSubject(flow, job))})
	if err != nil {
		return nil, fmt.Errorf("read the logs of flow %s: %w", flow, explained(err))
	}
	return &Logs{client: c, tail: t, follow: q.Follow && s.Verdict == "", status: s, awaited: map[string]bool{}}, nil
}

// Close releases what reading needs.
func (r *Logs) Close() { r.tail.close() }

// Each passes each line to take, and returns its error.
func (r *Logs) Each(ctx context.Context, take func(LogLine) error) error {
	if r.follow {
		if err := r.untilVerdict(ctx, take); err != nil {
			return err
		}
	}
	for failures := 0; ; failures++ {
		found, all, err := r.tail.rest(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.deliver(ctx, found, take); err != nil || all {
			return err
		}
		if err == nil {
			failures = -1
		} else if failures == restTries || errors.Is(err, jetstream.ErrStreamNotFound) || r.client.link.IsClosed() {
			return fmt.Errorf("read the logs of flow %s: %w", r.status.Flow, noLogs(err))
		}
	}
}

// restTries is how often what is kept is asked for again after an error.
const restTries = 4

// noLogs explains why logs cannot be read.
func noLogs(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return errors.New("the stream " + contract.StreamLogs + " does not exist: the services are of an earlier version, and create it when they are replaced")
	case errors.Is(err, nats.ErrTimeout):
		return errors.New("no answer from the server: it is busy, or does not allow to read the stream " + contract.StreamLogs)
	}
	return explained(err)
}

// untilVerdict delivers lines until the flow has ended.
func (r *Logs) untilVerdict(ctx context.Context, take func(LogLine) error) error {
	running, end := context.WithCancel(ctx)
	defer end()
	ended, flow := make(chan error, 1), r.status.Flow
	go func() {
		defer end()
		ended <- r.client.awaitVerdict(running, flow)
	}()
	for {
		found, err := r.tail.next(running)
		if err == nil {
			err = r.deliver(ctx, found, take)
		}
		if err == nil {
			continue
		}
		over := running.Err() != nil && ctx.Err() == nil
		end()
		if failed := <-ended; over {
			return failed
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
}

// verdictEvery is the time between two questions about a flow whose verdict does not arrive: it may be stored no more.
const verdictEvery = 5 * time.Second

// awaitVerdict returns when a flow has ended.
func (c *Client) awaitVerdict(ctx context.Context, flow string) error {
	feed, err := c.Follow(ctx, Start{}, FlowSubjects(flow)...)
	if err != nil {
		return err
	}
	defer feed.Close()
	again := time.NewTicker(verdictEvery)
	defer again.Stop()
	for {
		select {
		case e := <-feed.Events():
			if e.EndsFlow() {
				return nil
			}
		case <-again.C:
			if s, err := c.Flow(ctx, flow); err == nil && s.Verdict != "" {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// deliver passes the lines of messages on, but not what other executors than those of the jobs have published, or what
// is left of an earlier flow with the same id.
func (r *Logs) deliver(ctx context.Context, found []*stored, take func(LogLine) error) error {
	for _, m := range found {
		job, _ := contract.JobOfLog(m.Subject)
		if job == "" || m.Time.Before(r.status.Submitted) || !r.accepts(ctx, m.Subject) {
			continue
		}
		for _, l := range joblog.Read(m.Data) {
			if err := take(LogLine{job, l}); err != nil {
				return err
			}
		}
	}
	return nil
}

// behindTries is how often the status of a flow is asked for whose job has logged something and has not started.
const behindTries = 5

// accepts reports whether a subject is that of a job's own executor. It waits once for the start of a job: others may
// publish on such a subject, and must not hold up the lines of the flow.
func (r *Logs) accepts(ctx context.Context, subject string) bool {
	job, executor := contract.JobOfLog(subject)
	for try := 0; ; try++ {
		j, known := r.status.Jobs[job]
		switch {
		case !known && r.status.Omitted != "":
			return true // it is not known who did
		case !known && len(r.status.Jobs) > 0:
			return false
		case j.Executor != "" || r.status.Verdict != "":
			return j.Executor == executor
		case try == behindTries, try > 0 && r.awaited[subject]:
			r.awaited[subject] = true
			return false
		}
		if try > 0 {
			pause(ctx, retryPause)
		}
		if s, err := r.client.Flow(ctx, r.status.Flow); err == nil {
			r.status = s
		}
	}
}
