package suite

import (
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// decisions is what an event costs a service while many flows live.
func (s *Suite) decisions() Figure {
	live, queued := s.few(1000, 20_000), s.few(500, 10_000)
	goal := Goal{AtMost: 0.0002, Text: "≤ 0.2 ms"}
	row := func(label, series string) Row { return Row{label, series, "", Seconds, goal} }
	return Figure{
		Name: "decisions", Rounds: 3,
		How: fmt.Sprintf("The pure half of the panic-aggregator in this process, with %d running flows of three "+
			"jobs and %d queued ones: the event or fact is folded, and the keys that it touches are decided. "+
			"Each figure is the 99th percentile.", live, queued),
		Variants: []Variant{{"panic-aggregator", func(*Run) (Values, error) { return crowdOf(live, queued).measure(), nil }}},
		Rows: []Row{
			row("panic-aggregator: check for silent jobs, twice a second", "pulse"),
			row("… a heartbeat", "beat"),
			row("… `tick`", "tick"),
			row("… `job.started`", "started"),
			row("… `executor.exited`, with ten jobs", "exited"),
			row("… `executor.exited`, failed start", "failed"),
		},
	}
}

// A crowd is the state of a panic-aggregator with many flows.
type crowd struct {
	s    *aggregator.State
	seq  uint64
	now  time.Time
	live int
	took map[string][]time.Duration
}

// crowdJobs is the number of jobs of each executor.
const crowdJobs = 10

func crowdOf(live, queued int) *crowd {
	c := &crowd{
		s: aggregator.NewState(aggregator.DefaultLimits()), now: time.Unix(1_000_000, 0),
		live: live, took: make(map[string][]time.Duration),
	}
	aggregator.Evolve(c.s, aggregator.Listening())
	for n := range live + queued {
		flow := fmt.Sprintf("f%d", n)
		c.event("", contract.TypeFlowValidated, flow, &contract.FlowValidated{})
		c.event("", contract.TypeFlowPlanned, flow, crowdPlan(c.now.Add(time.Hour)))
		if n >= live {
			continue
		}
		c.event("", contract.TypeFlowSpawned, flow, &contract.FlowSpawned{})
		for job := range 3 {
			x := fmt.Sprintf("x%d-%d", job, n/crowdJobs)
			c.event("", contract.TypeExecutorStarted, x, &contract.ExecutorStarted{Executor: x})
			c.event("started", contract.TypeJobStarted, flow, &contract.JobStarted{Job: fmt.Sprint("j", job), Executor: x})
		}
	}
	return c
}

func crowdPlan(deadline time.Time) *contract.FlowPlanned {
	health := progdef.Health{Interval: document.Duration(2 * time.Second), Timeout: document.Duration(10 * time.Second)}
	p := &contract.FlowPlanned{
		Deadline: deadline, Stream: contract.EdgeStream("0"),
		Progdefs: map[string]progdef.Pinned{"p": {Revision: "r", Document: progdef.Document{Health: health}}},
	}
	for job := range 3 {
		p.Jobs = append(p.Jobs, contract.Job{Job: fmt.Sprint("j", job), Progdef: "p", Revision: "r"})
		p.Edges = append(p.Edges, contract.PlannedEdge{From: fmt.Sprintf("j%d.out", job), To: fmt.Sprintf("j%d.in", job+1)})
	}
	return p
}

func (c *crowd) event(series string, t contract.Type, subject string, data any) {
	c.seq++
	c.fold(series, contract.Event{Type: t, Subject: subject, Seq: c.seq, Time: c.now, Data: data})
}

// fold folds an event or fact, decides what it touches, and notes how long that took.
func (c *crowd) fold(series string, e contract.Event) {
	t0 := time.Now()
	for _, key := range aggregator.Evolve(c.s, e) {
		aggregator.Decide(c.s, key, c.now)
	}
	c.took[series] = append(c.took[series], time.Since(t0))
}

// measure folds ten seconds of heartbeats and pulses, and the exits of half of the executors of one progdef.
func (c *crowd) measure() Values {
	for half := range 20 {
		c.now = c.now.Add(500 * time.Millisecond)
		for n := half % 4; n < c.live; n += 4 {
			for job := range 3 {
				b := aggregator.Beat{Flow: fmt.Sprintf("f%d", n), Job: fmt.Sprint("j", job), For: 10 * time.Second}
				c.fold("beat", aggregator.Heard(b, c.now))
			}
		}
		c.event("tick", contract.TypeTick, "tick", &contract.Tick{})
		c.fold("pulse", aggregator.Pulse(c.now))
	}
	for n := range c.live / crowdJobs / 2 {
		x := fmt.Sprintf("x0-%d", n)
		c.exit("exited", x)
		failing := fmt.Sprintf("failing-%d", n)
		c.event("", contract.TypeExecutorStarted, failing, &contract.ExecutorStarted{Executor: failing})
		c.exit("failed", failing)
	}
	delete(c.took, "")
	out := Values{}
	for series, all := range c.took {
		out[series] = worker.Quantile(all, 0.99).Seconds()
	}
	return out
}

func (c *crowd) exit(series, executor string) {
	c.event(series, contract.TypeExecutorExited, executor, &contract.ExecutorExited{
		Executor: executor, Progdef: "p", Revision: "r", Code: 1,
	})
}
