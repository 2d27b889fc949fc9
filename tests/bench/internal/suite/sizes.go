package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// flowSizes measures how the start of a flow depends on its number of nodes.
func (s *Suite) flowSizes() Figure {
	f := Figure{
		Name: "flow size", Rounds: 1,
		How: "A chain of nodes whose first one never writes: the time to `flow.planned`, and until " +
			"all jobs have started; memory as with live flows, in total. Then it is cancelled: the time to " +
			"`flow.cleaned`. The executors of the largest earlier flow are warm.",
	}
	sizes := []int{10, 100, 1_000, 10_000}
	for _, n := range sizes[:s.few(2, len(sizes))] {
		name := fmt.Sprintf("%d nodes", n)
		f.Variants = append(f.Variants,
			Variant{name, func(r *Run) (Values, error) { return r.large(name, n) }})
		f.Rows = append(f.Rows,
			Row{name + ": submit → planned", name + " planned", "", Seconds, Goal{}},
			Row{"… → all running", name + " running", "", Seconds, runningGoal(n)},
			Row{"… CPU time until then, broker and services", name + " CPU", "", Seconds, Goal{}},
			Row{"… executors", name + " CPU executors", "", Seconds, Goal{}},
			Row{"… memory, broker and services", name + " memory", "", Size, Goal{}},
			Row{"… cancel → cleaned", name + " cleaned", "", Seconds, Goal{}},
		)
	}
	return f
}

func runningGoal(nodes int) Goal {
	if nodes < 10_000 {
		return Goal{}
	}
	return Goal{AtMost: 2, Text: "≤ 2 s"}
}

// largeLimit limits each step of a large flow.
const largeLimit = 60 * time.Second

func (r *Run) large(series string, nodes int) (Values, error) {
	s, err := r.dagyo()
	if err != nil {
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
	id := r.nextID()
	story := s.watch.follow(id)
	defer s.watch.forget(id)
	out := Values{}
	used, err := s.cpuTimes()
	if err != nil {
		return nil, err
	}
	doc, executors := chain(nodes), s.executorTime()
	t0 := time.Now()
	err = s.submitLarge(r, id, story, doc, nodes)
	after, failed := s.cpuTimes()
	out[series+" CPU executors"] = s.executorTime() - executors
	for name := range after {
		out[series+" CPU "+name] = after[name] - used[name]
		out[series+" CPU"] += after[name] - used[name]
	}
	err = errors.Join(err, failed, profiled())
	if d := story.since(t0, contract.TypeFlowPlanned); d > 0 {
		out[series+" planned"] = d.Seconds()
	}
	if err != nil {
		_, _ = s.client.Cancel(r, id, "it does not start") // it may have been rejected
		return out, err
	}
	out[series+" running"] = story.last.Sub(t0).Seconds()
	broker1, services1, err := s.memory(r)
	if err != nil {
		return out, err
	}
	out[series+" memory"] = broker1 - broker0 + services1 - services0
	took, err := s.cancelLarge(r, id, story)
	out[series+" cleaned"] = took.Seconds()
	return out, err
}

func (s *Stack) submitLarge(ctx context.Context, id string, story *Story, doc []byte, nodes int) error {
	ctx, cancel := context.WithTimeout(ctx, largeLimit)
	defer cancel()
	if _, err := s.client.Submit(ctx, id, doc); err != nil {
		return err
	}
	return story.awaitStarted(ctx, nodes)
}

func (s *Stack) cancelLarge(ctx context.Context, id string, story *Story) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, largeLimit)
	defer cancel()
	t0 := time.Now()
	if _, err := s.client.Cancel(ctx, id, "the end"); err != nil {
		return 0, err
	}
	err := story.awaitCleaned(ctx)
	return time.Since(t0), err
}
