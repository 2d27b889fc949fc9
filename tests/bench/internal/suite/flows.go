package suite

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

func (s *Suite) flowFigures() []Figure {
	return []Figure{
		s.firstRecord(), s.flowsPerSecond(), s.panics(), s.liveFlows(), s.validation(), s.decisions(), s.flowSizes(), s.history(), s.sustained(),
		s.cellFigure(), s.leaders(), s.writes(), routed(),
	}
}

// few returns a smaller number in the short form.
func (s *Suite) few(short, full int) int {
	if s.options.Short {
		return short
	}
	return full
}

// firstRecord measures the time from a submission to the first record of an output.
func (s *Suite) firstRecord() Figure {
	n := s.few(10, 100)
	return Figure{
		Name: "first record", Rounds: 3,
		How: fmt.Sprintf("%d flows source → greet → output per round, one after the other, on warm "+
			"executors. The time is from before `flow.submit` is published to the first record at the "+
			"client, which receives `flow.planned` by a plain subscription, or as the client library does "+
			"(`Follow`). The steps are the times at which the client received the events, as medians since the submission.", n),
		Variants: []Variant{
			{"subscription", func(r *Run) (Values, error) { return r.firstRecords("warm", n, false) }},
			{"library", func(r *Run) (Values, error) { return r.firstRecords("library", n, true) }},
		},
		Rows: []Row{
			{"warm executors: submit → first output record, p50", "warm p50", "", Seconds,
				Goal{AtMost: 0.004, Text: "≤ 4 ms"}},
			{"… p99", "warm p99", "", Seconds, Goal{AtMost: 0.012, Text: "≤ 12 ms"}},
			{"… p50, the client library", "library p50", "", Seconds, Goal{}},
			{"… step: submission stored", "warm step 1 stored", "", Seconds, Goal{}},
			{"… step: flow.validated", "warm step 2 validated", "", Seconds, Goal{}},
			{"… step: flow.planned", "warm step 3 planned", "", Seconds, Goal{}},
			{"… step: flow.spawned", "warm step 4 spawned", "", Seconds, Goal{}},
			{"… step: job.started", "warm step 5 started", "", Seconds, Goal{}},
		},
	}
}

func (r *Run) firstRecords(series string, n int, library bool) (Values, error) {
	s, err := r.dagyo()
	if err != nil {
		return nil, err
	}
	if r.Round == 0 { // starts the executors
		if _, err := s.greet(r, r.nextID(), library); err != nil {
			return nil, err
		}
	}
	profiled, err := s.profile(r)
	if err != nil {
		return nil, err
	}
	steps := make(map[string][]time.Duration)
	for range n {
		found, err := s.greet(r, r.nextID(), library)
		if err != nil {
			return nil, err
		}
		for step, d := range found {
			steps[step] = append(steps[step], d)
		}
	}
	out := Values{}
	for step, all := range steps {
		out[series+" "+step] = worker.Quantile(all, 0.5).Seconds()
	}
	out[series+" p50"] = worker.Quantile(steps["first"], 0.5).Seconds()
	out[series+" p99"] = worker.Quantile(steps["first"], 0.99).Seconds()
	return out, profiled()
}

// greet runs one flow and returns the duration of each step.
func (s *Stack) greet(
	ctx context.Context, flow string, library bool,
) (map[string]time.Duration, error) {
	story := s.watch.follow(flow)
	defer s.watch.forget(flow)
	t0 := time.Now()
	if _, err := s.client.Submit(ctx, flow, greetings()); err != nil {
		return nil, err
	}
	steps := map[string]time.Duration{"step 1 stored": time.Since(t0)}
	plan, err := s.plan(ctx, flow, story, library)
	if err != nil {
		return nil, err
	}
	_, err = s.client.Read(ctx, ctx, plan.Outputs["greetings"], func([]byte) error {
		if steps["first"] == 0 {
			steps["first"] = time.Since(t0)
		}
		return nil
	})
	if err == nil {
		err = story.awaitEvent(ctx, contract.TypeFlowCompleted)
	}
	for step, t := range map[string]contract.Type{
		"step 2 validated": contract.TypeFlowValidated, "step 3 planned": contract.TypeFlowPlanned,
		"step 4 spawned": contract.TypeFlowSpawned, "step 5 started": contract.TypeJobStarted,
		"step 6 completed": contract.TypeFlowCompleted,
	} {
		steps[step] = story.since(t0, t)
	}
	return steps, errors.Join(err, s.client.Release(flow, nil))
}

func (s *Stack) plan(
	ctx context.Context, flow string, story *Story, library bool,
) (*contract.FlowPlanned, error) {
	if !library {
		err := story.awaitEvent(ctx, contract.TypeFlowPlanned)
		return story.planned, err
	}
	feed, err := s.client.Follow(ctx, client.Start{}, client.FlowSubjects(flow)...)
	if err != nil {
		return nil, err
	}
	defer feed.Close()
	for {
		e, err := feed.Next(ctx)
		if err != nil {
			return nil, err
		}
		if d, planned := e.Data.(*contract.FlowPlanned); planned {
			return d, nil
		}
	}
}

// inFlight is the number of concurrent flows when flows are counted.
const inFlight = 64

// flowsPerSecond measures the throughput of flows.
func (s *Suite) flowsPerSecond() Figure {
	d := time.Duration(s.few(10, 60)) * time.Second
	return Figure{
		Name: "flows per second", Rounds: 1,
		How: fmt.Sprintf("%d concurrent flows source → greet → void_sink for %v; the figure "+
			"counts the flows whose `flow.cleaned` was received in that time. CPU time is that of the processes, user and "+
			"system; executors and the client are not included.", inFlight, d),
		Variants: []Variant{{"three nodes", func(r *Run) (Values, error) { return r.sustain(d) }}},
		Rows: []Row{
			{"three-node flows submitted → completed → cleaned", "flows", "", PerSecond("flows"),
				Goal{AtLeast: 400, Text: "≥ 400/s"}},
			{"… submit → cleaned, p99", "cleaned p99", "", Seconds, Goal{}},
			{"… p50", "p50 flow.cleaned", "", Seconds, Goal{}},
			{"… to flow.validated, p50", "p50 flow.validated", "", Seconds, Goal{}},
			{"… to flow.planned", "p50 flow.planned", "", Seconds, Goal{}},
			{"… to flow.spawned", "p50 flow.spawned", "", Seconds, Goal{}},
			{"… to job.started", "p50 job.started", "", Seconds, Goal{}},
			{"… to flow.completed", "p50 flow.completed", "", Seconds, Goal{}},
			{"CPU time per three-node flow, broker and services", "CPU", "", Seconds,
				Goal{AtMost: 0.0025, Text: "≤ 2.5 ms"}},
			{"… nats-server", "CPU nats-server", "", Seconds, Goal{}},
			{"… validator", "CPU validator", "", Seconds, Goal{}},
			{"… planner", "CPU planner", "", Seconds, Goal{}},
			{"… spawner", "CPU spawner", "", Seconds, Goal{}},
			{"… panic-aggregator", "CPU panic-aggregator", "", Seconds, Goal{}},
		},
	}
}

func (r *Run) sustain(d time.Duration) (Values, error) {
	s, err := r.dagyo()
	if err != nil {
		return nil, err
	}
	if _, err := s.whole(r, r.nextID(), threeNodes()); err != nil { // starts the executors
		return nil, err
	}
	profiled, err := s.profile(r)
	if err != nil {
		return nil, err
	}
	used, err := s.cpuTimes()
	if err != nil {
		return nil, err
	}
	ids := make(chan string)
	end := time.Now().Add(d)
	go func() {
		defer close(ids)
		for time.Now().Before(end) {
			ids <- r.nextID()
		}
	}()
	steps, done, err := s.all(r, ids, end)
	cleaned := steps[contract.TypeFlowCleaned]
	after, failed := s.cpuTimes()
	out := Values{
		"flows":       float64(done) / d.Seconds(),
		"cleaned p99": worker.Quantile(cleaned, 0.99).Seconds(),
	}
	for step, took := range steps {
		out["p50 "+string(step)] = worker.Quantile(took, 0.5).Seconds()
	}
	for name := range after {
		perFlow := (after[name] - used[name]) / float64(len(cleaned))
		out["CPU "+name] = perFlow
		out["CPU"] += perFlow
	}
	return out, errors.Join(err, failed, profiled())
}

// flowSteps are the events of a flow that completes by itself, in order.
func flowSteps() []contract.Type {
	return []contract.Type{
		contract.TypeFlowSubmit, contract.TypeFlowValidated, contract.TypeFlowPlanned,
		contract.TypeFlowSpawned, contract.TypeJobStarted, contract.TypeFlowCompleted,
		contract.TypeFlowCleaned,
	}
}

// all runs the flows, inFlight at a time. It returns the time of each flow to each step, and how many flows ended in
// time.
func (s *Stack) all(
	ctx context.Context, ids <-chan string, end time.Time,
) (steps map[contract.Type][]time.Duration, done int, err error) {
	steps = make(map[contract.Type][]time.Duration)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for id := range ids {
				took, failed := s.whole(ctx, id, threeNodes())
				mu.Lock()
				if failed != nil && err == nil {
					err = failed
				}
				for step, d := range took {
					steps[step] = append(steps[step], d)
				}
				if time.Now().Before(end) && failed == nil {
					done++
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return steps, done, err
}

// flowLimit limits the duration of one small flow.
const flowLimit = 30 * time.Second

// whole runs a flow until it is cleaned up, and returns the time to each step.
func (s *Stack) whole(
	ctx context.Context, id string, doc []byte,
) (map[contract.Type]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, flowLimit)
	defer cancel()
	story := s.watch.follow(id)
	defer s.watch.forget(id)
	t0 := time.Now()
	if _, err := s.client.Submit(ctx, id, doc); err != nil {
		return nil, err
	}
	took := map[contract.Type]time.Duration{contract.TypeFlowSubmit: time.Since(t0)}
	err := story.awaitCleaned(ctx)
	for _, t := range flowSteps()[1:] {
		if d := story.since(t0, t); d > 0 {
			took[t] = d
		}
	}
	return took, err
}

// panics measures the time from a job's panic to the flow's.
func (s *Suite) panics() Figure {
	n := s.few(15, 100)
	return Figure{
		Name: "panic", Rounds: 1,
		How: fmt.Sprintf("%d flows of two jobs, one after the other: one job returns an error, whose text "+
			"is the time, as soon as it runs, and the other must be stopped. Measured until the client receives "+
			"`flow.panic` and `flow.cleaned`.", n),
		Variants: []Variant{{"error", func(r *Run) (Values, error) { return r.panic(n) }}},
		Rows: []Row{
			{"panic in a job → flow.panic, p99", "panic p99", "", Seconds,
				Goal{AtMost: 0.25, Text: "≤ 250 ms"}},
			{"… p50", "panic p50", "", Seconds, Goal{}},
			{"panic in a job → everything released, p99", "cleaned p99", "", Seconds,
				Goal{AtMost: 5, Text: "≤ 5 s"}},
			{"… p50", "cleaned p50", "", Seconds, Goal{}},
		},
	}
}

func (r *Run) panic(n int) (Values, error) {
	s, err := r.dagyo()
	if err != nil {
		return nil, err
	}
	var panicked, cleaned []time.Duration
	for i := range n + 1 {
		p, c, err := s.fail(r, r.nextID())
		if err != nil {
			return nil, err
		}
		if i > 0 { // the first one starts the executors
			panicked, cleaned = append(panicked, p), append(cleaned, c)
		}
	}
	return Values{
		"panic p50":   worker.Quantile(panicked, 0.5).Seconds(),
		"panic p99":   worker.Quantile(panicked, 0.99).Seconds(),
		"cleaned p50": worker.Quantile(cleaned, 0.5).Seconds(),
		"cleaned p99": worker.Quantile(cleaned, 0.99).Seconds(),
	}, nil
}

func (s *Stack) fail(ctx context.Context, id string) (panicked, cleaned time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, flowLimit)
	defer cancel()
	story := s.watch.follow(id)
	story.mayPanic = true // the client receives nothing before the submission
	defer s.watch.forget(id)
	if _, err := s.client.Submit(ctx, id, failing()); err != nil {
		return 0, 0, err
	}
	if err := story.awaitEvent(ctx, contract.TypeFlowPanic); err != nil {
		return 0, 0, err
	}
	at, err := strconv.ParseInt(strings.TrimPrefix(story.told, worker.PanicMark), 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("an unexpected panic: %s", story.told)
	}
	if err := story.awaitCleaned(ctx); err != nil {
		return 0, 0, err
	}
	t0 := time.Unix(0, at)
	return story.since(t0, contract.TypeFlowPanic), story.since(t0, contract.TypeFlowCleaned), nil
}

// liveFlows measures the cost of idle live flows.
func (s *Suite) liveFlows() Figure {
	n, greeted := s.options.Live, s.few(10, 1000)
	return Figure{
		Name: "live flows", Rounds: 1,
		How: fmt.Sprintf("On a separate Dagyo, %d flows of two jobs and an edge are started and "+
			"stay; %d were running before. Memory is resident memory of nats-server and the four services after "+
			"collections, less the value before, per flow; executors are not included. Before that, %d flows were started "+
			"and cancelled, a few at a time: what a process keeps once, such as nats-server's 8 MiB for the end of EVENTS and spans that are "+
			"partly in use, is then there; the rows below give its size. Then %d first records "+
			"as above. At the end all flows are cancelled.", n, inFlight, warmUp, greeted),
		Variants: []Variant{
			{"start", func(r *Run) (Values, error) { return r.begin(n) }},
			{"first record", func(r *Run) (Values, error) { return r.firstRecords("live", greeted, false) }},
			{"end", func(r *Run) (Values, error) { return r.cancelAll() }},
		},
		Rows: []Row{
			{fmt.Sprintf("%d live idle flows: memory per flow, broker and services", n), "memory a flow", "",
				Size, Goal{AtMost: 32 << 10, Text: "≤ 32 KiB"}},
			{"… broker", "broker a flow", "", Size, Goal{}},
			{"… services", "services a flow", "", Size, Goal{}},
			{fmt.Sprintf("… in total, of a new Dagyo with %d live flows", inFlight), "memory new", "", Size, Goal{}},
			{fmt.Sprintf("… after %d ended flows", warmUp), "memory before", "", Size, Goal{}},
			{fmt.Sprintf("… with %d live flows more", n), "memory after", "", Size, Goal{}},
			{"… their start", "started", "", PerSecond("flows"), Goal{}},
			{fmt.Sprintf("submit → first output record with %d live flows, p50", n), "live p50", "",
				Seconds, Goal{AtMost: 0.008, Text: "≤ 8 ms"}},
			{"… p99", "live p99", "", Seconds, Goal{AtMost: 0.025, Text: "≤ 25 ms"}},
			{"… cancel → cleaned, all of them", "ended", "", PerSecond("flows"), Goal{}},
		},
	}
}

func (r *Run) begin(n int) (Values, error) {
	r.closeStack() // earlier activity would show in the memory
	s, err := r.dagyo()
	if err != nil {
		return nil, err
	}
	if err := s.stayAll(r, inFlight); err != nil { // starts the executors
		return nil, err
	}
	brokerNew, servicesNew, err := s.memory(r)
	if err != nil {
		return nil, err
	}
	if err := s.warm(r); err != nil {
		return nil, err
	}
	broker0, services0, err := s.memory(r)
	if err != nil {
		return nil, err
	}
	profiled, err := s.profile(r)
	if err != nil {
		return nil, err
	}
	t0 := time.Now()
	if err := s.stayAll(r, n); err != nil {
		return nil, err
	}
	took := time.Since(t0)
	if err := profiled(); err != nil {
		return nil, err
	}
	broker1, services1, err := s.memory(r)
	flows := float64(n)
	return Values{
		"broker a flow": (broker1 - broker0) / flows, "services a flow": (services1 - services0) / flows,
		"memory a flow": (broker1 - broker0 + services1 - services0) / flows,
		"memory new":    brokerNew + servicesNew, "memory before": broker0 + services0, "memory after": broker1 + services1,
		"started": flows / took.Seconds(),
	}, err
}

// warmUp is the number of flows that start and end before memory is measured.
const warmUp = 16 * inFlight

// warm starts and cancels flows, never more than inFlight at a time: a Dagyo that had many live flows has room for them.
// Then it starts as many as were running before.
func (s *Stack) warm(r *Run) error {
	for range warmUp / inFlight {
		if _, err := s.cancelKept(r); err != nil {
			return err
		}
		if err := s.stayAll(r, inFlight); err != nil {
			return err
		}
	}
	return nil
}

// stayAll starts n flows. If some fail, it keeps those that did start.
func (s *Stack) stayAll(r *Run, n int) error {
	ids := make(chan string, n)
	for range n {
		ids <- r.nextID()
	}
	close(ids)
	var mu sync.Mutex
	var first error
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for id := range ids {
				if err := s.stay(r, id, 2); err != nil {
					mu.Lock()
					first = errors.Join(first, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	workers.Wait()
	return first
}

// stay starts a flow with the given number of jobs and leaves it running.
func (s *Stack) stay(ctx context.Context, id string, jobs int) error {
	story := s.watch.follow(id)
	defer s.watch.forget(id)
	ctx, cancel := context.WithTimeout(ctx, flowLimit)
	defer cancel()
	if _, err := s.client.Submit(ctx, id, idle()); err != nil {
		return err
	}
	s.keep(id)
	return story.awaitStarted(ctx, jobs)
}

// cancelAll cancels the running flows.
func (r *Run) cancelAll() (Values, error) {
	s, err := r.dagyo()
	if err != nil {
		return nil, err
	}
	t0 := time.Now()
	n, err := s.cancelKept(r)
	return Values{"ended": float64(n) / time.Since(t0).Seconds()}, err
}

// cancelKept cancels the flows that were left running, waits until they are cleaned up, and returns how many there were.
func (s *Stack) cancelKept(ctx context.Context) (int, error) {
	ids := s.kept()
	stories := make([]*Story, len(ids))
	for i, id := range ids {
		stories[i] = s.watch.follow(id)
		defer s.watch.forget(id)
		if _, err := s.client.Cancel(ctx, id, "the end"); err != nil {
			return 0, err
		}
	}
	for _, story := range stories {
		if err := story.awaitCleaned(ctx); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}
