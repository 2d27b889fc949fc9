package spawner

import (
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/metrics"
)

// count counts what an event means. The state is that before the event.
func count(m metrics.Meter, s *State, e contract.Event) {
	switch d := e.Data.(type) {
	case *contract.ExecutorStarted:
		if s.executors[d.Executor] == nil && !s.gone.known[d.Executor] {
			m.Add(metrics.ExecutorStarts)
		}
	case *contract.ExecutorExited:
		if !s.gone.known[d.Executor] {
			m.Add(metrics.ExecutorExits, reasonOf(d))
		}
	}
}

// reasonOf returns the label of an exit.
func reasonOf(d *contract.ExecutorExited) string {
	switch {
	case d.Permanent:
		return "refused"
	case d.Signal != "":
		return "signal"
	case d.Code == 0:
		return "clean"
	case d.Code > 0:
		return "error"
	}
	return "unknown"
}

// gauges observes the state.
func gauges(s *State, now time.Time, observe metrics.Observe) {
	var oldest time.Duration
	queue := s.queue.Flows()
	for _, f := range queue {
		if !f.Since.IsZero() { // else an earlier version has queued it
			oldest = max(oldest, now.Sub(f.Since))
		}
	}
	observe(metrics.FlowsQueued, float64(len(queue)))
	observe(metrics.QueueOldest, oldest.Seconds())
	observe(metrics.ExecutorsLimit, float64(s.limits.Executors))
	s.executorGauges(observe)
	s.slotGauges(observe)
}

func (s *State) executorGauges(observe metrics.Observe) {
	var busy, idle, draining int
	for _, x := range s.executors {
		switch {
		case x.Draining:
			draining++
		case x.jobs > 0:
			busy++
		default:
			idle++
		}
	}
	observe(metrics.Executors, float64(busy), "busy")
	observe(metrics.Executors, float64(idle), "idle")
	observe(metrics.Executors, float64(draining), "draining")
	failed := 0
	for _, r := range s.revisions {
		failed = max(failed, r.Failures)
	}
	observe(metrics.ExecutorsFailed, float64(failed))
}

// slotGauges observes the slots of the progdefs that have executors, all revisions of one together.
func (s *State) slotGauges(observe metrics.Observe) {
	type slots struct{ used, free int }
	of := make(map[string]slots)
	for mailbox := range s.serving {
		if r := s.revisions[mailbox]; r != nil {
			sum := of[r.Name]
			sum.used += r.used
			sum.free += max(0, r.pool.Live*r.pool.Slots-r.pool.Used)
			of[r.Name] = sum
		}
	}
	for progdef, n := range of {
		observe(metrics.Slots, float64(n.used), progdef, "used")
		observe(metrics.Slots, float64(n.free), progdef, "free")
	}
}
