package worker

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	dagyoheap "github.com/dagyo/dagyo/pkg/heap"
	"github.com/dagyo/dagyo/services/dagyo/cli"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
)

// A Server is the configuration of a nats-server.
type Server struct {
	// Name is unique in a cluster.
	Name string `json:"name"`
	// Dir is the directory of its streams.
	Dir string `json:"dir"`
	// Port is where it listens for the other servers of its cluster, whose URLs are Routes; 0 is a single server.
	Port   int      `json:"port,omitempty"`
	Routes []string `json:"routes,omitempty"`
	// LeafPort is where it listens for leaf nodes. A server with a Hub is one itself, and has no streams.
	LeafPort int    `json:"leafPort,omitempty"`
	Hub      string `json:"hub,omitempty"`
}

// options configures the server as `dagyo up` does.
func (o Server) options() (*natsd.Options, error) {
	out := &natsd.Options{
		ServerName: o.Name, Host: "127.0.0.1", Port: natsd.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: o.Dir, MaxPayload: embedded.MaxPayload,
		JetStreamMaxMemory: memoryLimit, JetStreamMaxStore: storeLimit,
	}
	var err error
	if o.Port != 0 {
		out.Cluster = natsd.ClusterOpts{Name: "bench", Host: "127.0.0.1", Port: o.Port}
		out.Routes, err = urls(o.Routes...)
	}
	if o.LeafPort != 0 {
		out.LeafNode = natsd.LeafNodeOpts{Host: "127.0.0.1", Port: o.LeafPort}
	}
	if o.Hub != "" {
		out.JetStream = false
		var hub []*url.URL
		hub, err = urls(o.Hub)
		out.LeafNode.Remotes = []*natsd.RemoteLeafOpts{{URLs: hub}}
	}
	return out, err
}

func urls(all ...string) ([]*url.URL, error) {
	var out []*url.URL
	for _, s := range all {
		u, err := url.Parse(s)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

// Commands of the server and the services besides role.Stop.
const (
	// Memory collects garbage and returns the heap in use, in bytes.
	Memory = "memory"
	// Profile begins a profile at the path in its argument; ProfileEnd ends it.
	Profile    = "profile"
	ProfileEnd = "profile-end"
)

// serverStart limits the start of the nats-server.
const serverStart = 20 * time.Second

// memoryLimit limits the streams in memory, storeLimit those in files, in bytes.
const (
	memoryLimit = 4 << 30
	storeLimit  = 32 << 30
)

// server runs a nats-server. It replies with its URL.
func server(ctx context.Context, s *role.Session) error {
	c, err := s.Expect(ctx, "serve")
	if err != nil {
		return err
	}
	var o Server
	if err := c.Decode(&o); err != nil {
		return err
	}
	options, err := o.options()
	if err != nil {
		return err
	}
	ns, err := natsd.NewServer(options)
	if err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	log := make(logger, 1)
	ns.SetLoggerV2(log, false, false, false)
	ns.Start()
	defer ns.WaitForShutdown()
	defer ns.Shutdown()
	if !ns.ReadyForConnections(serverStart) {
		return fmt.Errorf("nats-server is not ready after %v: %s", serverStart, log.first())
	}
	if err := s.Reply(ns.ClientURL()); err != nil {
		return err
	}
	return answer(ctx, s)
}

// A logger keeps the first error of a server that does not start.
type logger chan string

func (l logger) Noticef(string, ...any) {}
func (l logger) Warnf(string, ...any)   {}
func (l logger) Debugf(string, ...any)  {}
func (l logger) Tracef(string, ...any)  {}

func (l logger) Errorf(format string, v ...any) { l.Fatalf(format, v...) }

func (l logger) Fatalf(format string, v ...any) {
	select {
	case l <- fmt.Sprintf(format, v...):
	default:
	}
}

func (l logger) first() string {
	select {
	case text := <-l:
		return text
	default:
		return "it has logged no error"
	}
}

// answer answers commands until role.Stop.
func answer(ctx context.Context, s *role.Session) error {
	var p *profile
	for {
		c, err := s.Next(ctx)
		if err != nil {
			return nil // the parent has exited, so an error cannot be reported
		}
		var said any
		switch c.Verb {
		case role.Stop:
			return nil
		case Memory:
			said = heap()
		case Profile:
			var path string
			if err = c.Decode(&path); err == nil {
				p, err = startProfile(path)
			}
		case ProfileEnd:
			err, p = p.stop(), nil
		}
		if err != nil {
			return err
		}
		if err := s.Reply(said); err != nil {
			return err
		}
	}
}

// collections is the number of collections after which nothing is left that is not in use: a buffer with a finalizer
// returns to its pool after the first one, and a pool keeps its content for two.
const collections = 4

func heap() uint64 {
	for range collections {
		runtime.GC()
		time.Sleep(5 * time.Millisecond) // the finalizers
	}
	debug.FreeOSMemory()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapInuse
}

// service runs the dagyo command with the given arguments, such as one of the services.
func service(ctx context.Context, s *role.Session) error {
	c, err := s.Expect(ctx, "serve")
	if err != nil {
		return err
	}
	var args []string
	if err := c.Decode(&args); err != nil {
		return err
	}
	defer dagyoheap.Settle()() // as the dagyo command does
	signals := make(chan os.Signal, 2)
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Run(context.WithoutCancel(ctx), cli.Invocation{
			Args: args, In: nil, Out: os.Stderr, Err: os.Stderr, Env: os.Getenv, Signals: signals,
		})
	}()
	if err := s.Reply("started"); err != nil {
		return err
	}
	err = answer(ctx, s)
	signals <- syscall.SIGTERM
	if code := <-ended; code != 0 {
		return fmt.Errorf("dagyo %v exited with code %d", args, code)
	}
	return err
}
