package suite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// history measures the cost of ended flows.
func (s *Suite) history() Figure {
	past := s.few(20_000, 1_000_000)
	recent := s.few(300, 12_000)
	return Figure{
		Name: "history", Rounds: s.few(1, 3),
		How: fmt.Sprintf("The same with no ended flow and with %d ended flows. These are records of "+
			"four jobs each, written to history by the writer that the panic-aggregator uses; then %d real flows "+
			"source → greet → void_sink fill EVENTS to its default limits. Then nats-server and services are "+
			"stopped, and started again on the stored data: ready is when all services answer. Memory is measured 15 s after the last question, when nats-server "+
			"has dropped the file blocks that it had read. The leaders are "+
			"replaced by a second replica of each service after kill -9 of the first: measured until a flow "+
			"that is submitted at that moment has completed, less the duration of a flow.", past, recent),
		Variants: []Variant{
			{"none", func(r *Run) (Values, error) { return r.withHistory("none", 0, s.few(20, 200)) }},
			{"full", func(r *Run) (Values, error) { return r.withHistory("full", past, recent) }},
		},
		Rows: []Row{
			{"server and services: start → ready", "full ready", "none ready", Seconds, Goal{AtMost: 1.5, Text: "≤ 1.5"}},
			{"… at most", "full ready", "", Seconds, Goal{AtMost: 3, Text: "≤ 3 s"}},
			{"services alone: start → current", "full services", "none services", Seconds, Goal{}},
			{"… at most", "full services", "", Seconds, Goal{AtMost: 1, Text: "≤ 1 s"}},
			{"leaders replaced after kill -9", "full replaced", "", Seconds, Goal{AtMost: 3.5, Text: "≤ lease (3 s) + 0.5 s"}},
			{"memory of the validator", "full validator", "none validator", Size, Goal{AtMost: 1.3, Text: "≤ 1.3"}},
			{"… planner", "full planner", "none planner", Size, Goal{AtMost: 1.3, Text: "≤ 1.3"}},
			{"… spawner", "full spawner", "none spawner", Size, Goal{AtMost: 1.3, Text: "≤ 1.3"}},
			{"… panic-aggregator", "full panic-aggregator", "none panic-aggregator", Size, Goal{AtMost: 1.3, Text: "≤ 1.3"}},
			{"… nats-server", "full server", "none server", Size, Goal{AtMost: 2, Text: "≤ 2"}},
			{"first page of all flows (`dagyo ls`)", "full list", "", Seconds, Goal{AtMost: 0.2, Text: "≤ 200 ms"}},
			{"status of one of the oldest flows (`dagyo show`)", "full get", "", Seconds, Goal{AtMost: 0.2, Text: "≤ 200 ms"}},
			{"submit → first output record, p50", "full first", "none first", Seconds, Goal{AtMost: 1.1, Text: "≤ 1.1"}},
		},
	}
}

// A past is a Dagyo that can be stopped and started again on its stored data.
type past struct {
	*Run
	dir string // the server's
	*Stack
}

func (r *Run) withHistory(series string, flows, recent int) (Values, error) {
	p := &past{Run: r, dir: filepath.Join(r.dir, r.nextID())}
	ctx, cancel := r.longer(historyLimit)
	defer cancel()
	p.Run.Context = ctx
	defer p.stop()
	if err := p.prepare(flows, recent); err != nil {
		return nil, err
	}
	out := Values{}
	if err := errors.Join(p.measureStart(series, out), p.measureUse(series, flows, out)); err != nil {
		return nil, err
	}
	return out, p.measureReplacement(series, out)
}

// historyLimit limits one variant, including the filling.
const historyLimit = 10 * time.Minute

// longer returns a context for variants that take longer than usual.
func (r *Run) longer(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context), d)
}

// prepare fills history, and fills EVENTS with real flows.
func (p *past) prepare(flows, recent int) error {
	if err := p.startServer(); err != nil {
		return err
	}
	if err := p.fill(flows); err != nil {
		return fmt.Errorf("fill history: %w", err)
	}
	if err := p.startServices(); err != nil {
		return err
	}
	ids := make(chan string)
	go func() {
		defer close(ids)
		for range recent {
			ids <- p.nextID()
		}
	}()
	_, _, err := p.all(p, ids, time.Now())
	p.stop()
	return err
}

func (p *past) startServer() error {
	b, err := startBroker(p, p.dir)
	if err == nil {
		p.Stack = &Stack{Broker: b, services: make(map[string]*role.Process), dir: p.dir + "-executors"}
	}
	return err
}

func (p *past) startServices() error { return p.start(p, p.Run.services(p.Stack.dir)) }

// stop ends everything, including executors.
func (p *past) stop() {
	if p.Stack == nil {
		return
	}
	if p.client != nil {
		p.client.Close()
	}
	for _, service := range p.Stack.services {
		_ = service.Tell(role.Stop, nil) // it may have exited
		service.End()
	}
	p.endExecutors(p.Stack.dir)
	p.close()
	p.Stack = nil
}

// fill adds flows to history that ended before all flows of this run: at the first places of EVENTS, which hold ticks.
func (p *past) fill(flows int) error {
	c := broker.DefaultConfig()
	limits := history.DefaultLimits()
	if err := broker.Ensure(p, p.Link, c, history.StreamConfig(1, limits)); err != nil || flows == 0 {
		return err
	}
	w := history.NewWriter(p.Link)
	const segment = 512
	for first := 0; first < flows; first += segment {
		upto, err := p.tick()
		if err != nil {
			return err
		}
		var records []contract.FlowStatus
		for i := first; i < min(first+segment, flows); i++ {
			records = append(records, ended(i))
		}
		if err := w.Append(p, records, upto); err != nil {
			return err
		}
	}
	return nil
}

func (p *past) tick() (uint64, error) {
	e := event.New(contract.TypeTick, "/bench", "bench", &contract.Tick{Service: "bench"}, time.Now())
	m, err := event.Encode(e)
	if err != nil {
		return 0, err
	}
	ack, err := p.Link.JS.PublishMsg(p, m)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func pastID(i int) string { return fmt.Sprintf("past-%07d", i) }

// ended is an ended flow of four jobs.
func ended(i int) contract.FlowStatus {
	at := time.Now().Add(-time.Hour).Add(time.Duration(i) * time.Millisecond).UTC()
	s := contract.FlowStatus{
		Flow: pastID(i), Phase: contract.TypeFlowCleaned, Verdict: contract.TypeFlowCompleted,
		Submitted: at, Updated: at.Add(80 * time.Millisecond), Duration: document.Duration(75 * time.Millisecond),
		Jobs: make(map[string]contract.JobStatus),
	}
	for n, name := range []string{"source", "clean", "model", "sink"} {
		count := contract.Count{Records: int64(i%997 + n), Bytes: int64(i%7919 + n)}
		s.Jobs[name] = contract.JobStatus{
			Progdef: name, Revision: "3f9a1c27be04",
			JobSummary: contract.JobSummary{State: contract.JobEnded, Executor: fmt.Sprintf("%s-1a2b3c4d-%d", name, i%50)},
			PortCounts: contract.PortCounts{Inputs: map[string]contract.Count{"in": count}},
		}
		s.Edges = append(s.Edges, contract.EdgeCount{From: name + ".out", To: name + ".in", Sent: &count, Received: &count})
	}
	return s
}

// measureStart measures the duration of a start on the stored data.
func (p *past) measureStart(series string, out Values) error {
	began := time.Now()
	if err := p.startServer(); err != nil {
		return err
	}
	server := time.Now()
	if err := p.startServices(); err != nil {
		return err
	}
	out[series+" services"] = time.Since(server).Seconds()
	out[series+" ready"] = time.Since(began).Seconds()
	return nil
}

// measureUse measures the duration of questions and flows, and then memory.
func (p *past) measureUse(series string, flows int, out Values) error {
	var all []time.Duration
	for range p.few(10, 50) {
		steps, err := p.greet(p, p.nextID(), false)
		if err != nil {
			return err
		}
		all = append(all, steps["first"])
	}
	out[series+" first"] = worker.Quantile(all[1:], 0.5).Seconds()
	began := time.Now()
	for _, err := range p.client.Flows(p, contract.FlowQuery{Limit: 50}) {
		if err != nil {
			return err
		}
		break
	}
	out[series+" list"] = time.Since(began).Seconds()
	if flows > 0 {
		began = time.Now()
		if _, err := p.client.Flow(p, pastID(flows/20)); err != nil { // the oldest ones are removed for the real ones
			return err
		}
		out[series+" get"] = time.Since(began).Seconds()
	}
	time.Sleep(cached)
	rss, _, err := memory(p.Run, p.Process)
	out[series+" server"] = rss
	for name, service := range p.Stack.services {
		rss, _, failed := memory(p.Run, service)
		out[series+" "+name], err = rss, errors.Join(err, failed)
	}
	return err
}

// cached is longer than nats-server keeps file blocks in memory after reading them.
const cached = 15 * time.Second

// measureReplacement kills the leader of each service while a second replica is running.
func (p *past) measureReplacement(series string, out Values) error {
	first := p.Stack.services
	p.Stack.services = make(map[string]*role.Process)
	if err := p.startReplicas(); err != nil {
		return err
	}
	usual := out[series+" first"]
	for _, service := range first {
		if err := syscall.Kill(service.PID(), syscall.SIGKILL); err != nil {
			return err
		}
	}
	defer func() {
		for _, service := range first {
			service.End()
		}
	}()
	began := time.Now()
	if _, err := p.whole(p, p.nextID(), threeNodes()); err != nil {
		return err
	}
	out[series+" replaced"] = time.Since(began).Seconds() - usual
	return nil
}

// startReplicas starts another replica of each service, and waits until two of each answer.
func (p *past) startReplicas() error {
	if err := p.startAll(p, p.Run.services(p.Stack.dir), p.Stack.services); err != nil {
		return err
	}
	return p.awaitReplicas(p, 2)
}
