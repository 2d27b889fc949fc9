// The command faults runs installations of Dagyo in which named parts fail, and judges what happens to their flows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/tests/faults/internal/judge"
	"github.com/dagyo/dagyo/tests/faults/internal/schedule"
	"github.com/dagyo/dagyo/tests/faults/internal/site"
)

const usage = `usage: faults [flags]

Run schedules, each on an installation of its own, and print what was not as promised.
Exit with 1 if anything was not.

`

type settings struct {
	dagyo, dir, replay string
	schedules, servers int
	seed               uint64
	faults             string
	keep, verbose      bool
	shrink             int
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "nats-server" {
		if err := site.ServeNATS(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var s settings
	flag.StringVar(&s.dagyo, "dagyo", "bin/dagyo", "the dagyo command")
	flag.StringVar(&s.dir, "dir", "", "folder for the files of failed runs (default: a temporary one)")
	flag.StringVar(&s.replay, "replay", "", "file with a schedule to run")
	flag.IntVar(&s.schedules, "schedules", 1, "number of schedules")
	flag.IntVar(&s.servers, "servers", 0, "NATS servers, 1 or 3 (default: drawn)")
	flag.Uint64Var(&s.seed, "seed", 0, "seed of the first schedule (default: random); the next ones count up")
	flag.StringVar(&s.faults, "faults", "", "faults to draw from, with commas between (default: all)")
	flag.BoolVar(&s.keep, "keep", false, "keep the files of all runs")
	flag.BoolVar(&s.verbose, "v", false, "print what the clients said of flows that a fault excuses")
	flag.IntVar(&s.shrink, "shrink", 0, "runs to find the smallest part of a schedule that fails, too")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := s.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
	}
	if err != nil || !ok {
		stop()
		os.Exit(1)
	}
}

func (s *settings) run(ctx context.Context) (ok bool, err error) {
	all, err := s.draw()
	if err != nil {
		return false, err
	}
	if s.dagyo, err = filepath.Abs(s.dagyo); err != nil {
		return false, err
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "dagyo-faults-"); err != nil {
			return false, err
		}
		defer func() { _ = os.Remove(s.dir) }() // unless a run's files are kept in it
	}
	var total judge.Summary
	failed := 0
	for i, one := range all {
		fmt.Printf("== %d of %d\n%s", i+1, len(all), one)
		began := time.Now()
		sum, err := s.one(ctx, one)
		if err != nil {
			return false, fmt.Errorf("seed %d: %w", one.Seed, err)
		}
		fmt.Printf("%s, %d findings; %.0f s\n", flows(sum), len(sum.Findings), time.Since(began).Seconds())
		for _, f := range sum.Findings {
			fmt.Println("  " + f.String())
		}
		if s.verbose {
			for _, told := range sum.Told {
				fmt.Println("  excused: " + told)
			}
		}
		total.Add(sum)
		if len(sum.Findings) > 0 {
			failed++
			if err := s.smallest(ctx, one); err != nil {
				return false, err
			}
		}
	}
	tell(len(all), failed, total)
	return failed == 0, nil
}

func (s *settings) draw() ([]schedule.Schedule, error) {
	if s.replay != "" {
		text, err := os.ReadFile(s.replay)
		if err != nil {
			return nil, err
		}
		one, err := schedule.Parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.replay, err)
		}
		return slices.Repeat([]schedule.Schedule{one}, s.schedules), nil
	}
	var only []schedule.Fault
	for name := range strings.SplitSeq(s.faults, ",") {
		if name == "" {
			continue
		}
		if !slices.Contains(schedule.Faults(), schedule.Fault(name)) {
			return nil, fmt.Errorf("%q is no fault: %v", name, schedule.Faults())
		}
		only = append(only, schedule.Fault(name))
	}
	if s.seed == 0 {
		s.seed = rand.Uint64() >> 16
	}
	var all []schedule.Schedule
	for i := range uint64(s.schedules) {
		all = append(all, schedule.Random(s.seed+i, s.servers, only...))
	}
	return all, nil
}

// one runs a schedule, and removes its files unless something was found.
func (s *settings) one(ctx context.Context, one schedule.Schedule) (judge.Summary, error) {
	dir, err := os.MkdirTemp(s.dir, fmt.Sprintf("%d-", one.Seed))
	if err != nil {
		return judge.Summary{}, err
	}
	// What an executor's user must reach is below it.
	if err := os.Chmod(dir, 0o711); err != nil {
		return judge.Summary{}, err
	}
	sum, err := play(ctx, s.dagyo, dir, one)
	if err != nil || len(sum.Findings) > 0 || s.keep {
		fmt.Println("files:", dir)
		return sum, errors.Join(err, os.WriteFile(filepath.Join(dir, "schedule"), []byte(one.String()), 0o600))
	}
	return sum, os.RemoveAll(dir)
}

// smallest looks for a smaller schedule that fails, too.
func (s *settings) smallest(ctx context.Context, one schedule.Schedule) error {
	left := s.shrink
	for again := true; again && left > 0; {
		again = false
		for _, smaller := range one.Smaller() {
			if left == 0 {
				break
			}
			left--
			sum, err := s.one(ctx, smaller)
			if err != nil {
				return err
			}
			if len(sum.Findings) > 0 {
				one, again = smaller, true
				break
			}
		}
	}
	if s.shrink > 0 {
		fmt.Printf("the smallest that failed:\n%s", one)
	}
	return nil
}

func tell(schedules, failed int, total judge.Summary) {
	rules := map[judge.Rule]int{}
	for _, f := range total.Findings {
		rules[f.Rule]++
	}
	fmt.Printf("== %d schedules, %d with findings; %s\n", schedules, failed, flows(total))
	for _, rule := range slices.Sorted(maps.Keys(rules)) {
		fmt.Printf("  %d × %s\n", rules[rule], rule)
	}
}

// flows says how the flows of a run went, as "20 flows: 17 right; a fault excuses 1 × crash, 2 × protocol".
func flows(s judge.Summary) string {
	var excused []string
	for _, why := range slices.Sorted(maps.Keys(s.Excused)) {
		excused = append(excused, fmt.Sprintf("%d × %s", s.Excused[why], why))
	}
	text := fmt.Sprintf("%d flows: %d right", s.Flows, s.Right)
	if len(excused) > 0 {
		text += "; a fault excuses " + strings.Join(excused, ", ")
	}
	return text
}
