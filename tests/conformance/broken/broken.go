package broken

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

// A Fault is one violation of the protocol.
type Fault struct {
	Name string
	// Checks are the checks that must find it, Seen is a part of the message of each.
	Checks []string
	Seen   string

	run     program                                         // instead of a copy of each record
	wire    func() func(*tap.Message) tap.Decision          // between executor and broker
	config  func(*executor.Config)                          // changes the configuration
	signals func(<-chan os.Signal, func()) <-chan os.Signal // changes the received signals
	exit    func(int) int                                   // changes the exit code
	codec   executor.Codec[string]                          // instead of executor.String
	sleeps  bool                                            // has no program and never does anything
}

type program = func(context.Context, *executor.Job, ports) error

// ports are the ports of the program under test.
type ports struct {
	in  executor.In[string]
	out executor.Out[string]
}

// Main serves as the executor with the named fault, or as one without faults if the name is empty.
func Main(name string) int {
	if name == "" {
		executor.Main(serve(copies, executor.String))
	}
	i := slices.IndexFunc(Faults(), func(f Fault) bool { return f.Name == name })
	if i < 0 {
		fmt.Fprintln(os.Stderr, "unknown fault", name)
		return executor.ExitBadUsage
	}
	return Faults()[i].main()
}

func (f Fault) main() int {
	if f.sleeps {
		select {} // the process that started it ends it
	}
	c, err := executor.FromEnvironment()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return executor.ExitBadUsage
	}
	t, err := tap.Start(c.Queue)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return executor.ExitFailed
	}
	defer t.Close()
	c.Queue = t.URL()
	code := 0
	if err := f.serve(c, t); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = executor.ExitFailed
	}
	if f.exit != nil {
		code = f.exit(code)
	}
	return code
}

func (f Fault) serve(c executor.Config, t *tap.Tap) error {
	if f.wire != nil {
		t.Decide(f.wire())
	}
	if f.config != nil {
		f.config(&c)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM)
	var heard <-chan os.Signal = signals
	if f.signals != nil {
		heard = f.signals(signals, func() { sayDraining(c) })
	}
	run, codec := f.run, f.codec
	if run == nil {
		run = copies
	}
	if codec == nil {
		codec = executor.String
	}
	return executor.Run(context.Background(), c, serve(run, codec), heard)
}

func serve(run program, codec executor.Codec[string]) executor.Program {
	p := ports{executor.Input("in", codec), executor.Output("out", codec)}
	return executor.Program{
		Ports: []executor.Port{p.in, p.out},
		Run:   func(ctx context.Context, job *executor.Job) error { return run(ctx, job, p) },
	}
}

// anyText declares arbitrary bytes as text.
type anyText struct{}

func (anyText) Typename() string                            { return "utf8-string" }
func (anyText) Append(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }
func (anyText) Decode(record []byte) (string, error)        { return string(record), nil }
