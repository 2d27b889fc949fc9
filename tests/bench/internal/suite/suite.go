package suite

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// Options select what is measured.
type Options struct {
	// Short is for CI: everything once, at a small scale.
	Short bool
	// Rounds is how often each variant is run.
	Rounds int
	// EdgeStorage is where the planner keeps edges: "file" or "memory".
	EdgeStorage string
	// Live is the number of live flows in that figure.
	Live int
	// Sustained is how long flows are run at the highest rate.
	Sustained time.Duration
	// Match selects figures by name.
	Match *regexp.Regexp
	// Profiles is the folder for the workers' profiles, or "" for none.
	Profiles string
	// Tell is called with a line for each run.
	Tell func(string)
}

// connectLimit limits the first connection to a nats-server.
const connectLimit = 10 * time.Second

// variantLimit limits one run of one variant.
const variantLimit = 4 * time.Minute

// A Suite measures figures.
type Suite struct {
	options Options
	dir     string // for the servers' streams
	ids     atomic.Int64

	edges *Broker // created on first use
	stack *Stack  // likewise
}

// A Broker is a nats-server in a separate process, and our connection to it.
type Broker struct {
	*role.Process
	URL  string
	Link *broker.Link
}

// A Run is one run of a variant.
type Run struct {
	*Suite
	context.Context
	// Figure, Variant and Round identify it.
	Figure, Variant string
	Round           int
	// For is the time for which records are sent.
	For time.Duration
}

// New returns a suite. The caller must close it.
func New(o Options) (*Suite, error) {
	dir, err := os.MkdirTemp("", "dagyo-bench-")
	if err != nil {
		return nil, err
	}
	return &Suite{options: o, dir: dir}, nil
}

// Close ends everything that was started.
func (s *Suite) Close() {
	s.closeStack()
	s.closeEdges()
	_ = os.RemoveAll(s.dir) // a temporary folder
}

func (s *Suite) closeEdges() {
	if s.edges != nil {
		s.edges.close()
		s.edges = nil
	}
}

// Measure measures the selected figures. Failures are in the outcomes.
func (s *Suite) Measure(ctx context.Context) []Outcome {
	var out []Outcome
	for _, group := range [][]Figure{s.edgeFigures(), s.besideFigures(), s.flowFigures()} {
		for _, f := range group {
			if ctx.Err() == nil && s.options.Match.MatchString(f.Name) {
				out = append(out, s.measure(ctx, f))
			}
		}
		s.closeEdges() // no edges run meanwhile
	}
	return out
}

func (s *Suite) measure(ctx context.Context, f Figure) Outcome {
	o := Outcome{Figure: f, Name: f.Name}
	rounds := s.options.Rounds
	if f.Rounds > 0 {
		rounds = min(rounds, f.Rounds)
	}
	for round := range rounds {
		values := Values{}
		for _, v := range f.Variants {
			found, err := s.run(ctx, f, v, round)
			if err != nil {
				o.Failures = append(o.Failures, fmt.Sprintf("%s, round %d: %v", v.Name, round+1, err))
			}
			maps.Copy(values, found)
			s.tell(f, v, round, found, err)
		}
		o.Rounds = append(o.Rounds, values)
	}
	return o
}

func (s *Suite) run(ctx context.Context, f Figure, v Variant, round int) (Values, error) {
	late := fmt.Errorf("not done in %v", variantLimit)
	ctx, cancel := context.WithTimeoutCause(ctx, variantLimit, late)
	defer cancel()
	d := 2 * time.Second
	if s.options.Short {
		d = 300 * time.Millisecond
	}
	return v.Run(&Run{Suite: s, Context: ctx, Figure: f.Name, Variant: v.Name, Round: round, For: d})
}

func (s *Suite) tell(f Figure, v Variant, round int, found Values, err error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s | %s | round %d:", f.Name, v.Name, round+1)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(&b, " %s=%.5g", name, found[name])
	}
	if err != nil {
		fmt.Fprintf(&b, " FAILED: %v", err)
	}
	s.options.Tell(b.String())
}

// nextID returns a new unique id.
func (s *Suite) nextID() string {
	return fmt.Sprintf("b%d", s.ids.Add(1))
}

// startBroker starts a nats-server on an empty folder.
func (s *Suite) startBroker(ctx context.Context) (*Broker, error) {
	return startBroker(ctx, filepath.Join(s.dir, s.nextID()))
}

func startBroker(ctx context.Context, dir string) (*Broker, error) {
	b := &Broker{}
	var err error
	if b.Process, err = startServer(ctx, worker.Server{Name: "bench", Dir: dir}, &b.URL); err != nil {
		return nil, err
	}
	b.Link, err = broker.Connect(ctx, broker.Options{URL: b.URL, Name: "bench", Wait: connectLimit})
	if err != nil {
		b.End()
		return nil, err
	}
	return b, nil
}

// startServer starts a nats-server and sets its URL.
func startServer(ctx context.Context, o worker.Server, url *string) (*role.Process, error) {
	p, err := role.Start("server")
	if err != nil {
		return nil, err
	}
	if err := p.Ask(ctx, "serve", o, url); err != nil {
		p.End()
		return nil, err
	}
	return p, nil
}

func (b *Broker) close() {
	b.Link.Close()
	b.End()
}

// edgeBroker returns the nats-server that all edge figures and their references share.
func (r *Run) edgeBroker() (*Broker, error) {
	if r.edges != nil {
		return r.edges, nil
	}
	b, err := r.startBroker(r)
	if err != nil {
		return nil, err
	}
	if err := broker.Ensure(r, b.Link, broker.DefaultConfig()); err != nil {
		b.close()
		return nil, err
	}
	r.edges = b
	return b, nil
}

// profile returns the path of the profiles of one worker of this run, or "" for none.
func (r *Run) profile(part string) string {
	if r.options.Profiles == "" {
		return ""
	}
	name := fmt.Sprintf("%s-%s-%d-%s", r.Figure, r.Variant, r.Round+1, part)
	return filepath.Join(r.options.Profiles, unsafeInNames.ReplaceAllString(name, "_"))
}

var unsafeInNames = regexp.MustCompile(`[^A-Za-z0-9.-]+`)
