package suite

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/client"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
)

// A turn is one service working alone until it has published an event about each flow.
type turn struct {
	service string
	until   contract.Type
}

func turns() []turn {
	return []turn{
		{"validator", contract.TypeFlowValidated}, {"planner", contract.TypeFlowPlanned},
		{"spawner", contract.TypeFlowSpawned}, {"panic-aggregator", contract.TypeFlowCompleted},
	}
}

// leaders measures how fast each leader works through a backlog.
func (s *Suite) leaders() Figure {
	n := s.few(100, 3000)
	f := Figure{
		Name: "leaders", Rounds: 3,
		How: fmt.Sprintf("%d flows source → greet → void_sink are submitted while all services are stopped (SIGSTOP). Then one service "+
			"after the other runs alone until it has published its event about each flow; the rate is from the first to the "+
			"last of these. nats-server has the same cores, and so have the executors while the spawner and the panic-aggregator run. "+
			"Cores are the CPU time of the service divided by that time.", n),
		Variants: []Variant{{"backlog", func(r *Run) (Values, error) { return r.backlog(n) }}},
	}
	for _, t := range turns() {
		f.Rows = append(f.Rows,
			Row{t.service + " alone, flows per second to " + string(t.until), t.service + " rate", "", PerSecond("flows"), Goal{}},
			Row{"… cores used", t.service + " cores", "", Plain, Goal{}})
	}
	return f
}

func (r *Run) backlog(n int) (Values, error) {
	p := &past{Run: r, dir: filepath.Join(r.dir, r.nextID())}
	defer p.stop()
	if err := errors.Join(p.startServer(), p.startServices()); err != nil {
		return nil, err
	}
	if _, err := p.whole(p, p.nextID(), threeNodes()); err != nil { // starts the executors
		return nil, err
	}
	defer func() { _ = p.signal(syscall.SIGCONT, client.Services()...) }() // stopped ones cannot exit
	if err := p.signal(syscall.SIGSTOP, client.Services()...); err != nil {
		return nil, err
	}
	stories := make([]*Story, n)
	for i := range stories {
		id := p.nextID()
		stories[i] = p.watch.follow(id)
		defer p.watch.forget(id)
		if _, err := p.Stack.client.Submit(p, id, threeNodes()); err != nil {
			return nil, err
		}
	}
	out := Values{}
	for _, t := range turns() {
		if err := p.turn(t, stories, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// turn lets one service run until it has published its event about each flow.
func (p *past) turn(t turn, stories []*Story, out Values) error {
	service := p.Stack.services[t.service]
	before, err := cpuTime(service.PID())
	if err != nil {
		return err
	}
	if err := p.signal(syscall.SIGCONT, t.service); err != nil {
		return err
	}
	first := time.Now()
	var last time.Time
	for i, story := range stories {
		if err := story.awaitEvent(p, t.until); err != nil {
			return err
		}
		at := first.Add(story.since(first, t.until))
		if i == 0 || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	after, err := cpuTime(service.PID())
	took := last.Sub(first).Seconds()
	out[t.service+" rate"] = float64(len(stories)-1) / took
	out[t.service+" cores"] = (after - before) / took
	return errors.Join(err, p.signal(syscall.SIGSTOP, t.service))
}

func (p *past) signal(s syscall.Signal, services ...string) (err error) {
	for _, name := range services {
		err = errors.Join(err, signalTo(p.Stack.services[name], s))
	}
	return err
}

func signalTo(p *role.Process, s syscall.Signal) error { return syscall.Kill(p.PID(), s) }
