package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// The same document under the same flow id is the same submission, however often and however late it is sent.
func TestDuplicateSubmit(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	for range 5 {
		c.Submit(t, "twin", words)
	}
	completed(t, c.AwaitEnd(t, "twin"))
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "twin"))
	c.Submit(t, "twin", words)
	c.Submit(t, "later", words)
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "later"))
	oneEnd(t, c, "twin")
	for _, typ := range []contract.Type{contract.TypeFlowValidated, contract.TypeFlowPlanned, contract.TypeFlowSpawned} {
		if n := len(c.Events(harness.Is(typ, "twin"))); n != 1 {
			t.Errorf("%d times %s, want once", n, typ)
		}
	}
}

// A rejected flow may be corrected and submitted again under its id.
func TestSubmitAgainAfterRejection(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.Submit(t, "again", words)
	if end := c.AwaitEnd(t, "again"); end.Type != contract.TypeFlowRejected {
		t.Fatalf("%s, want flow.rejected", end.Type)
	}
	applyGood(t, c, 10, 1)
	c.Submit(t, "again", words)
	c.Await(t, "completion", harness.Is(contract.TypeFlowCompleted, "again"))
}

func TestCancel(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	c.ApplyFaulty(t, harness.Faulty{Name: "waits", Out: true})
	c.ApplyFaulty(t, harness.Faulty{Name: "endless", Out: true})
	cancelled := func(t *testing.T, flow string) *contract.FlowCancelled {
		t.Helper()
		d, ok := c.AwaitEnd(t, flow).Data.(*contract.FlowCancelled)
		if !ok || d.By != "" || d.Source != "/test" || d.Reason != "test" {
			t.Fatalf("%+v, want a flow.cancelled by an unproven /test", d)
		}
		c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, flow))
		oneEnd(t, c, flow)
		return d
	}
	t.Run("before", func(t *testing.T) {
		c.Cancel(t, "before")
		c.Submit(t, "before", words)
		cancelled(t, "before")
	})
	t.Run("running", func(t *testing.T) {
		c.Submit(t, "running", alone("endless"))
		c.Await(t, "start", func(e contract.Event) bool {
			d, ok := e.Data.(*contract.JobStarted)
			return ok && e.Subject == "running" && d.Job == "bad"
		})
		c.AwaitStored(t, contract.FromAny("job.started.running.bad"))
		c.Cancel(t, "running")
		if d := cancelled(t, "running"); d.Jobs["bad"].State != contract.JobStopped {
			t.Errorf("jobs %+v, want them stopped", d.Jobs)
		}
	})
	t.Run("queued", func(t *testing.T) {
		c.Submit(t, "first", alone("waits"))
		c.Await(t, "grant", harness.Is(contract.TypeFlowSpawned, "first"))
		c.Submit(t, "queued", alone("waits"))
		c.Await(t, "queue", harness.Is(contract.TypeFlowQueued, "queued"))
		c.Cancel(t, "queued")
		cancelled(t, "queued")
		c.Cancel(t, "first")
		cancelled(t, "first")
	})
	t.Run("after", func(t *testing.T) {
		c.Submit(t, "after", words)
		completed(t, c.AwaitEnd(t, "after"))
		c.Cancel(t, "after")
		c.Submit(t, "next", words)
		c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "next"))
		oneEnd(t, c, "after")
	})
	t.Run("racing", func(t *testing.T) {
		ends := map[contract.Type]int{}
		for i := range 50 {
			flow := fmt.Sprintf("race-%d", i)
			c.Submit(t, flow, words)
			if i%2 == 0 {
				c.Await(t, "start", harness.Is(contract.TypeJobStarted, flow))
			}
			c.Cancel(t, flow)
			ends[c.AwaitEnd(t, flow).Type]++
			c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, flow))
			oneEnd(t, c, flow)
		}
		if ends[contract.TypeFlowCompleted]+ends[contract.TypeFlowCancelled] != 50 {
			t.Errorf("ends %v, want completed and cancelled only", ends)
		}
	})
}

func TestDeadline(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true})
	c.ApplyFaulty(t, harness.Faulty{Name: "waits", Out: true})
	c.Submit(t, "late", strings.Replace(alone("waits"), "{", `{"deadline": "1s",`, 1))
	d := panicked(t, c.AwaitEnd(t, "late"))
	if d.Cause.Kind != contract.KindDeadline || d.Cause.Job != "" {
		t.Errorf("cause %+v, want the flow's deadline", d.Cause)
	}
	if d.Jobs["bad"].State != contract.JobStopped {
		t.Errorf("jobs %+v, want them stopped", d.Jobs)
	}
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "late"))
	oneEnd(t, c, "late")
}
