package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/joblog"
	"github.com/dagyo/dagyo/services/dagyo/clienttest"
)

// logging is a flow whose job j was started by the executor x.
func logging(verdict contract.Type, submitted time.Time) contract.FlowStatus {
	return contract.FlowStatus{
		Flow: "f", Phase: contract.TypeJobStarted, Verdict: verdict, Submitted: submitted,
		Jobs: map[string]contract.JobStatus{"j": {JobSummary: contract.JobSummary{State: contract.JobRunning, Executor: "x"}}},
	}
}

// logsOf returns a client of a server with the stream of logs, and a link to store messages in it.
func logsOf(t *testing.T, s contract.FlowStatus) (*client.Client, storage) {
	t.Helper()
	server := clienttest.Start(t, s)
	link, err := broker.Connect(t.Context(), broker.Options{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	if _, err := link.JS.CreateStream(t.Context(), joblog.StreamConfig(1, joblog.DefaultLimits())); err != nil {
		t.Fatal(err)
	}
	return connect(t, server.URL), storage{link}
}

// storage stores messages in the stream of logs.
type storage struct{ *broker.Link }

func (s storage) store(t *testing.T, subject string, texts ...string) {
	t.Helper()
	var batch []byte
	for _, text := range texts {
		batch = joblog.Append(batch, joblog.Line{Time: time.Now(), Stream: joblog.Log, Text: text})
	}
	if _, err := s.JS.Publish(t.Context(), subject, batch, jetstream.WithRetryAttempts(0)); err != nil {
		t.Fatal(err)
	}
}

func readLogs(t *testing.T, c *client.Client, q client.LogQuery) (out []string, err error) {
	t.Helper()
	logs, err := c.Logs(t.Context(), "f", q)
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	err = logs.Each(t.Context(), func(l client.LogLine) error {
		out = append(out, l.Job+" "+l.Text)
		return nil
	})
	return out, err
}

// Only the executor that has started a job logs for it. What is none of its lines is left out.
func TestForgedLogs(t *testing.T) {
	c, link := logsOf(t, logging(contract.TypeFlowCompleted, time.Now().Add(-time.Minute)))
	link.store(t, "log.f.j.by.mallory", "forged")
	link.store(t, "log.f.k.by.mallory", "of a job that the flow does not have")
	link.store(t, "log.g.j.by.x", "of another flow")
	link.store(t, "log.f.j.by.x", "one", "two")
	link.store(t, "log.f.j.by.x", strings.Repeat("x", 2*joblog.MaxText))
	got, err := readLogs(t, c, client.LogQuery{Follow: true}) // the flow has ended
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || !slices.Equal(got[:2], []string{"j one", "j two"}) || len(got[2]) > joblog.MaxText+2 {
		t.Errorf("got %.60q", got)
	}
	if _, err := readLogs(t, c, client.LogQuery{Node: "k"}); !errors.Is(err, client.ErrUnknownNode) {
		t.Errorf("a node that does not exist: %v", err)
	}
}

// Who floods the subjects of jobs that it does not run does not hold up the lines of others.
func TestForgedLogsAreCheap(t *testing.T) {
	s := logging("", time.Now().Add(-time.Minute))
	s.Jobs["pending"] = contract.JobStatus{JobSummary: contract.JobSummary{State: contract.JobWaiting}}
	c, link := logsOf(t, s)
	const forged = 20
	for range forged {
		link.store(t, "log.f.pending.by.mallory", "forged")
		link.store(t, "log.f.unknown.by.mallory", "forged")
	}
	link.store(t, "log.f.j.by.x", "one")
	asked, err := link.SubscribeSync(contract.AskFlowGet)
	if err == nil {
		err = link.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readLogs(t, c, client.LogQuery{}); err != nil || !slices.Equal(got, []string{"j one"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if err := link.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := asked.Pending(); err != nil || n > forged+10 {
		t.Errorf("%d questions about the flow, %v", n, err)
	}
}

// A flow does not have the lines of an earlier one with its id.
func TestLogsOfEarlierFlow(t *testing.T) {
	c, link := logsOf(t, logging(contract.TypeFlowCompleted, time.Now().Add(time.Hour)))
	link.store(t, "log.f.j.by.x", "earlier")
	if got, err := readLogs(t, c, client.LogQuery{}); err != nil || len(got) != 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

// Many lines are read in order, each once, while more arrive.
func TestFollowLogs(t *testing.T) {
	c, link := logsOf(t, logging("", time.Now().Add(-time.Minute)))
	const messages, lines = 200, 10
	logs, err := c.Logs(t.Context(), "f", client.LogQuery{Node: "j", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		for i := range messages {
			var texts []string
			for j := range lines {
				texts = append(texts, fmt.Sprint(i*lines+j))
			}
			link.store(t, "log.f.j.by.x", texts...)
		}
	}()
	ctx, enough := context.WithCancelCause(t.Context())
	next, done := 0, errors.New("all are read")
	err = logs.Each(ctx, func(l client.LogLine) error {
		if l.Text != fmt.Sprint(next) {
			return fmt.Errorf("line %q, want %d", l.Text, next)
		}
		if next++; next == messages*lines {
			enough(done)
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Error(err)
	}
	<-stored
}

func TestNoLogs(t *testing.T) {
	c := connect(t, clienttest.Start(t, logging(contract.TypeFlowCompleted, time.Now())).URL)
	if _, err := readLogs(t, c, client.LogQuery{}); err == nil || !strings.Contains(err.Error(), "the stream LOGS does not exist") {
		t.Errorf("a server without logs: %v", err)
	}
}
