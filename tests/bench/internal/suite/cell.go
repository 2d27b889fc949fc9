package suite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// cellFigure measures what a flow costs each part of an installation: the input of tests/scale.
func (s *Suite) cellFigure() Figure {
	d := time.Duration(s.few(2, 40)) * time.Second
	f := Figure{
		Name: "cell", Rounds: 3,
		How: fmt.Sprintf("What a flow source → greet → void_sink costs each process: its CPU time while %d of them "+
			"run at any time for %v, less what it takes without flows, per flow. *One server*: one nats-server and one replica of each "+
			"service. *Cell*: three nats-servers as a cluster and two replicas of each service, with `--replicas` 1 and 3. "+
			"The events server is the one that leads EVENTS. All share the cores of this machine, so only "+
			"CPU times are shown, not rates. Executors and the client are not included. Before that, idle flows are started in the cell, as many as in *live flows*, "+
			"what they cost while nothing happens is measured for %v, and they are cancelled. Messages and bytes are counted by a subscription to everything "+
			"while %d flows run on one server; bytes include subjects and headers.", inFlight, d, d/4, s.few(50, 200)),
		Variants: []Variant{
			{"one server", func(r *Run) (Values, error) { return r.cellCosts("one", 1, 1, 1, d) }},
			{"cell, one replica", func(r *Run) (Values, error) { return r.cellCosts("r1", 3, 1, 2, d) }},
			{"cell, three replicas", func(r *Run) (Values, error) { return r.cellCosts("r3", 3, 3, 2, d) }},
		},
		Rows: []Row{
			{"CPU time of a flow: all servers, three replicas / one server", "r3 servers", "one servers", Seconds, Goal{}},
			{"… all servers, three replicas / one replica in a cell", "r3 servers", "r1 servers", Seconds, Goal{}},
			{"… events server", "r3 events server", "one events server", Seconds, Goal{}},
			{"… each other server", "r3 other server", "", Seconds, Goal{}},
		},
	}
	for _, name := range client.Services() {
		f.Rows = append(f.Rows,
			Row{"… " + name + ", leader", "r3 " + name, "one " + name, Seconds, Goal{}},
			Row{"… " + name + ", follower", "r3 " + name + " follower", "", Seconds, Goal{}})
	}
	f.Rows = append(f.Rows,
		Row{"one flow at a time: submit → cleaned p50", "r3 alone", "one alone", Seconds, Goal{}},
		Row{"a live idle flow, for a second: CPU time of all servers", "r3 idle servers", "", Seconds, Goal{}},
		Row{"… of the panic-aggregator, leader", "r3 idle panic-aggregator", "", Seconds, Goal{}},
		Row{"… memory in all servers", "r3 memory servers", "", Size, Goal{}},
		Row{"… memory in all leaders", "r3 memory leaders", "", Size, Goal{}})
	for _, class := range classes() {
		f.Rows = append(f.Rows, Row{"messages of a flow: " + class.what, "one messages " + class.name, "", Plain, Goal{}},
			Row{"… bytes", "one bytes " + class.name, "", Plain, Goal{}})
	}
	return f
}

// A cell is a Dagyo on a cluster, with followers beside the leaders.
type cell struct {
	*Stack
	cluster   *Cluster
	followers map[string]*role.Process
}

func (r *Run) cellCosts(series string, servers, replicas, copies int, d time.Duration) (Values, error) {
	c, err := r.startCell(servers, replicas, copies)
	if err != nil {
		return nil, err
	}
	defer c.stop(r)
	out := Values{}
	if servers > 1 { // before others have left garbage
		if err := c.idle(r, series, d/4, out); err != nil {
			return nil, err
		}
	}
	if err := c.flows(r, series, d, out); err != nil || servers > 1 {
		return out, err
	}
	return out, c.census(r, series, out)
}

func (r *Run) startCell(servers, replicas, copies int) (*cell, error) {
	cluster, err := r.startCluster(servers)
	if err != nil {
		return nil, err
	}
	c := &cell{cluster: cluster, followers: make(map[string]*role.Process)}
	c.Stack = &Stack{
		Broker: cluster.Broker, services: make(map[string]*role.Process), dir: filepath.Join(r.dir, r.nextID()),
	}
	flags := r.services(c.dir)
	for name := range flags {
		flags[name] = append(flags[name], "--replicas", strconv.Itoa(replicas))
	}
	ctx, cancel := context.WithTimeout(r, stackStart)
	defer cancel()
	err = c.start(ctx, flags) // they lead
	if err == nil && copies > 1 {
		err = errors.Join(c.startAll(ctx, flags, c.followers), c.awaitReplicas(ctx, copies))
	}
	if err != nil {
		c.stop(r)
		return nil, err
	}
	return c, nil
}

func (c *cell) stop(r *Run) {
	if c.client != nil {
		c.client.Close()
	}
	for _, services := range []map[string]*role.Process{c.followers, c.services} {
		for _, p := range services {
			_ = p.Tell(role.Stop, nil) // it may have exited
			p.End()
		}
	}
	r.endExecutors(c.dir)
	c.cluster.end()
}

// usage is a quantity of each process, by name: "events server", "other server", the services, and their followers.
func (c *cell) usage(r *Run, of func(*role.Process) (float64, error)) (Values, error) {
	out := Values{}
	var err error
	put := func(name string, p *role.Process) {
		v, failed := of(p)
		out[name] += v
		err = errors.Join(err, failed)
	}
	leader, failed := c.eventsLeader(r)
	for i, p := range c.cluster.servers {
		put("servers", p)
		if i == leader {
			put("events server", p)
		}
	}
	for name, p := range c.services {
		put(name, p)
	}
	for name, p := range c.followers {
		put(name+" follower", p)
	}
	if n := len(c.cluster.servers) - 1; n > 0 {
		out["other server"] = (out["servers"] - out["events server"]) / float64(n)
	}
	return out, errors.Join(err, failed)
}

func (c *cell) eventsLeader(r *Run) (int, error) {
	s, err := c.Link.JS.Stream(r, contract.StreamEvents)
	if err != nil {
		return 0, err
	}
	if cluster := s.CachedInfo().Cluster; cluster != nil && cluster.Leader != "" {
		return slices.Index(c.cluster.names, cluster.Leader), nil
	}
	return 0, nil
}

// cpuDuring is the CPU time of each process while f runs.
func (c *cell) cpuDuring(r *Run, f func() error) (Values, error) {
	cpu := func(p *role.Process) (float64, error) { return cpuTime(p.PID()) }
	leader, failed := c.eventsLeader(r)
	before, err := c.usage(r, cpu)
	if err := errors.Join(failed, err); err != nil {
		return nil, err
	}
	if err := f(); err != nil {
		return nil, err
	}
	after, err := c.usage(r, cpu)
	for name := range after {
		after[name] -= before[name]
	}
	if now, failed := c.eventsLeader(r); now != leader || failed != nil {
		return nil, errors.Join(err, failed, errLeaderChanged)
	}
	return after, err
}

var errLeaderChanged = errors.New("another server has become the leader of EVENTS: the costs of its servers are mixed")

// resting is the CPU time of each process in a second without events.
func (c *cell) resting(r *Run, d time.Duration) (Values, error) {
	out, err := c.cpuDuring(r, func() error { time.Sleep(d); return nil })
	for name := range out {
		out[name] /= d.Seconds()
	}
	return out, err
}

// flows measures the CPU time of a flow.
func (c *cell) flows(r *Run, series string, d time.Duration, out Values) error {
	if _, err := c.whole(r, r.nextID(), threeNodes()); err != nil { // starts the executors
		return err
	}
	var alone []time.Duration
	for range r.few(10, 100) {
		took, err := c.whole(r, r.nextID(), threeNodes())
		if err != nil {
			return err
		}
		alone = append(alone, took[contract.TypeFlowCleaned])
	}
	out[series+" alone"] = worker.Quantile(alone, 0.5).Seconds()
	resting, err := c.resting(r, d/4)
	if err != nil {
		return err
	}
	var ran int
	t0 := time.Now()
	cpu, err := c.cpuDuring(r, func() error { ran, err = c.run(r, t0.Add(d)); return err })
	took := time.Since(t0).Seconds()
	for name, spent := range cpu {
		out[series+" "+name] = (spent - resting[name]*took) / float64(ran)
		out[series+" resting "+name] = resting[name]
	}
	out[series+" flows"] = float64(ran) / took
	return err
}

// run runs flows until the given time, and returns how many there were.
func (c *cell) run(r *Run, end time.Time) (int, error) {
	ids := make(chan string)
	go func() {
		defer close(ids)
		for time.Now().Before(end) {
			ids <- r.nextID()
		}
	}()
	steps, _, err := c.all(r, ids, end)
	return len(steps[contract.TypeFlowCleaned]), err
}

// idle measures what idle live flows cost.
func (c *cell) idle(r *Run, series string, d time.Duration, out Values) error {
	rss := func(p *role.Process) (float64, error) { v, _, err := memory(r, p); return v, err }
	if err := c.stayAll(r, inFlight); err != nil {
		return err
	}
	memory0, err := c.usage(r, rss)
	cpu0, failed := c.resting(r, d)
	if err := errors.Join(err, failed, c.stayAll(r, r.options.Live)); err != nil {
		return err
	}
	memory1, err := c.usage(r, rss)
	cpu1, failed := c.resting(r, d)
	n := float64(r.options.Live)
	for name := range cpu1 {
		out[series+" memory "+name] = (memory1[name] - memory0[name]) / n
		out[series+" idle "+name] = (cpu1[name] - cpu0[name]) / n
	}
	for _, name := range client.Services() {
		out[series+" memory leaders"] += out[series+" memory "+name]
	}
	_, cancelled := c.cancelKept(r)
	return errors.Join(err, failed, cancelled)
}

// A class is a kind of message.
type class struct{ name, what string }

func classes() []class {
	return []class{
		{"EVENTS", "stored in EVENTS, as subscribers receive them"},
		{"events", "published to EVENTS by services"},
		{"jobs", "stored in JOBS"},
		{"edges", "stored in EDGES"},
		{"direct", "frames sent to a connected reader"},
		{"health", "heartbeats of jobs"},
		{"deliveries", "delivered by consumers, to one replica of each service and to executors"},
		{"_INBOX", "replies and acknowledgements"},
		{"$JS", "requests to JetStream, and acknowledgements of jobs"},
		{"other", "all others"},
	}
}

// classOf is the name of a message's class. A delivery by a consumer has the subject of the stored message.
func classOf(m *nats.Msg) string {
	first, _, _ := strings.Cut(m.Subject, ".")
	if strings.HasPrefix(m.Reply, "$JS.ACK.") {
		return "deliveries"
	}
	switch first {
	case "events", "jobs", "edges", "direct", "health", "_INBOX", "$JS":
		return first
	case "flow", "job", "executor", "tick", "deadletter", "progdef", "type":
		return "EVENTS"
	}
	return "other"
}

// census counts the messages of a flow.
func (c *cell) census(r *Run, series string, out Values) error {
	var mu sync.Mutex
	counts := Values{}
	sub, err := c.Link.Subscribe(">", func(m *nats.Msg) {
		name := classOf(m)
		mu.Lock()
		defer mu.Unlock()
		counts[series+" messages "+name]++
		counts[series+" bytes "+name] += float64(m.Size())
	})
	if err != nil {
		return err
	}
	if err := errors.Join(sub.SetPendingLimits(-1, -1), c.Link.Flush()); err != nil {
		return err
	}
	n := r.few(50, 200)
	for range n {
		if _, err := c.whole(r, r.nextID(), threeNodes()); err != nil {
			return err
		}
	}
	if err := errors.Join(sub.Unsubscribe(), c.Link.Flush()); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	for name, v := range counts {
		out[name] = v / float64(n)
	}
	return nil
}
