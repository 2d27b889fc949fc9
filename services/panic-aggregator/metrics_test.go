package aggregator

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A sums is a sink that sums up values by name and labels.
type sums map[string]float64

func (x sums) Add(s metrics.Scope, n metrics.Name, labels ...string) { x.Record(s, n, 1, labels...) }

func (x sums) Record(_ metrics.Scope, n metrics.Name, value float64, labels ...string) {
	x[strings.Join(append([]string{string(n)}, labels...), " ")] += value
}

func (x sums) Register(metrics.Scope, func(metrics.Observe)) func() { return func() {} }

// What an event means counts once, and labels are bounded whatever events contain.
func TestCount(t *testing.T) {
	got, s, now := make(sums), NewState(DefaultLimits()), time.Unix(1_000_000, 0).UTC()
	m := metrics.To(got)
	var seq uint64
	event := func(after time.Duration, kind contract.Type, subject string, data any) {
		seq++
		now = now.Add(after)
		e := contract.Event{Type: kind, Subject: subject, Seq: seq, Time: now, Data: data}
		count(m, s, e)
		Evolve(s, e)
	}
	verdict := &contract.FlowPanic{Cause: contract.JobFailure{Failure: contract.Failure{Kind: "made-up"}}}
	event(0, contract.TypeFlowSubmit, "f", nil)
	event(time.Second, contract.TypeFlowValidated, "f", &contract.FlowValidated{Flow: flow.Flow{}})
	event(time.Second, contract.TypeFlowValidated, "f", &contract.FlowValidated{Flow: flow.Flow{}})
	plan := &contract.FlowPlanned{Jobs: []contract.Job{{Flow: "f", Job: "a", Progdef: "p", Revision: "r"}, {Flow: "f", Job: "b", Progdef: "p", Revision: "r"}}}
	event(time.Second, contract.TypeFlowPlanned, "f", plan)
	event(time.Second, contract.TypeFlowPlanned, "f", plan)
	event(time.Second, contract.TypeFlowSpawned, "f", &contract.FlowSpawned{})
	event(0, contract.TypeJobStarted, "f", &contract.JobStarted{Job: "nosuch", Executor: "x"})
	event(time.Second, contract.TypeJobStarted, "f", &contract.JobStarted{Job: "a", Executor: "x"})
	event(time.Second, contract.TypeJobStarted, "f", &contract.JobStarted{Job: "b", Executor: "x"})
	event(time.Second, contract.TypeFlowPanic, "f", verdict)
	event(time.Second, contract.TypeFlowPanic, "f", verdict) // forged: it has ended
	event(0, contract.TypeFlowCompleted, "nosuch", &contract.FlowCompleted{})
	event(0, contract.TypeFlowRejected, "g", &contract.FlowRejected{Problems: problem.List{{Code: problem.Cycle}, {Code: problem.NoSink}}})
	event(0, contract.TypeFlowRejected, "h", &contract.FlowRejected{})
	event(0, contract.TypeDeadLetter, "deadletter", &contract.DeadLetter{Problems: problem.List{{Code: "made-up"}}})
	want := sums{
		"dagyo_flow_submissions_total":               1,
		"dagyo_flow_start_latency_seconds validated": 1,
		"dagyo_flow_start_latency_seconds planned":   3,
		"dagyo_flow_start_latency_seconds spawned":   5,
		"dagyo_flow_start_latency_seconds started":   6,
		"dagyo_flow_verdicts_total panic other":      1,
		"dagyo_flow_duration_seconds panic":          0,
		"dagyo_flow_rejections_total cycle":          1,
		"dagyo_flow_rejections_total other":          1,
		"dagyo_deadletters_total other":              1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
