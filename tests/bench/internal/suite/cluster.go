package suite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/freeport"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// A Cluster is some nats-servers, each a process, on this machine.
type Cluster struct {
	// Broker is the first server, with the URLs of all.
	*Broker
	servers []*role.Process
	names   []string
	urls    []string
	hubs    []string // where they listen for leaf nodes
}

// startCluster starts n servers. A single one is not a cluster.
func (r *Run) startCluster(n int) (*Cluster, error) {
	ports, err := freeport.Find(2 * n)
	if err != nil {
		return nil, err
	}
	urls := make([]string, len(ports))
	for i, port := range ports {
		urls[i] = fmt.Sprintf("nats://127.0.0.1:%d", port)
	}
	c := &Cluster{Broker: &Broker{}, hubs: urls[n:]}
	for i := range n {
		o := worker.Server{Name: fmt.Sprintf("server-%d", i+1), Dir: filepath.Join(r.dir, r.nextID())}
		if n > 1 {
			o.Port, o.Routes, o.LeafPort = ports[i], urls[:n], ports[n+i]
		}
		var url string
		p, err := startServer(r, o, &url)
		if err != nil {
			c.end()
			return nil, err
		}
		c.servers, c.names, c.urls = append(c.servers, p), append(c.names, o.Name), append(c.urls, url)
	}
	c.Process, c.URL = c.servers[0], strings.Join(c.urls, ",")
	if err := c.connect(r); err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// connect waits until JetStream has a leader.
func (c *Cluster) connect(r *Run) (err error) {
	ctx, cancel := context.WithTimeout(r, stackStart)
	defer cancel()
	c.Link, err = broker.Connect(ctx, broker.Options{URL: c.URL, Name: "bench", Wait: connectLimit})
	for err == nil {
		ask, done := context.WithTimeout(ctx, time.Second)
		_, failed := c.Link.JS.AccountInfo(ask)
		done()
		if failed == nil {
			return nil
		}
		err = context.Cause(ctx)
	}
	return err
}

// end ends the servers.
func (c *Cluster) end() {
	if c.Link != nil {
		c.Link.Close()
	}
	for _, p := range c.servers {
		p.End()
	}
}

// cpu is the CPU time of each server in seconds.
func (c *Cluster) cpu() ([]float64, error) {
	out := make([]float64, len(c.servers))
	var err error
	for i, p := range c.servers {
		var failed error
		out[i], failed = cpuTime(p.PID())
		err = errors.Join(err, failed)
	}
	return out, err
}

// spent is the CPU time of all servers together while f runs, in seconds.
func (c *Cluster) spent(f func() error) (float64, error) {
	before, err := c.cpu()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := c.cpu()
	return sum(after) - sum(before), err
}

func sum(all []float64) (total float64) {
	for _, v := range all {
		total += v
	}
	return total
}

// eventBytes is about the size of a stored event.
const eventBytes = 1 << 10

// writes measures what a message of a stream costs with one and with three replicas.
func (s *Suite) writes() Figure {
	n := s.few(1000, 20_000)
	return Figure{
		Name: "replicated writes", Rounds: 3,
		How: fmt.Sprintf("Three nats-servers as a cluster on this machine, and two streams in files, with one and with "+
			"three replicas: %d messages of %d bytes with at most 256 unacknowledged, then 300 one after the other. CPU time is "+
			"that of the three servers. All three share the cores of this machine: the ratios say more than the rates.", n, eventBytes),
		Variants: []Variant{
			{"one replica", func(r *Run) (Values, error) { return r.write("w1", 1, n) }},
			{"three replicas", func(r *Run) (Values, error) { return r.write("w3", 3, n) }},
		},
		Rows: []Row{
			{"CPU time of a stored message, three replicas / one", "w3 cpu", "w1 cpu", Seconds, Goal{}},
			{"stored messages per second, three replicas / one", "w3 rate", "w1 rate", PerSecond("messages"), Goal{}},
			{"publish → acknowledgement p50, three replicas / one", "w3 p50", "w1 p50", Seconds, Goal{}},
		},
	}
}

func (r *Run) write(series string, replicas, n int) (Values, error) {
	c, err := r.startCluster(3)
	if err != nil {
		return nil, err
	}
	defer c.end()
	js, err := jetstream.New(c.Link.Conn, jetstream.WithPublishAsyncMaxPending(256))
	if err != nil {
		return nil, err
	}
	_, err = js.CreateStream(r, jetstream.StreamConfig{
		Name: "W", Subjects: []string{"w.*"}, Storage: jetstream.FileStorage, Replicas: replicas,
	})
	if err != nil {
		return nil, err
	}
	t0 := time.Now()
	cpu, err := c.spent(func() error { return publishAll(r, js, n) })
	took := time.Since(t0)
	if err != nil {
		return nil, err
	}
	var waits []time.Duration
	for range 300 {
		t0 := time.Now()
		if _, err := js.Publish(r, "w.one", make([]byte, eventBytes)); err != nil {
			return nil, err
		}
		waits = append(waits, time.Since(t0))
	}
	return Values{
		series + " cpu": cpu / float64(n), series + " rate": float64(n) / took.Seconds(),
		series + " p50": worker.Quantile(waits, 0.5).Seconds(),
	}, nil
}

func publishAll(ctx context.Context, js jetstream.JetStream, n int) error {
	for i := range n {
		if _, err := js.PublishAsync(fmt.Sprintf("w.%d", i%1000), make([]byte, eventBytes)); err != nil {
			return err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// routed measures what the bytes of an edge cost the servers of a cluster.
func routed() Figure {
	return Figure{
		Name: "routes", Rounds: 3,
		How: "Messages of 64 KiB by plain NATS in a cluster of three nats-servers on this machine: the length of a full " +
			"frame, and how frames are sent to a connected reader. Writer and reader are connected to the same server, or to two, so that each message " +
			"crosses a route, or to a leaf node of the cluster. CPU time is that of the three servers.",
		Variants: []Variant{
			{"one server", func(r *Run) (Values, error) { return r.route("same", 0) }},
			{"two servers", func(r *Run) (Values, error) { return r.route("route", 1) }},
			{"leaf node", func(r *Run) (Values, error) { return r.leaf("leaf") }},
		},
		Rows: []Row{
			{"CPU time of the servers per GB, two servers / one", "route cpu", "same cpu", Seconds, Goal{}},
			{"… both ends on a leaf node / one server", "leaf cpu", "same cpu", Seconds, Goal{}},
			{"… of the leaf node itself", "leaf own cpu", "", Seconds, Goal{}},
			{"bytes/s, two servers / one", "route bytes", "same bytes", Octets, Goal{}},
			{"… both ends on a leaf node / one server", "leaf bytes", "same bytes", Octets, Goal{}},
		},
	}
}

func (r *Run) route(series string, to int) (Values, error) {
	c, err := r.startCluster(3)
	if err != nil {
		return nil, err
	}
	defer c.end()
	return r.transfer(c, series, c.urls[0], c.urls[to])
}

func (r *Run) leaf(series string) (Values, error) {
	c, err := r.startCluster(3)
	if err != nil {
		return nil, err
	}
	defer c.end()
	var url string
	p, err := startServer(r, worker.Server{Name: "leaf", Hub: c.hubs[0]}, &url)
	if err != nil {
		return nil, err
	}
	defer p.End()
	before, err := cpuTime(p.PID())
	if err != nil {
		return nil, err
	}
	out, err := r.transfer(c, series, url, url)
	if err != nil {
		return nil, err
	}
	after, err := cpuTime(p.PID())
	out[series+" own cpu"] = (after - before) / out[series+" total"] * 1e9
	return out, err
}

// transfer sends messages from a client of one server to a client of another one.
func (r *Run) transfer(c *Cluster, series, from, to string) (Values, error) {
	out := r.load(c.Broker, 64<<10)
	out.Subject, out.URL = "plain."+r.nextID(), from
	in := out
	in.URL = to
	var sent, received worker.Result
	cpu, err := c.spent(func() (err error) {
		received, sent, err = r.pair(c.Broker, "core-recv", "core-send", in, out, nil)
		return err
	})
	_, octets := rates(sent, received)
	total := float64(received.Bytes)
	return Values{series + " bytes": octets, series + " total": total, series + " cpu": cpu / total * 1e9}, err
}
