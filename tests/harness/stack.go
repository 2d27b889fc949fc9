package harness

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/service"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/process"
	"github.com/dagyo/dagyo/services/validator"
	"github.com/dagyo/dagyo/tests/harness/executors"
)

// Options configure a Stack.
type Options struct {
	Validator  validator.Config
	Planner    planner.Config
	Spawner    spawner.Config
	Aggregator aggregator.Config
	// MaxPayload is the broker's max_payload, in bytes.
	MaxPayload int32
	// Replicas is the number of replicas of each service.
	Replicas int
	// Without names services that are not started; the test replaces them.
	Without []string
	// Processes names services that run in separate processes, so that they can be paused.
	Processes []string
	// With Late, the test starts the server; with WithoutJetStream, it enables JetStream.
	Late, WithoutJetStream bool
	// Through maps the server's URL to the URL that processes use, such as that of a proxy. It may be nil.
	Through func(server string) string `json:"-"`
}

// DefaultOptions returns the services' defaults with shorter times: what takes minutes in an installation takes
// seconds.
func DefaultOptions() Options {
	o := Options{
		Validator: validator.DefaultConfig(), Planner: planner.DefaultConfig(),
		Spawner: spawner.DefaultConfig(), Aggregator: aggregator.DefaultConfig(), Replicas: 1, MaxPayload: 8 << 20,
	}
	for _, c := range o.common() {
		if os.Getenv("DAGYO_TEST_LOG") != "" {
			c.Log = zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: "05.000"}).With().Timestamp().Logger()
		}
	}
	o.Planner.SweepEvery = time.Second
	o.Planner.Limits.OutputRetention = 2 * time.Second
	o.Spawner.ReconcileEvery = time.Second
	o.Spawner.Limits.Linger = 3 * time.Second
	// On a busy machine, last events take longer. A verdict waits only until they arrive.
	o.Aggregator.Limits.Settle = 2 * time.Second
	return o
}

func (o *Options) common() []*service.Config {
	return []*service.Config{
		&o.Validator.Config, &o.Planner.Config, &o.Spawner.Config, &o.Aggregator.Config,
	}
}

// A Stack is a running Dagyo.
type Stack struct {
	Server *Server
	// Dir is the process backend's state directory.
	executors.Dir
	options Options

	mu        sync.Mutex
	running   map[string][]*instance // by service name
	processes map[string][]*Process
}

// instance is one replica of a service.
type instance struct {
	cancel context.CancelFunc
	link   *broker.Link
	done   chan error
}

// Start starts everything. At the end of the test, everything is stopped and no executor may be left.
func Start(t *testing.T, o Options) *Stack {
	t.Helper()
	dir := t.TempDir()
	server := StartServer
	if o.Late {
		server = LateServer
	} else if o.WithoutJetStream {
		server = PlainServer
	}
	s := &Stack{
		Server: server(t, filepath.Join(dir, "nats"), o.MaxPayload), Dir: executors.Dir(filepath.Join(dir, "executors")),
		options: o, running: make(map[string][]*instance), processes: make(map[string][]*Process),
	}
	t.Cleanup(func() { s.close(t) })
	s.StartAll(t)
	if len(o.Processes) == len(Services) && !o.Late && !o.WithoutJetStream {
		for _, name := range Services { // processes start slowly, and a command needs its stream
			s.Leader(t, name)
		}
	}
	return s
}

// StartAll starts all services as configured in the options.
func (s *Stack) StartAll(t testing.TB) {
	t.Helper()
	for range s.options.Replicas {
		for _, name := range Services {
			switch {
			case slices.Contains(s.options.Without, name):
			case slices.Contains(s.options.Processes, name):
				s.StartProcess(t, name)
			default:
				s.StartService(t, name)
			}
		}
	}
}

// RestartAll ends all services like a crash, and starts them again.
func (s *Stack) RestartAll(t testing.TB) {
	t.Helper()
	for _, name := range Services {
		s.KillService(t, name)
	}
	s.StartAll(t)
}

// Services are the names of the four services.
var Services = []string{validator.Name, planner.Name, spawner.Name, aggregator.Name}

// Reconfigure changes the options of services that are started later.
func (s *Stack) Reconfigure(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.options)
}

// StartService starts another replica of a service.
func (s *Stack) StartService(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	link, err := broker.Connect(ctx, broker.Options{URL: s.Server.ClientURL(), Name: name, Wait: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{cancel: cancel, link: link, done: make(chan error, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	options := s.options // a test may change them later
	go func() { i.done <- serve(ctx, name, link, options, string(s.Dir), s.Server.ClientURL()) }()
	s.running[name] = append(s.running[name], i)
}

// serve runs a service until the context ends.
func serve(ctx context.Context, name string, link *broker.Link, o Options, dir, url string) error {
	switch name {
	case validator.Name:
		return validator.Run(ctx, link, o.Validator)
	case planner.Name:
		return planner.Run(ctx, link, o.Planner)
	case aggregator.Name:
		return aggregator.Run(ctx, link, o.Aggregator)
	}
	config := o.Spawner
	config.Queue = cmp.Or(config.Queue, url)
	return spawner.Run(ctx, link, func() (backend.Backend, error) { return openBackend(dir) }, config)
}

// Backend opens the process backend on the stack's directory.
func (s *Stack) Backend() (*process.Backend, error) { return openBackend(string(s.Dir)) }

func openBackend(dir string) (*process.Backend, error) {
	// With the race detector a process takes a second to exit; exits must be observed at once.
	return process.New(process.Config{Dir: dir, SelfEnv: map[string]string{envSelf: "1", "GORACE": "atexit_sleep_ms=0"}})
}

// KillService ends all replicas of a service like a crash: it closes the connection first, so pending publications are
// lost.
func (s *Stack) KillService(t testing.TB, name string) {
	t.Helper()
	s.mu.Lock()
	instances := s.running[name]
	s.running[name] = nil
	s.mu.Unlock()
	for _, i := range instances {
		i.link.Close()
		i.cancel()
		<-i.done // a crash ends with an error
	}
	s.killProcesses(name)
}

// StopService ends all replicas of a service as a signal does.
func (s *Stack) StopService(t testing.TB, name string) {
	t.Helper()
	s.mu.Lock()
	instances := s.running[name]
	s.running[name] = nil
	s.mu.Unlock()
	for _, i := range instances {
		i.cancel()
		if err := <-i.done; err != nil {
			t.Errorf("service %s: %v", name, err)
		}
		i.link.Close()
	}
}

func (s *Stack) close(t testing.TB) {
	for _, name := range Services {
		s.StopService(t, name)
		s.killProcesses(name)
	}
	s.endExecutors(t)
	s.Server.Stop()
}

// endExecutors ends running executors, and waits for the last supervisor.
func (s *Stack) endExecutors(t testing.TB) {
	b, err := s.Backend()
	if err != nil {
		t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	left, err := b.List(ctx)
	if err != nil {
		t.Error(err)
	}
	for _, x := range left {
		if err := b.GiveUp(ctx, x.Executor); err != nil {
			t.Error(err)
		}
	}
	for len(left) > 0 {
		select {
		case exit := <-b.Exits():
			left = without(left, exit.Executor)
		case <-ctx.Done():
			t.Errorf("executors that did not exit: %v", left)
			left = nil
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
