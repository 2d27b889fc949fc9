package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/tests/harness"
)

// A job that another executor has started is not started again, although it is in the mailbox and the broker confirms
// its acknowledgement.
func TestStartedJobIsNotStartedAgain(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	starts := harness.SharedFolder(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "mortal", Slots: 2, Env: map[string]string{"STARTS": starts}})
	c.Submit(t, "model", `{"nodes": {"m": {"progdef": "mortal"}}}`)
	planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "model")).Data.(*contract.FlowPlanned)
	c.AwaitEnd(t, "model")

	job := planned.Jobs[0]
	job.Flow = "copy"
	started, err := event.Encode(contract.Event{
		Type: contract.TypeJobStarted, Subject: "copy", Source: "/somebody-else", By: "somebody-else", Time: time.Now(),
		Mailbox: contract.MailboxConsumer(job.Progdef, job.Revision),
		Data:    &contract.JobStarted{Job: job.Job, Executor: "somebody-else"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.JS.PublishMsg(t.Context(), started); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	subject := contract.JobSubject(job.Progdef, job.Revision, "copy", job.Job)
	if _, err := c.JS.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: body}); err != nil {
		t.Fatal(err)
	}
	awaitTaken(t, c, subject)
	// The same executor takes the next job after the copy.
	c.Submit(t, "next", `{"nodes": {"m": {"progdef": "mortal"}}}`)
	c.AwaitEnd(t, "next")
	if _, err := os.Stat(filepath.Join(starts, "copy."+job.Job)); !os.IsNotExist(err) {
		t.Errorf("the job was started again: %v", err)
	}
}

// awaitTaken waits until a job has left its mailbox.
func awaitTaken(t *testing.T, c *harness.Client, subject string) {
	t.Helper()
	jobs, err := c.JS.Stream(t.Context(), contract.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); <-tick.C {
		if _, err := jobs.GetLastMsgForSubject(t.Context(), subject); err == jetstream.ErrMsgNotFound {
			return
		}
	}
	t.Fatalf("%s was not taken", subject)
}
