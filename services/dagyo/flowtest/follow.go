package flowtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
)

// A follower follows one flow to its end, feeds its inputs, and collects its outputs.
type follower struct {
	runner *Runner
	c      Case
	flow   string
	clock  *clock
	feed   *client.Feed
	phase  contract.Type
	// planned is true once the jobs are known.
	planned bool
	jobs    map[string]contract.JobState
	// over cancels what needs a running flow.
	over    context.CancelFunc
	reading sync.WaitGroup
	feeding sync.WaitGroup
	outputs map[string]*collected

	mu    sync.Mutex
	unfed map[string]error
}

func (r *Runner) follow(ctx context.Context, c Case, flow string, seq uint64, k *clock) (*follower, error) {
	feed, err := r.Client.Follow(ctx, client.Start{Seq: seq}, client.FlowSubjects(flow)...)
	if err != nil {
		return nil, err
	}
	return &follower{
		runner: r, c: c, flow: flow, clock: k, feed: feed, phase: contract.TypeFlowSubmit, over: func() {},
		jobs: make(map[string]contract.JobState), outputs: make(map[string]*collected),
		unfed: make(map[string]error),
	}, nil
}

// close waits for all goroutines, and releases the outputs on the broker.
func (f *follower) close() {
	f.over()
	f.reading.Wait()
	f.feeding.Wait()
	f.feed.Close()
	read := make(map[string]contract.OutputCount)
	for name, c := range f.outputs {
		read[name] = c.count
	}
	_ = f.runner.Client.Release(f.flow, read) // otherwise they are kept for the retention
}

// observe waits for the verdict and for the end of the outputs.
func (f *follower) observe(ctx context.Context) (observation, error) {
	seen := observation{outputs: f.outputs, unfed: f.unfed}
	var err error
	seen.verdict, err = f.verdict(ctx)
	if errors.Is(err, errLate) {
		late := f.clock.late(f.standing())
		seen.late = &late
		seen.verdict, err = f.cancelled(ctx)
	}
	f.over()
	f.reading.Wait()
	f.feeding.Wait()
	if err == nil && seen.late == nil && context.Cause(ctx) == errLate {
		late := f.clock.late("its outputs were not read to the end")
		seen.late = &late
	}
	return seen, err
}

// standing returns the progress of the flow.
func (f *follower) standing() string {
	s := "its last event was " + string(f.phase)
	if jobs := running(f.jobs); jobs != "" {
		s += "; jobs: " + jobs
	}
	return s
}

// cancelled cancels a flow at its deadline, so that it frees its capacity for the next test case.
func (f *follower) cancelled(ctx context.Context) (contract.Event, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelWait)
	defer cancel()
	if _, err := f.runner.Client.Cancel(ctx, f.flow, "the deadline of the test case expired"); err != nil {
		return contract.Event{}, err
	}
	e, err := f.verdict(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // the deadline is already reported
	}
	return e, err
}

// verdict reads the flow's events up to the last one.
func (f *follower) verdict(ctx context.Context) (contract.Event, error) {
	for {
		e, err := f.feed.Next(ctx)
		if err != nil {
			return e, err
		}
		switch d := e.Data.(type) {
		case *contract.FlowPlanned:
			f.open(ctx, d)
			f.planned = true
		case *contract.JobStarted:
			f.jobs[d.Job] = contract.JobRunning
		case *contract.JobDone:
			f.jobs[d.Job] = contract.JobEnded
		case *contract.JobPanic:
			f.jobs[d.Job] = contract.JobPanicked
		}
		if f.planned && !slices.Contains(slices.Collect(maps.Values(f.jobs)), contract.JobWaiting) {
			f.clock.begun()
		}
		if strings.HasPrefix(string(e.Type), "flow.") {
			f.phase = e.Type
		}
		if contract.IsVerdict(e.Type) || e.Type == contract.TypeFlowRejected {
			return e, nil
		}
	}
}

// open starts feeding the inputs and reading the outputs.
func (f *follower) open(ctx context.Context, d *contract.FlowPlanned) {
	for _, j := range d.Jobs {
		f.jobs[j.Job] = contract.JobWaiting
	}
	running, over := context.WithCancel(ctx)
	f.over = over
	for name, a := range d.Outputs {
		out := &collected{typename: a.Type, limit: f.runner.OutputLimit}
		f.outputs[name] = out
		keep := !f.c.Document.Outputs[name].Ignored
		f.reading.Go(func() { out.read(ctx, running, f.runner.Client, a, keep) })
	}
	for name, a := range d.Inputs {
		f.feeding.Go(func() {
			if err := f.write(running, f.c.Inputs[name], a); err != nil && running.Err() == nil {
				f.failed(ctx, name, err)
			}
		})
	}
}

// failed records an input that cannot be fed, and cancels the flow, which would wait for it.
func (f *follower) failed(ctx context.Context, name string, err error) {
	f.mu.Lock()
	f.unfed[name] = err
	f.mu.Unlock()
	if _, err := f.runner.Client.Cancel(ctx, f.flow, fmt.Sprintf("input %s: %v", name, err)); err != nil {
		f.over() // it ends at the deadline of the test case
	}
}

// write feeds the records of a file or folder.
func (f *follower) write(ctx context.Context, path string, a contract.Address) error {
	next, stop := puller(readFile(path, a.Type))
	defer stop()
	if _, err := f.runner.Client.Write(ctx, a, next); err != nil {
		return fmt.Errorf("cannot be fed: %w", err)
	}
	return nil
}
