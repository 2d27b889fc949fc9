package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// envLong enables the tests with long pauses.
const envLong = "DAGYO_TEST_LONG"

// A leader that was paused for longer than its lease has no effect when it resumes, in any service: each flow has one
// verdict, also on plain NATS, no job starts twice, and nothing is left.
func TestPausedLeader(t *testing.T) {
	pauses := []time.Duration{time.Second, 5 * time.Second}
	if os.Getenv(envLong) != "" {
		pauses = append(pauses, 35*time.Second, 130*time.Second)
	}
	o := harness.DefaultOptions()
	o.Replicas = 2
	o.Processes = harness.Services
	s := harness.Start(t, o)
	c := s.Client(t)
	starts := harness.SharedFolder(t)
	// Programs sometimes kill their executors; no flow may end because of silence here.
	c.ApplyFaulty(t, harness.Faulty{Name: "mortal", Slots: 5, Max: 4, Silence: "1m", Idle: "2s", Env: map[string]string{"STARTS": starts}})
	document := `{"nodes": {"a": {"progdef": "mortal"}, "b": {"progdef": "mortal"}}}`

	over := make(chan struct{})
	var load sync.WaitGroup
	var flows []string
	load.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
			case <-over:
				return
			}
			id := fmt.Sprintf("f-%d", i)
			flows = append(flows, id)
			c.Submit(t, id, document)
			if i%10 == 5 {
				c.Cancel(t, id)
			}
		}
	})
	for _, pause := range pauses {
		for _, name := range harness.Services {
			s.Leader(t, name).PauseFor(t, pause)
		}
	}
	// All at once.
	var all []*harness.Process
	for _, name := range harness.Services {
		all = append(all, s.Leader(t, name))
	}
	for _, p := range all {
		p.Pause(t)
	}
	<-time.After(pauses[1])
	for _, p := range all {
		p.Resume(t)
	}
	close(over)
	load.Wait()
	for _, id := range flows {
		e := c.AwaitEnd(t, id)
		if d, ok := e.Data.(*contract.FlowPanic); ok && d.Cause.Kind != contract.KindCrash {
			t.Errorf("%s panicked: %+v", id, d.Cause)
		}
	}
	for _, id := range flows {
		c.Await(t, "clean-up of "+id, harness.Is(contract.TypeFlowCleaned, id))
		oneEnd(t, c, id)
	}
	t.Logf("%d flows", len(flows))
	seen := map[string]int{}
	for _, m := range c.Messages() {
		area, rest, _ := strings.Cut(m.Subject, ".")
		verb, _, _ := strings.Cut(rest, ".")
		if area != "flow" && area != "executor" || verb == "queued" || verb == "draining" {
			continue // the place of a queued flow is published again; an executor may also publish executor.draining
		}
		if seen[m.Subject]++; seen[m.Subject] == 2 {
			t.Errorf("%s was published twice", m.Subject)
		}
	}
	twice, err := filepath.Glob(filepath.Join(starts, "*.twice"))
	if err != nil || len(twice) > 0 {
		t.Errorf("jobs that started twice: %v %v", twice, err)
	}
	for _, name := range harness.Services {
		for _, p := range s.Processes(name) {
			if !p.Alive() {
				t.Errorf("a %s has ended:\n%s", name, p.Said())
			}
		}
	}
	s.AwaitNothingLeft(t, c)
}
