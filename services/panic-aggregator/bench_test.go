package aggregator

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// The goal of these benchmarks: each event and each pulse costs at most 0.2 ms, however many flows live.
const (
	benchLive   = 20_000
	benchQueued = 10_000
	benchSlots  = 10 // running jobs of an executor
)

// crowd is a state with many flows of three jobs: running ones, and planned ones that wait for capacity.
type crowd struct {
	s       *State
	seq     uint64
	now     time.Time
	started int // jobs
}

func newCrowd(live, queued int) *crowd {
	c := &crowd{s: NewState(DefaultLimits()), now: time.Unix(1_000_000, 0).UTC()}
	Evolve(c.s, Listening())
	for n := range live {
		flow := fmt.Sprintf("live-%06d", n)
		c.planned(flow)
		c.event(contract.TypeFlowSpawned, flow, &contract.FlowSpawned{})
		for job := range 3 {
			c.start(flow, job)
		}
	}
	for n := range queued {
		flow := fmt.Sprintf("queued-%06d", n)
		c.planned(flow)
		c.event(contract.TypeFlowQueued, flow, &contract.FlowQueued{Place: n + 1})
	}
	return c
}

func (c *crowd) planned(flow string) {
	c.event(contract.TypeFlowSubmit, flow, nil)
	c.event(contract.TypeFlowValidated, flow, &contract.FlowValidated{Document: "sha256:" + flow})
	c.event(contract.TypeFlowPlanned, flow, plannedFlow(flow, c.now.Add(time.Hour)))
}

// plannedFlow is a flow j0 → j1 → j2 → outputs.out, of one progdef each.
func plannedFlow(flow string, deadline time.Time) *contract.FlowPlanned {
	p := &contract.FlowPlanned{
		Stream: contract.EdgeStream("0"), Deadline: deadline, Progdefs: map[string]progdef.Pinned{},
		Outputs: map[string]contract.Address{"out": contract.EdgeAddress("0", flow, 2, 1<<20, 64, "text")},
	}
	for n := range 3 {
		name := fmt.Sprintf("progdef-%d", n)
		p.Progdefs[name] = progdef.Pinned{Revision: "0123456789ab", Document: progdef.Document{Health: progdef.Health{
			Interval: document.Duration(2 * time.Second), Timeout: document.Duration(10 * time.Second),
		}}}
		p.Jobs = append(p.Jobs, contract.Job{
			Flow: flow, Job: fmt.Sprintf("j%d", n), Progdef: name, Revision: "0123456789ab", Stop: contract.StopSubject("0", flow),
		})
		to := fmt.Sprintf("j%d.in", n+1)
		if n == 2 {
			to = "outputs.out"
		}
		p.Edges = append(p.Edges, contract.PlannedEdge{
			From: fmt.Sprintf("j%d.out", n), To: to, Type: "text",
			Subject: contract.EdgeSubject("0", flow, n), Credit: contract.CreditSubject("0", flow, n),
		})
	}
	return p
}

// start has an executor start a job.
func (c *crowd) start(flow string, job int) {
	executor := fmt.Sprintf("executor-%d-%06d", job, c.started/3/benchSlots)
	if c.started/3%benchSlots == 0 {
		c.event(contract.TypeExecutorStarted, executor, &contract.ExecutorStarted{Executor: executor})
	}
	c.started++
	c.event(contract.TypeJobStarted, flow, &contract.JobStarted{Job: fmt.Sprintf("j%d", job), Executor: executor})
}

// event folds an event as it is decoded: nothing of it is shared with others.
func (c *crowd) event(t contract.Type, subject string, data any) []string {
	if data != nil {
		entry, _ := contract.Lookup(t)
		raw, err := json.Marshal(data)
		if err != nil {
			panic(err)
		}
		data = entry.New()
		if err := json.Unmarshal(raw, data); err != nil {
			panic(err)
		}
	}
	c.seq++
	subject = string([]byte(subject))
	return Evolve(c.s, contract.Event{Type: t, Subject: subject, Source: "/bench", Seq: c.seq, Time: c.now, Data: data})
}

func (c *crowd) beats() {
	for flow, r := range c.s.runs {
		for job, j := range r.Jobs {
			if j.State == contract.JobRunning {
				Evolve(c.s, Heard(Beat{Flow: flow, Job: job, For: 10 * time.Second}, c.now))
			}
		}
	}
}

func full(b *testing.B) *crowd {
	c := newCrowd(benchLive, benchQueued)
	c.beats()
	b.ReportAllocs()
	b.ResetTimer()
	return c
}

func BenchmarkTick(b *testing.B) {
	c := full(b)
	for b.Loop() {
		c.event(contract.TypeTick, "tick", &contract.Tick{})
	}
}

// Pulses, with beats of all jobs every other second.
func BenchmarkPulse(b *testing.B) {
	c := full(b)
	n := 0
	for b.Loop() {
		if n++; n%4 == 0 {
			b.StopTimer()
			c.beats()
			b.StartTimer()
		}
		c.now = c.now.Add(pulseEvery)
		Evolve(c.s, Pulse(c.now))
	}
}

func BenchmarkBeat(b *testing.B) {
	c := full(b)
	flows := make([]string, benchLive)
	for n := range flows {
		flows[n] = fmt.Sprintf("live-%06d", n)
	}
	b.ResetTimer()
	for n := 0; b.Loop(); n++ {
		if n%benchLive == 0 {
			c.now = c.now.Add(2 * time.Second)
		}
		Evolve(c.s, Heard(Beat{Flow: flows[n%benchLive], Job: "j1", For: 10 * time.Second}, c.now))
	}
}

// An executor with ten jobs exits.
func BenchmarkExecutorExited(b *testing.B) {
	c := full(b)
	for n := 0; b.Loop(); n++ {
		if n == benchLive/benchSlots {
			b.StopTimer()
			c, n = newCrowd(benchLive, benchQueued), 0
			b.StartTimer()
		}
		x := fmt.Sprintf("executor-0-%06d", n)
		c.event(contract.TypeExecutorExited, x, &contract.ExecutorExited{Executor: x, Progdef: "progdef-0", Revision: "0123456789ab", Code: 1})
	}
}

// An executor exits before it has started a job, while many flows wait for its mailbox.
func BenchmarkFailedStart(b *testing.B) {
	c := full(b)
	for n := range 1000 {
		flow := fmt.Sprintf("waiting-%06d", n)
		c.planned(flow)
		c.event(contract.TypeFlowSpawned, flow, &contract.FlowSpawned{})
	}
	c.planned("forgiving")
	c.event(contract.TypeFlowSpawned, "forgiving", &contract.FlowSpawned{})
	b.ResetTimer()
	for n := 0; b.Loop(); n++ {
		x := fmt.Sprintf("failing-%06d", n)
		c.event(contract.TypeExecutorStarted, x, &contract.ExecutorStarted{Executor: x, Progdef: "progdef-0", Revision: "0123456789ab"})
		c.event(contract.TypeExecutorExited, x, &contract.ExecutorExited{Executor: x, Progdef: "progdef-0", Revision: "0123456789ab", Code: 1})
		c.s.mailboxes["progdef-0.0123456789ab"].forgiven = n + 1 // as if another executor had started a job
	}
}

// A flow from its submission to its verdict and clean-up, with the decisions. The figure is that of 14 events.
func BenchmarkFlow(b *testing.B) {
	c := full(b)
	for n := 0; b.Loop(); n++ {
		flow := fmt.Sprintf("new-%d", n)
		c.planned(flow)
		c.event(contract.TypeFlowSpawned, flow, &contract.FlowSpawned{})
		for job := range 3 {
			x := fmt.Sprintf("executor-%d-000000", job)
			c.event(contract.TypeJobStarted, flow, &contract.JobStarted{Job: fmt.Sprintf("j%d", job), Executor: x})
			Decide(c.s, flow, c.now)
		}
		for job := range 3 {
			x := fmt.Sprintf("executor-%d-000000", job)
			c.event(contract.TypeJobDone, flow, &contract.JobDone{Job: fmt.Sprintf("j%d", job), Executor: x})
			Decide(c.s, flow, c.now)
		}
		c.event(contract.TypeFlowCompleted, flow, &contract.FlowCompleted{})
		c.event(contract.TypeFlowCleaned, flow, &contract.FlowCleaned{})
		if effects := c.s.past.decide(); len(effects) > 0 {
			Evolve(c.s, effects[0])
			Evolve(c.s, contract.Event{Type: factStored, With: effects[0].With.(batch).upto})
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	c := full(b)
	for b.Loop() {
		Decide(c.s, "live-000007", c.now)
	}
}

// Cancels of unknown flows, each answered, while 5,000 others wait.
func BenchmarkStrayCancel(b *testing.B) {
	c := full(b)
	for n := range 5000 {
		c.event(contract.TypeFlowCancel, fmt.Sprintf("unknown-%d", n), &contract.FlowCancel{})
	}
	b.ResetTimer()
	for b.Loop() {
		c.event(contract.TypeFlowCancel, "one-more", &contract.FlowCancel{})
		Decide(c.s, keyUnanswerable, c.now)
		c.event(contract.TypeDeadLetter, "deadletter", &contract.DeadLetter{Sequence: c.seq})
	}
}

// Many messages without an effect are answered, one by one.
func BenchmarkUnanswerable(b *testing.B) {
	c := full(b)
	for range 5000 {
		c.event(contract.TypeJobDone, "live-000007", &contract.JobDone{Job: "j1", Executor: "forged"})
	}
	b.ResetTimer()
	for b.Loop() {
		c.event(contract.TypeJobDone, "live-000007", &contract.JobDone{Job: "j1", Executor: "forged"})
		Decide(c.s, keyUnanswerable, c.now)
		c.event(contract.TypeDeadLetter, "deadletter", &contract.DeadLetter{Sequence: c.seq})
	}
}

// The jobs whose mailboxes are checked next.
func BenchmarkLongWaiting(b *testing.B) {
	c := full(b)
	for b.Loop() {
		c.s.longWaiting(goneBatch, c.now)
	}
}

// A round of checks whether something moves: what is due, and what was read.
func BenchmarkTraffic(b *testing.B) {
	c := full(b)
	records := int64(0)
	for b.Loop() {
		c.now, records = c.now.Add(trafficEvery), records+1
		var all []Traffic
		for _, f := range c.s.dueTraffic(c.now) {
			all = append(all, Traffic{f.flow, records})
		}
		for _, flow := range Evolve(c.s, Measured(all, c.now)) {
			Decide(c.s, flow, c.now)
		}
	}
}

// All flows are listed.
func BenchmarkCurrent(b *testing.B) {
	c := full(b)
	for b.Loop() {
		for range c.s.current {
		}
	}
}

// BenchmarkMemory reports the bytes of a running flow and of a queued one.
func BenchmarkMemory(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		before := allocated()
		running := newCrowd(n, 0)
		running.beats()
		between := allocated()
		queued := newCrowd(0, n)
		after := allocated()
		b.ReportMetric(float64(between-before)/n, "B/running")
		b.ReportMetric(float64(after-between)/n, "B/queued")
		runtime.KeepAlive(running)
		runtime.KeepAlive(queued)
	}
}

func allocated() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
