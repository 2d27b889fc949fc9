package suite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
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
	n := s.few(100, 900) // one executor of each progdef has room for all their jobs
	f := Figure{
		Name: "leaders", Rounds: 3,
		How: fmt.Sprintf("%d flows source → greet → void_sink are submitted while all services and executors are stopped (SIGSTOP). "+
			"Then one service after the other runs alone until it has published its event about each flow, and the executors before the "+
			"panic-aggregator; the rate includes up to 0.25 s until it has its lease again. nats-server and the client have the same cores. "+
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
	executors, err := supervised(p.Stack.dir)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(executors, p.pids(client.Services()...))
	defer func() { _ = signal(syscall.SIGCONT, all) }() // stopped ones cannot exit
	if err := signal(syscall.SIGSTOP, all); err != nil {
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
		if t.service == "panic-aggregator" {
			if err := p.executeAll(executors, n); err != nil {
				return nil, err
			}
		}
		if err := p.turn(t, stories, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// executeAll lets the executors run until they have published job.done for all jobs of n flows, three each.
func (p *past) executeAll(executors []int, n int) error {
	events, err := p.Link.JS.Stream(p, contract.StreamEvents)
	if err != nil {
		return err
	}
	first, err := events.Info(p)
	if err := errors.Join(err, signal(syscall.SIGCONT, executors)); err != nil {
		return err
	}
	for {
		now, err := events.Info(p)
		if err != nil || now.State.LastSeq >= first.State.LastSeq+uint64(2*3*n) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// turn lets one service run until it has published its event about each flow.
func (p *past) turn(t turn, stories []*Story, out Values) error {
	service := p.Stack.services[t.service]
	before, err := cpuTime(service.PID())
	if err != nil {
		return err
	}
	t0 := time.Now()
	if err := signal(syscall.SIGCONT, p.pids(t.service)); err != nil {
		return err
	}
	var took time.Duration
	for _, story := range stories {
		if err := story.awaitEvent(p, t.until); err != nil {
			return err
		}
		took = max(took, story.since(t0, t.until))
	}
	after, err := cpuTime(service.PID())
	out[t.service+" rate"] = float64(len(stories)) / took.Seconds()
	out[t.service+" cores"] = (after - before) / took.Seconds()
	return errors.Join(err, signal(syscall.SIGSTOP, p.pids(t.service)))
}

func (p *past) pids(services ...string) (out []int) {
	for _, name := range services {
		out = append(out, p.Stack.services[name].PID())
	}
	return out
}

func signal(s syscall.Signal, pids []int) (err error) {
	for _, pid := range pids {
		err = errors.Join(err, syscall.Kill(pid, s))
	}
	return err
}

// supervised returns the executors of a spawner: the children of the supervisors that have its directory in their arguments.
func supervised(dir string) ([]int, error) {
	supervisors, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, path := range supervisors {
		args, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(args), "supervise\x00"+dir) {
			continue // it may have exited
		}
		lists, err := filepath.Glob(filepath.Join(filepath.Dir(path), "task", "*", "children")) // by thread
		if err != nil {
			return nil, err
		}
		for _, list := range lists {
			children, err := os.ReadFile(list)
			if err != nil {
				return nil, err
			}
			for _, field := range strings.Fields(string(children)) {
				pid, err := strconv.Atoi(field)
				if err != nil {
					return nil, err
				}
				out = append(out, pid)
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("found no executor")
	}
	return out, nil
}
