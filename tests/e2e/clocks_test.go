package e2e

import (
	"strconv"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/tests/harness"
)

// say publishes an event like a service or an executor.
func say(t *testing.T, c *harness.Client, e contract.Event) {
	t.Helper()
	e.ID, e.Time = "test."+string(e.Type)+"."+e.Subject, time.Now()
	if e.Source == "" {
		e.Source = "/test"
	}
	m, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	m.Subject = e.IngressSubject()
	if _, err := c.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// A job lives as long as its executor's beats are valid, whatever the executor's clock shows.
func TestClocksOfExecutors(t *testing.T) {
	const (
		timeout = time.Second
		beats   = 20
		pause   = 200 * time.Millisecond
	)
	tests := map[string]func() string{
		"relative": func() string { return "+" + strconv.FormatInt(timeout.Milliseconds(), 10) },
		"right":    func() string { return absolute(timeout) },
		"behind":   func() string { return absolute(timeout - time.Hour) },
		"ahead":    func() string { return absolute(timeout + time.Hour) },
	}
	o := harness.DefaultOptions()
	o.Without = []string{spawner.Name} // the test replaces it and the executor
	o.Planner.SweepEvery = time.Hour   // no other events are stored
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 5, Silence: timeout.String()})
	for name, beat := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.Submit(t, name, fed("sink", "5m"))
			c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, name))
			c.AwaitStored(t, "flow.planned."+name)
			say(t, c, contract.Event{Type: contract.TypeFlowSpawned, Subject: name, Data: &contract.FlowSpawned{Jobs: 1}})
			say(t, c, contract.Event{
				Type: contract.TypeJobStarted, Subject: name, Data: &contract.JobStarted{Job: "sink", Executor: "x-" + name},
			})
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for range beats {
				if err := c.Publish(contract.HealthSubject(name, "sink"), []byte(beat())); err != nil {
					t.Fatal(err)
				}
				<-tick.C
			}
			last := time.Now()
			if ends := c.Events(harness.Ended(name)); len(ends) > 0 {
				t.Fatalf("a job with beats is lost: %+v", ends)
			}
			d := panicked(t, c.AwaitEnd(t, name))
			if d.Cause.Kind != contract.KindLostHealth {
				t.Errorf("cause %+v, want lost-health", d.Cause)
			}
			if took := time.Since(last); took > harness.Patience/2 {
				t.Errorf("the job was lost %v after its last beat, which was good for %v", took, timeout)
			}
		})
	}
}

func absolute(ahead time.Duration) string {
	return strconv.FormatInt(time.Now().Add(ahead).UnixMilli(), 10)
}

// An executor's event about a job that another executor has started has no effect, and is answered.
func TestForeignExecutor(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 5})
	c.ApplyFaulty(t, harness.Faulty{Name: "waits", Out: true})
	planned := start(t, c, "mine", fed("sink", "1m"))
	start(t, c, "first", alone("waits"))
	c.Submit(t, "unstarted", alone("waits"))
	c.Await(t, "queue", harness.Is(contract.TypeFlowQueued, "unstarted"))
	failure := contract.Failure{Kind: contract.KindError, Message: "not my job"}
	for _, e := range []contract.Event{
		{Type: contract.TypeJobDone, Subject: "mine", Data: &contract.JobDone{Job: "sink", Executor: "stranger"}},
		{Type: contract.TypeJobDone, Subject: "mine", Data: &contract.JobDone{Job: "sink", Executor: "stranger", Stopped: true}},
		{Type: contract.TypeJobPanic, Subject: "mine", Data: &contract.JobPanic{Job: "sink", Executor: "stranger", Failure: failure}},
		{Type: contract.TypeJobPanic, Subject: "unstarted", Data: &contract.JobPanic{Job: "bad", Executor: "stranger", Failure: failure}},
		{Type: contract.TypeJobDone, Subject: "unstarted", Data: &contract.JobDone{Job: "bad", Executor: "stranger"}},
	} {
		say(t, c, e)
		c.AwaitStored(t, e.NATSSubject())
		last, err := lastSeq(t, c, e.NATSSubject())
		if err != nil {
			t.Fatal(err)
		}
		c.Await(t, "dead letter on "+e.NATSSubject(), func(e contract.Event) bool {
			d, ok := e.Data.(*contract.DeadLetter)
			return ok && d.Sequence == last
		})
	}
	closeInput(t, c, planned)
	fine(t, c.AwaitEnd(t, "mine"))
	for _, flow := range []string{"unstarted", "first"} {
		c.Cancel(t, flow)
		if end := c.AwaitEnd(t, flow); end.Type != contract.TypeFlowCancelled {
			t.Errorf("%s of %s: %+v; want flow.cancelled", end.Type, flow, end.Data)
		}
	}
	for _, flow := range []string{"mine", "unstarted", "first"} {
		c.Await(t, "clean-up of "+flow, harness.Is(contract.TypeFlowCleaned, flow))
		oneEnd(t, c, flow)
	}
	// The spawner's counts are also right: the only slot is free.
	start(t, c, "next", alone("waits"))
	c.Cancel(t, "next")
	c.AwaitEnd(t, "next")
}

// lastSeq is the place of the last event on a subject.
func lastSeq(t *testing.T, c *harness.Client, subject string) (uint64, error) {
	t.Helper()
	events, err := c.JS.Stream(t.Context(), contract.StreamEvents)
	if err != nil {
		return 0, err
	}
	m, err := events.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		return 0, err
	}
	return m.Sequence, nil
}
