package spawner

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/metrics"
)

// A sums is a sink that sums up values by name and labels.
type sums map[string]float64

func (x sums) Add(_ metrics.Scope, n metrics.Name, labels ...string) { x.observe(n, 1, labels...) }

func (x sums) Record(_ metrics.Scope, n metrics.Name, value float64, labels ...string) {
	x.observe(n, value, labels...)
}

func (x sums) Register(metrics.Scope, func(metrics.Observe)) func() { return func() {} }

func (x sums) observe(n metrics.Name, value float64, labels ...string) {
	x[strings.Join(append([]string{string(n)}, labels...), " ")] += value
}

// Starts and exits count once for each executor.
func TestCount(t *testing.T) {
	got, s := make(sums), NewState(DefaultLimits(), nil)
	m := metrics.To(got)
	var seq uint64
	event := func(kind contract.Type, executor string, data any) {
		seq++
		e := contract.Event{Type: kind, Subject: executor, Seq: seq, Time: time.Unix(1_000_000, 0).UTC(), Data: data}
		count(m, s, e)
		Evolve(s, e)
	}
	for range 2 {
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			event(contract.TypeExecutorStarted, id, &contract.ExecutorStarted{Executor: id, Progdef: "p", Revision: "r"})
		}
	}
	for range 2 {
		for id, x := range map[string]contract.ExecutorExited{
			"a": {}, "b": {Code: 3}, "c": {Code: -1, Signal: "killed"}, "d": {Code: -1, Permanent: true}, "e": {Code: -1},
		} {
			x.Executor, x.Progdef, x.Revision = id, "p", "r"
			event(contract.TypeExecutorExited, id, &x)
		}
	}
	want := sums{
		"dagyo_executor_starts_total": 5, "dagyo_executor_exits_total clean": 1, "dagyo_executor_exits_total error": 1,
		"dagyo_executor_exits_total signal": 1, "dagyo_executor_exits_total refused": 1, "dagyo_executor_exits_total unknown": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Slots and executors are those that run, the queue is what waits, and how long.
func TestGauges(t *testing.T) {
	l := newLeader(Limits{Executors: 8, Queue: 100, QueueTime: time.Hour, ReserveAfter: time.Minute})
	l.plan("small", "p@r1*1", "slots=4", "max=1")
	l.decide()
	l.plan("large", "p@r1*4", "slots=4", "max=1")
	l.pass(7 * time.Second)
	l.plan("next", "p@r1*4", "slots=4", "max=1")
	l.pass(3 * time.Second)
	job := l.s.runs["small"].State["p-0"]
	for id := range l.s.executors {
		l.fold(contract.Event{Type: contract.TypeJobStarted, Subject: "small", Data: &contract.JobStarted{Job: "p-0", Executor: id}})
	}
	if job.Executor == "" {
		t.Fatal("the job was not started")
	}
	got := make(sums)
	gauges(l.s, l.now, got.observe)
	want := sums{
		"dagyo_flows_queued": 2, "dagyo_flow_queue_oldest_seconds": 10, "dagyo_executors_limit": 8,
		"dagyo_executors busy": 1, "dagyo_executors idle": 0, "dagyo_executors draining": 0, "dagyo_executors_failed_in_a_row": 0,
		"dagyo_slots p used": 1, "dagyo_slots p free": 3,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
