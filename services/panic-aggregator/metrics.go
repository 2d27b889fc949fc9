package aggregator

import (
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/problem"
)

// count counts what an event means. The state is that before the event: a live flow is in it, and each flow has one verdict.
func count(m metrics.Meter, s *State, e contract.Event) {
	if r := s.runs[e.Subject]; r != nil && e.Flow() != "" {
		s.countRun(m, r, e)
	}
	switch d := e.Data.(type) {
	case *contract.FlowValidated:
		if b, waits := s.submitted.of[e.Subject]; waits && s.shown[e.Subject] == nil {
			latency(m, "validated", b.At, e.Time)
		}
	case *contract.FlowRejected:
		m.Add(metrics.FlowRejections, codeOf(d.Problems))
	case *contract.DeadLetter:
		m.Add(metrics.DeadLetters, codeOf(d.Problems))
	default:
		if e.Type == contract.TypeFlowSubmit {
			m.Add(metrics.FlowSubmissions)
		}
	}
}

// countRun counts what an event means for a live flow.
func (s *State) countRun(m metrics.Meter, r *run, e contract.Event) {
	since, phase := r.Since, contract.Type("")
	if x := s.shown[e.Subject]; x != nil {
		since, phase = x.Submitted, x.Phase
	}
	switch d := e.Data.(type) {
	case *contract.FlowPlanned:
		if !r.Planned {
			latency(m, "planned", since, e.Time)
		}
	case *contract.FlowSpawned:
		if !r.Spawned {
			latency(m, "spawned", since, e.Time)
		}
	case *contract.JobStarted:
		if j := r.Jobs[d.Job]; j != nil && e.From(j.Progdef, j.Revision) && rank(phase) < rank(e.Type) {
			latency(m, "started", since, e.Time)
		}
	case *contract.FlowCompleted:
		countVerdict(m, e, "", d.Duration.D())
	case *contract.FlowPanic:
		countVerdict(m, e, kindOf(d.Cause.Kind), d.Duration.D())
	case *contract.FlowCancelled:
		countVerdict(m, e, "", d.Duration.D())
	}
}

func countVerdict(m metrics.Meter, e contract.Event, kind string, took time.Duration) {
	verdict := strings.TrimPrefix(string(e.Type), "flow.")
	m.Add(metrics.FlowVerdicts, verdict, kind)
	m.Record(metrics.FlowDuration, took.Seconds(), verdict)
}

func latency(m metrics.Meter, phase string, since, now time.Time) {
	m.Record(metrics.FlowStartLatency, max(0, now.Sub(since)).Seconds(), phase)
}

// other is the label of what has no value of its own: labels are bounded, whatever events contain.
const other = "other"

// kindOf returns the label of a kind, which an executor may choose.
func kindOf(k contract.Kind) string {
	switch k {
	case contract.KindError, contract.KindDeserialization, contract.KindCrash, contract.KindProtocol, contract.KindLostHealth,
		contract.KindDeadline, contract.KindDrained, contract.KindLostEdges:
		return string(k)
	}
	return other
}

// codeOf returns the label of problems, which anybody may send who may publish dead letters.
func codeOf(all problem.List) string {
	if len(all) > 0 && all[0].Code.Known() {
		return string(all[0].Code)
	}
	return other
}

// gauges observes the state.
func (s *State) gauges(observe metrics.Observe) {
	stalled := 0
	for _, r := range s.runs {
		if r.Stall != nil {
			stalled++
		}
	}
	observe(metrics.FlowsLive, float64(len(s.runs)))
	observe(metrics.FlowsStalled, float64(stalled))
	observe(metrics.JobsRunning, float64(s.running))
	observe(metrics.SubmissionsUnanswered, float64(len(s.submitted.of)))
}
