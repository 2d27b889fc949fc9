package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// steps are the events of a good flow; a service is killed right after each of them.
var steps = []contract.Type{
	contract.TypeFlowSubmit, contract.TypeFlowValidated, contract.TypeFlowPlanned, contract.TypeFlowSpawned,
	contract.TypeJobStarted, contract.TypeJobDone, contract.TypeFlowCompleted,
}

// Every service is killed and restarted between any two events of a flow. The flow still has the same single verdict,
// and nothing is left.
func TestServiceKilledAtEveryStep(t *testing.T) {
	for _, service := range harness.Services {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, harness.DefaultOptions())
			c := s.Client(t)
			applyGood(t, c, 10, 1)
			for _, step := range steps {
				flow := "killed-after-" + strings.ReplaceAll(string(step), ".", "-")
				c.Submit(t, flow, words)
				if step != contract.TypeFlowSubmit {
					c.Await(t, string(step)+" of "+flow, harness.Is(step, flow))
				}
				s.KillService(t, service)
				s.StartService(t, service)
				completed(t, c.AwaitEnd(t, flow))
				c.Await(t, "clean-up of "+flow, harness.Is(contract.TypeFlowCleaned, flow))
				oneEnd(t, c, flow)
			}
			s.AwaitNothingLeft(t, c)
		})
	}
}

// The same with failing and cancelled flows.
func TestServiceKilledWhileFlowsEnd(t *testing.T) {
	for _, service := range harness.Services {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, harness.DefaultOptions())
			c := s.Client(t)
			c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 10})
			c.ApplyFaulty(t, harness.Faulty{Name: "waits", Out: true, Slots: 10})
			// The health timeout must exceed the duration of a change of leader, or the silence is detected before the
			// exit.
			c.ApplyFaulty(t, harness.Faulty{Name: "exits-three", Out: true, Silence: "10s"})
			c.Submit(t, "waits", alone("waits"))
			c.Await(t, "start", harness.Is(contract.TypeJobStarted, "waits"))
			c.Submit(t, "crashes", alone("exits-three"))
			c.Await(t, "start", harness.Is(contract.TypeJobStarted, "crashes"))
			c.Cancel(t, "waits")
			s.KillService(t, service)
			s.StartService(t, service)
			if got := panicked(t, c.AwaitEnd(t, "crashes")).Cause.Kind; got != contract.KindCrash {
				t.Errorf("kind %s, want crash", got)
			}
			if end := c.AwaitEnd(t, "waits"); end.Type != contract.TypeFlowCancelled {
				t.Errorf("%s, want flow.cancelled", end.Type)
			}
			for _, flow := range []string{"crashes", "waits"} {
				c.Await(t, "clean-up of "+flow, harness.Is(contract.TypeFlowCleaned, flow))
				oneEnd(t, c, flow)
			}
			s.AwaitNothingLeft(t, c)
		})
	}
}

// With three replicas of every service, each event of a flow is still published once, also on plain NATS.
func TestReplicas(t *testing.T) {
	o := harness.DefaultOptions()
	o.Replicas = 3
	s := harness.Start(t, o)
	c := s.Client(t)
	applyGood(t, c, 10, 2)
	c.ApplyFaulty(t, harness.Faulty{Name: "returns-error", Out: true, Slots: 10})
	var flows []string
	for i := range 20 {
		good, bad := fmt.Sprintf("good-%d", i), fmt.Sprintf("bad-%d", i)
		c.Submit(t, good, words)
		c.Submit(t, bad, alone("returns-error"))
		flows = append(flows, good, bad)
	}
	for _, flow := range flows {
		c.Await(t, "clean-up of "+flow, harness.Is(contract.TypeFlowCleaned, flow))
		oneEnd(t, c, flow)
	}
	seen := map[string]int{}
	for _, m := range c.Messages() {
		if strings.HasPrefix(m.Subject, string(contract.TypeFlowQueued)) {
			continue // published again when the place has changed
		}
		if seen[m.Subject]++; seen[m.Subject] > 1 {
			t.Errorf("%s was published %d times", m.Subject, seen[m.Subject])
		}
	}
}
