package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/services/dagyo/cli"
	"github.com/dagyo/dagyo/tests/bench/internal/page"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
	"github.com/dagyo/dagyo/tests/bench/internal/suite"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

func main() { os.Exit(run(os.Args[1:])) }

// run runs the bench, one of its roles, or what the spawner starts: its supervisor or a program.
func run(args []string) int {
	if len(args) > 1 {
		switch args[0] {
		case role.Arg:
			return serve(args[1])
		case worker.ProgramArg:
			return worker.Program(args[1])
		case "supervise", "executor":
			return cli.Main()
		}
	}
	o, err := parse(args)
	if err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

func serve(name string) int {
	work, known := worker.Roles()[name]
	if !known {
		fmt.Fprintln(os.Stderr, "no role", name)
		return 2
	}
	return role.Serve(os.Stdin, os.Stdout, work)
}

// options are the command's flags.
type options struct {
	suite.Options
	profile    bool
	out, notes string
}

func parse(args []string) (options, error) {
	var o options
	var match string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolVar(&o.Short, "short", false, "everything once at a small scale, in less than two minutes")
	f.IntVar(&o.Rounds, "rounds", 0, "rounds per figure (default 5, with -short 1)")
	f.IntVar(&o.Live, "live", 0, "number of live flows (default 1000, with -short 50)")
	f.DurationVar(&o.Sustained, "sustained", 30*time.Minute, "how long flows run at the highest rate in that figure")
	f.StringVar(&o.EdgeStorage, "edge-storage", "memory",
		"the planner's --edge-storage for figures of flows: file or memory")
	f.StringVar(&match, "run", "", "measure the figures whose names match this expression")
	f.BoolVar(&o.profile, "cpuprofile", false,
		"write CPU and allocation profiles of all workers to a temporary folder")
	f.StringVar(&o.out, "out", "",
		"folder for the results page (default docs/bench; with -short a temporary one)")
	f.StringVar(&o.notes, "notes", "", "file whose text is appended to the page")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.Match, err = regexp.Compile(match); err != nil {
		fmt.Fprintln(os.Stderr, "bench: -run:", err)
		return o, err
	}
	return o.complete()
}

func (o options) complete() (options, error) {
	if o.Rounds < 1 {
		o.Rounds = 5
		if o.Short {
			o.Rounds = 1
		}
	}
	if o.Live < 1 {
		o.Live = 1000
		if o.Short {
			o.Live = 50
		}
	}
	var err error
	if o.out == "" && o.Short {
		o.out, err = os.MkdirTemp("", "dagyo-bench-page-")
	} else if o.out == "" {
		o.out = "docs/bench"
	}
	if o.profile && err == nil {
		o.Profiles, err = os.MkdirTemp("", "dagyo-bench-profiles-")
	}
	o.Tell = func(line string) { fmt.Fprintln(os.Stderr, line) }
	return o, err
}

func bench(ctx context.Context, o options) error {
	s, err := suite.New(o.Options)
	if err != nil {
		return err
	}
	defer s.Close()
	began := time.Now()
	outcomes := s.Measure(ctx)
	p := page.Page{
		Began: began, Took: time.Since(began), Command: os.Args[1:], Rounds: o.Rounds,
		Short: o.Short, Outcomes: outcomes, Notes: o.notes,
	}
	path, err := p.Write(o.out)
	if err != nil {
		return err
	}
	fmt.Println("results:", path)
	if o.Profiles != "" {
		fmt.Println("profiles:", o.Profiles)
	}
	return errors.Join(ctx.Err(), failures(outcomes))
}

// failures is the error of the figures that could not be measured completely.
func failures(outcomes []suite.Outcome) error {
	var failed []string
	for _, o := range outcomes {
		if len(o.Failures) > 0 {
			failed = append(failed, o.Name)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d figures failed (%s): the reasons are above and on the page",
		len(failed), len(outcomes), strings.Join(failed, ", "))
}
