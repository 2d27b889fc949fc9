package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// Ten executors compete for a thousand jobs while they are killed at random. No job starts twice, every flow gets one
// verdict, and a flow with a lost job panics.
func TestAtMostOnce(t *testing.T) {
	const flows, jobs = 100, 10
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	starts := harness.SharedFolder(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "mortal", Slots: 5, Max: 10, Env: map[string]string{"STARTS": starts}})
	nodes := make([]string, jobs)
	for i := range nodes {
		nodes[i] = fmt.Sprintf(`"m%d": {"progdef": "mortal"}`, i)
	}
	document := `{"nodes": {` + strings.Join(nodes, ",") + `}}`
	for i := range flows {
		c.Submit(t, fmt.Sprintf("f%d", i), document)
	}

	over := make(chan struct{})
	var killer sync.WaitGroup
	kills := 0
	killer.Go(func() { kills = killAtRandom(s, over) })
	ends := map[contract.Type]int{}
	kinds := map[contract.Kind]int{}
	for i := range flows {
		e := c.AwaitEnd(t, fmt.Sprintf("f%d", i))
		ends[e.Type]++
		if d, ok := e.Data.(*contract.FlowPanic); ok {
			kinds[d.Cause.Kind]++
		}
	}
	close(over)
	killer.Wait()
	t.Logf("%d kills; ends %v; kinds %v", kills, ends, kinds)

	for i := range flows {
		flow := fmt.Sprintf("f%d", i)
		c.Await(t, "clean-up of "+flow, harness.Is(contract.TypeFlowCleaned, flow))
		oneEnd(t, c, flow)
	}
	if ends[contract.TypeFlowCompleted] == 0 || ends[contract.TypeFlowPanic] == 0 ||
		ends[contract.TypeFlowCompleted]+ends[contract.TypeFlowPanic] != flows {
		t.Errorf("ends %v: want completed and panicked flows, %d in all", ends, flows)
	}
	if kinds[contract.KindCrash]+kinds[contract.KindLostHealth] != ends[contract.TypeFlowPanic] {
		t.Errorf("kinds %v, want crash and lost-health only", kinds)
	}
	twice, err := filepath.Glob(filepath.Join(starts, "*.twice"))
	if err != nil || len(twice) > 0 {
		t.Errorf("jobs that started twice: %v %v", twice, err)
	}
	if once, _ := os.ReadDir(starts); len(once) < flows*jobs/2 {
		t.Errorf("only %d jobs started: the test is meaningless", len(once))
	}
	s.AwaitNothingLeft(t, c)
	s.AwaitNoNames(t, c)
}

// killAtRandom kills programs and supervisors until the flows have ended.
func killAtRandom(s *harness.Stack, over <-chan struct{}) (kills int) {
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-over:
			return kills
		}
		if all := s.Executors(); len(all) > 0 && s.Kill(all[rand.IntN(len(all))], rand.IntN(2) == 0) {
			kills++
		}
	}
}
