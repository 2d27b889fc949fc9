package conformance

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/conformance/pace"
)

const (
	// DefaultParallel is how many checks run at the same time.
	DefaultParallel = 4
	// DefaultPatience is how long the kit waits for what the protocol gives no time.
	DefaultPatience = 30 * time.Second
	// limit bounds one check, beyond the patience.
	limit = time.Minute
)

// Ports are what the program under test reads and writes.
type Ports struct {
	// Progdef names it in its mailbox.
	Progdef string
	// In and Out are its ports, Type the typename of both.
	In, Out, Type string
}

// DefaultPorts are those of the progdef that docs/conformance.md asks for.
func DefaultPorts() Ports { return Ports{Progdef: "echo", In: "in", Out: "out", Type: "utf8-string"} }

// Config says what is to be checked.
type Config struct {
	// Command starts an executor. With an image, it is what the image's entry point is given.
	Command []string
	// Image is run by Docker, one container for each executor; "" for none.
	Image string
	Ports Ports
	// Only selects checks by their names; nil stands for all.
	Only *regexp.Regexp
	// Parallel is how many checks run at the same time.
	Parallel int
	// Patience is how long to wait for what the protocol gives no time, such as an executor's start. It is
	// also how long the kit goes on waiting for what is late, to tell a slow executor from a wrong one.
	Patience time.Duration
	// Told is called with each result as it is known, by one goroutine at a time; nil for nobody.
	Told func(Result)
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if len(c.Command) == 0 && c.Image == "" {
		errs = append(errs, errors.New("there is no command that starts an executor: give it behind --"))
	}
	if strings.HasPrefix(c.Image, "-") {
		errs = append(errs, fmt.Errorf("%q is no image", c.Image))
	}
	for _, name := range []string{c.Ports.Progdef, c.Ports.In, c.Ports.Out} {
		if !document.ValidName(name) {
			errs = append(errs, fmt.Errorf("%q is no name of a progdef or port: it must match %s",
				name, document.NamePattern))
		}
	}
	if c.Parallel < 1 {
		errs = append(errs, fmt.Errorf("%d checks at the same time: at least 1 is needed", c.Parallel))
	}
	if c.Patience <= 0 {
		errs = append(errs, fmt.Errorf("a patience of %v: it must be positive", c.Patience))
	}
	if len(c.checks()) == 0 {
		errs = append(errs, fmt.Errorf("no check matches %v; see --list", c.Only))
	}
	return errors.Join(errs...)
}

func (c Config) checks() []Check {
	var out []Check
	for _, check := range Checks() {
		if c.Only == nil || c.Only.MatchString(check.Name) {
			out = append(out, check)
		}
	}
	return out
}

// Run runs the checks. The error is the kit's own: what is wrong with the executor is in the report.
func Run(ctx context.Context, c Config) (Report, error) {
	if err := c.Validate(); err != nil {
		return Report{}, err
	}
	l := c.launcher()
	if err := l.find(); err != nil {
		return Report{}, err
	}
	h, err := startHub(ctx, false)
	if err != nil {
		return Report{}, err
	}
	clock := pace.Start(pace.System)
	defer clock.Close()
	results := c.runAll(ctx, h, l, clock)
	return newReport(c.Image, c.Command, results), errors.Join(context.Cause(ctx), l.close(), h.close())
}

// runAll runs the checks, some at the same time, and tells of each. The first one is whether the
// executor starts at all: if not, nothing else is tried.
func (c Config) runAll(ctx context.Context, h *hub, l launcher, clock *pace.Clock) []Result {
	checks := c.checks()
	results := make([]Result, len(checks))
	var telling sync.Mutex
	tell := func(i int, r Result) {
		results[i] = r
		telling.Lock()
		defer telling.Unlock()
		if c.Told != nil && ctx.Err() == nil {
			c.Told(r)
		}
	}
	first := 0
	if checks[0].Name == startCheck {
		tell(0, c.runCheck(ctx, c.stage(h, l, clock, 0), checks[0]))
		first = 1
	}
	var g errgroup.Group
	g.SetLimit(c.Parallel)
	for i := first; i < len(checks); i++ {
		g.Go(func() error {
			if results[0].Check == startCheck && results[0].Result == Fail {
				results[i] = judged(checks[i], "", &skip{"nothing else was tried, since " + startCheck + " failed"})
				return nil
			}
			tell(i, c.runCheck(ctx, c.stage(h, l, clock, i), checks[i]))
			return nil
		})
	}
	_ = g.Wait() // the results hold the errors
	return results
}

// stage makes the stage of a check.
func (c Config) stage(h *hub, l launcher, clock *pace.Clock, number int) *stage {
	timing := timing{clock: clock, patience: c.Patience}
	return &stage{ports: c.Ports, launcher: l, hub: h, name: fmt.Sprintf("c%02d", number+1), timing: timing}
}

// runCheck runs one check on its stage.
func (c Config) runCheck(ctx context.Context, s *stage, check Check) Result {
	from := time.Now()
	bound := limit + c.Patience
	ctx, cancel := s.clock.Within(ctx, bound, fmt.Errorf("it was not over after %v", bound))
	defer cancel()
	ctx, s.lost = context.WithCancelCause(ctx)
	defer s.lost(nil)
	seen, err := s.run(ctx, check)
	r := judged(check, seen, explained(ctx, err))
	r.Seconds = time.Since(from).Seconds()
	if r.Result == Fail || r.Result == Slow {
		r.Stderr = s.output()
	}
	return r
}

// explained adds why the context has ended, where that is what an error is about.
func explained(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// run runs a check, on a hub of its own if it asks for one.
func (s *stage) run(ctx context.Context, check Check) (seen string, err error) {
	if check.alone || check.open {
		own, err := startHub(ctx, check.open)
		if err != nil {
			return "", err
		}
		defer func() { _ = own.close() }() // what is left is a temporary directory
		s.hub = own
	}
	defer s.close()
	seen, err = check.run(ctx, s)
	if broken := s.broken(); broken != nil {
		err = broken // it also explains what else is wrong
	}
	return seen, err
}

// broken returns how one of the stage's executors went beyond its rights.
func (s *stage) broken() error {
	for _, p := range s.programs {
		if err := p.broken(); err != nil {
			return err
		}
	}
	return nil
}

// output is the end of what the stage's executors have written.
func (s *stage) output() string {
	out := ""
	for _, p := range s.programs {
		out += p.out.String()
	}
	return out
}
