package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/tests/harness"
)

// fed is a flow of sinks that run until their input is closed.
func fed(progdef, deadline string) string {
	return fmt.Sprintf(`{"deadline": %q, "nodes": {"sink": {"progdef": %q}}, "inputs": {"in": "sink.in"}}`, deadline, progdef)
}

// start submits a flow and returns its plan once EVENTS has stored that its jobs are started.
func start(t *testing.T, c *harness.Client, flow, document string) *contract.FlowPlanned {
	t.Helper()
	c.Submit(t, flow, document)
	planned := c.Await(t, "plan of "+flow, harness.Is(contract.TypeFlowPlanned, flow)).Data.(*contract.FlowPlanned)
	for _, j := range planned.Jobs {
		c.AwaitStored(t, contract.FromAny(string(contract.TypeJobStarted)+"."+flow+"."+j.Job))
	}
	return planned
}

// closeInput writes a record to a flow's input and closes it.
func closeInput(t *testing.T, c *harness.Client, planned *contract.FlowPlanned) {
	t.Helper()
	w, err := stream.NewWriter(c.JS, planned.Inputs["in"])
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Send(t.Context(), []byte("last")), w.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// fine checks that a flow has completed.
func fine(t *testing.T, e contract.Event) {
	t.Helper()
	if e.Type != contract.TypeFlowCompleted {
		t.Errorf("%s of %s: %+v; want flow.completed", e.Type, e.Subject, e.Data)
	}
}

// passed waits until a point in time has passed.
func passed(at time.Time) { <-time.After(time.Until(at)) }

// soon returns a deadline for a flow of one sink that this machine, under its present load, can keep: five times as long as
// such a flow has just taken, from its submission to its end.
func soon(t *testing.T, c *harness.Client, flow, progdef string) string {
	t.Helper()
	began := time.Now()
	planned := start(t, c, flow, fed(progdef, "10m"))
	closeInput(t, c, planned)
	fine(t, c.AwaitEnd(t, flow))
	return max(time.Second, 5*time.Since(began)).Round(time.Millisecond).String()
}

// A panic-aggregator that is paused during a flow's deadline decides by the content of EVENTS at the deadline.
func TestPausedAggregator(t *testing.T) {
	o := harness.DefaultOptions()
	o.Processes = []string{aggregator.Name}
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 5, Max: 4, Idle: "1s"})
	p := s.Leader(t, aggregator.Name)
	const beyond = 500 * time.Millisecond // after the deadline

	t.Run("from the submission to the deadline", func(t *testing.T) {
		deadline := soon(t, c, "before-all", "sink")
		p.Pause(t)
		planned := start(t, c, "all", fed("sink", deadline))
		closeInput(t, c, planned)
		c.AwaitStored(t, contract.FromAny("job.done.all.sink"))
		passed(planned.Deadline.Add(beyond))
		p.Resume(t)
		fine(t, c.AwaitEnd(t, "all"))
	})
	t.Run("from the start of its job", func(t *testing.T) {
		planned := start(t, c, "late", fed("sink", soon(t, c, "before-late", "sink")))
		p.Pause(t)
		closeInput(t, c, planned)
		c.AwaitStored(t, contract.FromAny("job.done.late.sink"))
		passed(planned.Deadline.Add(beyond))
		p.Resume(t)
		fine(t, c.AwaitEnd(t, "late"))
	})
	t.Run("its job ends after the deadline", func(t *testing.T) {
		planned := start(t, c, "overdue", fed("sink", soon(t, c, "before-overdue", "sink")))
		p.Pause(t)
		passed(planned.Deadline.Add(beyond))
		p.Resume(t)
		if d := panicked(t, c.AwaitEnd(t, "overdue")); d.Cause.Kind != contract.KindDeadline {
			t.Errorf("cause %+v, want the deadline", d.Cause)
		}
	})
	t.Run("beats continue", func(t *testing.T) {
		var plans []*contract.FlowPlanned
		for i := range 20 {
			plans = append(plans, start(t, c, fmt.Sprintf("beats-%d", i), fed("sink", "1m")))
		}
		p.PauseFor(t, 3*time.Second) // three times the health timeout
		for i, planned := range plans {
			closeInput(t, c, planned)
			fine(t, c.AwaitEnd(t, fmt.Sprintf("beats-%d", i)))
		}
	})
	t.Run("a cancel arrives before the deadline", func(t *testing.T) {
		planned := start(t, c, "cancelled", fed("sink", soon(t, c, "before-cancelled", "sink")))
		p.Pause(t)
		c.Cancel(t, "cancelled")
		passed(planned.Deadline.Add(beyond))
		p.Resume(t)
		if end := c.AwaitEnd(t, "cancelled"); end.Type != contract.TypeFlowCancelled {
			t.Errorf("%s: %+v; want flow.cancelled", end.Type, end.Data)
		}
	})
	t.Run("a cancel arrives after the end of its job", func(t *testing.T) {
		planned := start(t, c, "done", fed("sink", "1m"))
		p.Pause(t)
		closeInput(t, c, planned)
		c.AwaitStored(t, contract.FromAny("job.done.done.sink"))
		c.Cancel(t, "done")
		p.Resume(t)
		fine(t, c.AwaitEnd(t, "done"))
	})
	for _, flow := range []string{"all", "late", "overdue", "cancelled", "done"} {
		c.Await(t, "clean-up of "+flow, harness.Is(contract.TypeFlowCleaned, flow))
		oneEnd(t, c, flow)
	}
	s.AwaitNothingLeft(t, c)
}

// A spawner that is paused for longer than an executor may linger first learns what has ended meanwhile.
func TestPausedSpawner(t *testing.T) {
	o := harness.DefaultOptions()
	o.Processes = []string{spawner.Name}
	o.Spawner.Limits.Linger = 1500 * time.Millisecond
	o.Aggregator.Limits.Settle = 100 * time.Millisecond
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "stops-late", In: true, Slots: 2, Idle: "1s"})
	p := s.Leader(t, spawner.Name)
	other := start(t, c, "other", fed("stops-late", "1m"))
	pause := map[string]func(flow string){
		"before-the-verdict": func(flow string) { p.Pause(t); c.Cancel(t, flow); c.AwaitEnd(t, flow) },
		"behind-the-verdict": func(flow string) { c.Cancel(t, flow); c.AwaitEnd(t, flow); p.Pause(t) },
	}
	for flow, end := range pause {
		start(t, c, flow, fed("stops-late", "1m"))
		end(flow)
		c.AwaitStored(t, contract.FromAny("job.done."+flow+".sink"))
		<-time.After(o.Spawner.Limits.Linger + 500*time.Millisecond)
		p.Resume(t)
		c.Await(t, "clean-up of "+flow, harness.Is(contract.TypeFlowCleaned, flow))
	}
	// A new flow is granted only after the spawner has handled the pause.
	start(t, c, "next", fed("stops-late", "1m"))
	for _, e := range c.Events(func(e contract.Event) bool {
		return e.Type == contract.TypeExecutorDraining || e.Type == contract.TypeExecutorExited
	}) {
		t.Errorf("an executor that was serving a flow was given up: %s %+v", e.Type, e.Data)
	}
	closeInput(t, c, other)
	fine(t, c.AwaitEnd(t, "other"))
	c.Cancel(t, "next")
	c.AwaitEnd(t, "next")
	if ids := strings.Join(s.Executors(), " "); strings.Contains(ids, " ") {
		t.Errorf("executors %s, want one", ids)
	}
	s.AwaitNothingLeft(t, c)
}
