package spawner

import (
	"fmt"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/admission"
)

// A crowd is 20,000 running flows of 3 jobs, 10 on each executor, and 10,000 flows that wait for one of 50 progdefs
// with one slot, each in one of 1,000 ways.
func crowd(b *testing.B, quota admission.Quota) (*State, time.Time) {
	b.Helper()
	const live, queued, progdefs = 20_000, 10_000, 50
	now := time.Unix(1_000_000, 0).UTC()
	l := DefaultLimits()
	l.Executors, l.Queue, l.Tenant, l.User = 10_000, 20_000, quota, quota
	s := NewState(l, nil)
	seq := uint64(0)
	fold := func(e contract.Event) {
		seq++
		e.Seq, e.Time = seq, now
		Evolve(s, e)
	}
	plan := func(id string, needs ...string) {
		fold(contract.Event{Type: contract.TypeFlowValidated, Subject: id})
		fold(contract.Event{Type: contract.TypeFlowPlanned, Subject: id, Data: planned(id, needs)})
	}
	name, p := pinned("wide@r1", []string{"slots=10", "max=9000"})
	fold(contract.Event{Type: contract.TypeProgdefApplied, Subject: name, Data: &contract.ProgdefApplied{
		Name: name, Revision: p.Revision, Document: p.Document}})
	for i := range live {
		id := fmt.Sprintf("live-%d", i)
		plan(id, "wide@r1*3", "slots=10", "max=9000")
		fold(contract.Event{Type: contract.TypeFlowSpawned, Subject: id, Data: &contract.FlowSpawned{}})
		for j := range 3 {
			executor := fmt.Sprintf("wide-%d", (3*i+j)/10)
			fold(contract.Event{Type: contract.TypeJobStarted, Subject: id, Data: &contract.JobStarted{Job: fmt.Sprintf("wide-%d", j), Executor: executor}})
		}
	}
	for i := range progdefs {
		id := fmt.Sprintf("holder-%d", i)
		plan(id, fmt.Sprintf("p%d@r1*1", i), "max=1")
		fold(contract.Event{Type: contract.TypeFlowSpawned, Subject: id, Data: &contract.FlowSpawned{}})
	}
	for i := range queued {
		shape := i % 1000
		plan(fmt.Sprintf("queued-%d", i), fmt.Sprintf("p%d@r1*1", shape%progdefs),
			fmt.Sprintf("p%d@r1*1", (shape%progdefs+1+shape/progdefs)%progdefs), "max=1")
	}
	for _, f := range s.queue.Flows() {
		effects, _ := Decide(s, keyFlow+f.ID, now)
		for _, e := range effects {
			fold(e)
		}
	}
	return s, now
}

// Each event costs the same however many flows run and wait: the cost of folding it and of deciding all that it touches.
func BenchmarkEvents(b *testing.B) { benchmarkEvents(b, admission.Quota{}) }

// As BenchmarkEvents, with quotas that are not reached.
func BenchmarkEventsWithQuotas(b *testing.B) {
	benchmarkEvents(b, admission.Quota{Flows: 100_000, Slots: 100_000, Executors: 100_000, Waiting: 100_000})
}

func benchmarkEvents(b *testing.B, quota admission.Quota) {
	s, now := crowd(b, quota)
	seq := uint64(1_000_000)
	n := 0
	each := func(name string, events func(i int) []contract.Event) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				n++
				for _, e := range events(n) {
					seq++
					now = now.Add(time.Millisecond)
					e.Seq, e.Time = seq, now
					for _, key := range Evolve(s, e) {
						effects, _ := Decide(s, key, now)
						for _, e := range effects {
							if inFlight(s, e, true); e.IsAct() {
								e.Time = now
								Evolve(s, e)
							}
						}
					}
				}
			}
		})
	}
	job := func(i int) (flow, job, executor string) {
		k := i % 60_000
		return fmt.Sprintf("live-%d", k/3), fmt.Sprintf("wide-%d", k%3), fmt.Sprintf("wide-%d", k/10)
	}
	each("job.done", func(i int) []contract.Event {
		flow, job, executor := job(i)
		return []contract.Event{{Type: contract.TypeJobDone, Subject: flow, Data: &contract.JobDone{Job: job, Executor: executor}}}
	})
	each("flow.planned", func(i int) []contract.Event {
		id := fmt.Sprintf("new-%d", i)
		return []contract.Event{
			{Type: contract.TypeFlowValidated, Subject: id},
			{Type: contract.TypeFlowPlanned, Subject: id, Data: planned(id, []string{"p7@r1*1", "max=1"})},
			{Type: contract.TypeFlowCancelled, Subject: id, Data: &contract.FlowCancelled{}},
		}
	})
	each("executor.exited", func(i int) []contract.Event {
		id := fmt.Sprintf("wide-%d", 5000-i%1000)
		return []contract.Event{
			{Type: contract.TypeExecutorExited, Subject: id, Data: &contract.ExecutorExited{Executor: id, Progdef: "wide", Revision: "r1"}},
		}
	})
	each("executor.started", func(i int) []contract.Event {
		id := fmt.Sprintf("wide-new-%d", i)
		return []contract.Event{
			{Type: contract.TypeExecutorStarted, Subject: id, Data: &contract.ExecutorStarted{Executor: id, Progdef: "wide", Revision: "r1"}},
		}
	})
	b.Run("tick", func(b *testing.B) {
		for range b.N {
			now = now.Add(time.Second)
			Decide(s, keyAdmit, now)
			s.changes++
			Decide(s, keyTell, now)
		}
	})
}
