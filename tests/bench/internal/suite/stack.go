package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// flowBytes is the validator's limit on flow documents: 10,000 nodes exceed its default.
const flowBytes = 8 << 20

// stackStart limits the start of the services.
const stackStart = 30 * time.Second

// A Stack is a Dagyo: a nats-server, the four services, and executors, all as processes.
type Stack struct {
	*Broker
	services map[string]*role.Process
	// dir is the spawner's directory. Each stack has its own, since every new Dagyo uses the same executor ids.
	dir    string
	client *client.Client
	watch  *Watch

	mu   sync.Mutex
	live []string // flows that were started and left running
}

func (s *Stack) keep(flow string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = append(s.live, flow)
}

// kept returns the flows that were left running, and clears the list.
func (s *Stack) kept() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.live
	s.live = nil
	return out
}

// dagyo returns the Dagyo that all flow figures share.
func (r *Run) dagyo() (*Stack, error) {
	if r.stack != nil {
		return r.stack, nil
	}
	b, err := r.startBroker(r)
	if err != nil {
		return nil, err
	}
	s := &Stack{
		Broker: b, services: make(map[string]*role.Process), dir: filepath.Join(r.dir, r.nextID()),
	}
	r.stack = s
	ctx, cancel := context.WithTimeout(r, stackStart)
	defer cancel()
	if err := s.start(ctx, r.services(s.dir)); err != nil {
		r.closeStack()
		return nil, fmt.Errorf("start the services: %w", err)
	}
	return s, nil
}

func (s *Suite) closeStack() {
	if s.stack == nil {
		return
	}
	if s.stack.client != nil {
		s.stack.client.Close()
	}
	for _, p := range s.stack.services {
		_ = p.Tell(role.Stop, nil) // it may have exited
		p.End()
	}
	s.endExecutors(s.stack.dir)
	s.stack.close()
	s.stack = nil
}

// services are the services and their flags.
func (s *Suite) services(executors string) map[string][]string {
	return map[string][]string{
		"validator":        {"--flow-bytes", strconv.Itoa(flowBytes)},
		"planner":          {"--edge-storage", s.options.EdgeStorage},
		"spawner":          {"--executors", executors},
		"panic-aggregator": nil,
	}
}

func (s *Stack) start(ctx context.Context, services map[string][]string) error {
	err := s.startAll(ctx, services, s.services)
	if err != nil {
		return err
	}
	s.client, err = client.Connect(ctx, client.Options{URL: s.URL, Source: "/bench"})
	if err != nil {
		return err
	}
	if err := s.awaitServices(ctx); err != nil {
		return err
	}
	if s.watch, err = newWatch(s.Link); err != nil {
		return err
	}
	return s.apply(ctx)
}

// startAll starts a replica of each service.
func (s *Stack) startAll(ctx context.Context, services map[string][]string, into map[string]*role.Process) error {
	for name, flags := range services {
		p, err := role.Start("service")
		if err != nil {
			return err
		}
		into[name] = p
		args := append([]string{name, "--server", s.URL, "--log-level", "error"}, flags...)
		if err := p.Ask(ctx, "serve", args, nil); err != nil {
			return err
		}
	}
	return nil
}

// awaitReplicas waits until n replicas of each service answer.
func (s *Stack) awaitReplicas(ctx context.Context, n int) error {
	for {
		ask, done := context.WithTimeout(ctx, 300*time.Millisecond)
		found, err := s.client.Ping(ask, "nobody") // waits for all answers
		done()
		if err == nil && enough(found, n) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("not all replicas answer: %w", context.Cause(ctx))
		}
	}
}

func enough(found map[string]int, n int) bool {
	for _, name := range client.Services() {
		if found[name] < n {
			return false
		}
	}
	return true
}

func (s *Stack) awaitServices(ctx context.Context) error {
	for {
		ask, done := context.WithTimeout(ctx, 200*time.Millisecond)
		found, err := s.client.Ping(ask)
		done()
		if missing := client.Missing(found); err == nil && len(missing) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("not all services answer: %w", context.Cause(ctx)), s.exited())
		}
	}
}

// apply adds the standard progdefs and our own to the catalogue.
func (s *Stack) apply(ctx context.Context) error {
	for name, doc := range documents() {
		if _, err := s.client.Apply(ctx, name, doc); err != nil {
			return fmt.Errorf("apply %s: %w", name, err)
		}
	}
	return nil
}

// documents are all progdefs that the flows use.
func documents() map[string][]byte {
	out := make(map[string][]byte)
	for _, p := range std.Standard() {
		out[p.Name] = p.Document
	}
	text := "utf8-string"
	out["bench_idle"] = own("bench_idle", nil, map[string]string{"out": text})
	out["bench_relay"] = own("bench_relay", map[string]string{"in": text}, map[string]string{"out": text})
	out["bench_panic"] = own("bench_panic", map[string]string{"in": text}, nil)
	return out
}

// own is the document of a progdef that this program serves.
func own(name string, in, out map[string]string) []byte {
	doc := map[string]any{
		"name": name, "command": []string{"dagyo", worker.ProgramArg, name},
		"scaling": map[string]any{"jobsPerExecutor": 1000, "maxExecutors": 20, "idleTimeout": "5m"},
	}
	if in != nil {
		doc["inputs"] = in
	}
	if out != nil {
		doc["outputs"] = out
	}
	raw, err := json.Marshal(doc)
	if err != nil { // maps of strings always encode
		panic(err)
	}
	return raw
}

// memory is the resident memory of the nats-server and of the services, after a collection.
func (s *Stack) memory(r *Run) (broker, services float64, err error) {
	broker, _, err = memory(r, s.Process)
	for _, p := range s.services {
		rss, _, failed := memory(r, p)
		services, err = services+rss, errors.Join(err, failed)
	}
	return broker, services, err
}

// cpuTimes is the CPU time of the nats-server and of each service in seconds, by name.
func (s *Stack) cpuTimes() (map[string]float64, error) {
	broker, err := cpuTime(s.Process.PID())
	out := map[string]float64{"nats-server": broker}
	for name, p := range s.services {
		used, failed := cpuTime(p.PID())
		out[name], err = used, errors.Join(err, failed)
	}
	return out, err
}

// profile begins profiles of the nats-server and the services if profiles are requested.
func (s *Stack) profile(r *Run) (end func() error, err error) {
	if r.options.Profiles == "" {
		return func() error { return nil }, nil
	}
	all := map[string]*role.Process{"server": s.Process}
	for name, p := range s.services {
		all[name] = p
	}
	for name, p := range all {
		err = errors.Join(err, p.Ask(r, worker.Profile, r.profile(name), nil))
	}
	return func() error {
		var err error
		for _, p := range all {
			err = errors.Join(err, p.Ask(r, worker.ProfileEnd, nil, nil))
		}
		return err
	}, err
}

// exited returns the errors of services that have exited.
func (s *Stack) exited() (err error) {
	for name, p := range s.services {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		if failed := p.Hear(ctx, nil); !errors.Is(failed, context.DeadlineExceeded) {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, failed))
		}
		cancel()
	}
	return err
}
