package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"time"

	"github.com/moby/sys/atomicwriter"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/flowtest"
	"github.com/dagyo/dagyo/services/dagyo/progdefs"
)

// testOptions are the flags of test.
type testOptions struct {
	parallel  int
	only      string
	update    bool
	deadline  time.Duration
	start     time.Duration
	maxOutput int64
	junit     string
}

func (a *app) testCommand() *cobra.Command {
	var o testOptions
	cmd := &cobra.Command{
		Use: "test DIR…", GroupID: groupFlows,
		Short: "Run flows as tests, with inputs and expected results",
		Long: `Run every test case in the folders DIR and below. The command starts a
temporary Dagyo for them: an embedded NATS server, all services, and executors
as processes.

A test case is a folder:

  greet/flow.yaml               the flow, JSON or YAML
  greet/test.yaml               the expected result (default: the flow completes)
  greet/inputs/names.txt        records for the flow's input "names"
  greet/outputs/greetings.txt   expected records of the flow's output "greetings"
  progdefs/                     progdefs to apply first; beside a case or above it

A .txt file has one record per line, a .jsonl file one JSON value per line, and
a .bin file is one record; in a folder, each file is a record. --update rewrites
the files in outputs/ from the actual outputs. An unexpected file in the folder
of a test case is an error. See docs/testing-flows.md.

The exit code is 0 if all test cases pass, 7 if one fails, and 3 if a test file
is invalid; then no test case runs.`,
		Example: "  dagyo test tests/\n  dagyo test --run 'greet|shout' --update tests/\n" +
			"  dagyo test --junit report.xml tests/",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("server") {
				return usage(errors.New("test starts a temporary Dagyo: omit --server"))
			}
			return a.test(cmd.Context(), args, o)
		},
	}
	f := cmd.Flags()
	o.flags(f)
	f.BoolVar(&o.update, "update", false, "rewrite the files in outputs/ that differ from the actual outputs")
	a.policyFlag(cmd)
	f.StringVar(&o.junit, "junit", "", "write a JUnit XML report to this file, for CI servers")
	return cmd
}

// flags adds the flags that test and dev share.
func (o *testOptions) flags(f *pflag.FlagSet) {
	f.IntVar(&o.parallel, "parallel", runtime.GOMAXPROCS(0), "maximum number of test cases that run at the same time")
	f.StringVar(&o.only, "run", "", "run only test cases whose path matches this regular expression")
	f.DurationVar(&o.deadline, "deadline", 30*time.Second, "time limit of a test case that sets no deadline, from the start of its last job")
	f.DurationVar(&o.start, "start-deadline", 2*time.Minute, "time limit until then, in which executors start and load models")
	f.Int64Var(&o.maxOutput, "max-output", 16<<20,
		"maximum number of bytes of each output to compare")
}

// check returns the regular expression of --run, or an error if a flag is invalid.
func (o testOptions) check() (*regexp.Regexp, error) {
	if o.parallel < 1 || o.deadline <= 0 || o.start <= 0 || o.maxOutput < 1 {
		return nil, errors.New("--parallel, --deadline, --start-deadline and --max-output must be more than 0")
	}
	if o.only == "" {
		return nil, nil
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	return only, nil
}

func (a *app) test(ctx context.Context, dirs []string, o testOptions) error {
	only, err := o.check()
	if err != nil {
		return usage(err)
	}
	suite, err := flowtest.Find(dirs, only)
	var faults flowtest.Faults
	if err != nil && !errors.As(err, &faults) { // a folder that cannot be read
		return usage(err)
	}
	r, err := newTestReport(o.junit)
	if err != nil {
		return usage(err)
	}
	for _, c := range suite.Cases {
		r.Cases = append(r.Cases, c.Name)
	}
	if faults != nil {
		err = r.faulty(a, faults)
	} else {
		err = a.testSuite(ctx, suite, o, r)
	}
	return errors.Join(err, r.write(err))
}

func (a *app) testSuite(ctx context.Context, suite flowtest.Suite, o testOptions, r *testReport) error {
	in, stop := a.interrupts()
	defer stop()
	own, err := a.startOwn(ctx, in)
	if err != nil {
		return err
	}
	return errors.Join(a.testOn(ctx, own, suite, o, in, r), own.end(ctx, in))
}

// A testReport collects the results for --junit.
type testReport struct {
	began time.Time
	file  io.WriteCloser // nil without --junit
	flowtest.Report
}

// newTestReport opens the report file before any test case runs.
func newTestReport(path string) (*testReport, error) {
	r := &testReport{began: time.Now()}
	var err error
	if path != "" {
		r.file, err = createReport(path)
	}
	return r, err
}

// createReport opens a report, which replaces the file when it is closed. A file that is not XML is refused: it may
// belong to a case.
func createReport(path string) (io.WriteCloser, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // such as /dev/stdout
		return os.OpenFile(path, os.O_WRONLY, 0)
	}
	if err == nil && info.Size() > 0 {
		xml, err := beginsWith(path, "<?xml")
		switch {
		case err != nil:
			return nil, err
		case !xml:
			return nil, fmt.Errorf("--junit %s: the file is not a report and would be destroyed: name another file", path)
		}
	}
	return atomicwriter.New(path, 0o666)
}

// beginsWith reports whether the content of a file begins with a text.
func beginsWith(path, text string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	begin, err := io.ReadAll(io.LimitReader(f, int64(len(text))))
	return string(begin) == text, err
}

func (r *testReport) faulty(a *app, faults flowtest.Faults) error {
	r.Faults = faults
	return a.tellFaults(faults)
}

// write writes the report. reason is the error that kept test cases from running, if there is one.
func (r *testReport) write(reason error) error {
	if r.file == nil {
		return nil
	}
	r.Seconds, r.Why = time.Since(r.began).Seconds(), "the test case was not run"
	if _, told := codeOf(reason); reason != nil && !told {
		r.Why = fmt.Sprintf("%s: %v", r.Why, reason)
	}
	if err := errors.Join(r.JUnit(r.file), r.file.Close()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// testOn runs the test cases until they are done, a signal arrives, or a service fails.
func (a *app) testOn(
	ctx context.Context, own *own, suite flowtest.Suite, o testOptions, in interrupts, r *testReport,
) error {
	ctx, stop := own.until(ctx, in)
	defer stop()
	faults, err := applyProgdefs(ctx, own.client, suite.Progdefs)
	switch {
	case err != nil:
		return err
	case faults != nil:
		return r.faulty(a, faults)
	}
	return a.runCases(ctx, own.client, suite.Cases, o, r)
}

// until returns a context that the first signal cancels, and the first error of a service.
func (o *own) until(ctx context.Context, in interrupts) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	over, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-in.first:
			cancel(errInterrupted)
		case err := <-o.local.Failed():
			cancel(err)
		case <-over:
		}
	}()
	return ctx, func() { close(over); <-watched; cancel(nil) }
}

// applyProgdefs applies the progdefs and returns the ones that the validator rejects.
func applyProgdefs(
	ctx context.Context, c *client.Client, all []progdefs.Progdef,
) (faults flowtest.Faults, err error) {
	for _, p := range progdefs.Ordered(all) {
		_, err := c.Apply(ctx, applyAs(p.Document), p.Document)
		var problems problem.List
		switch {
		case errors.As(err, &problems):
			faults = append(faults, flowtest.Fault{File: p.File, Problems: p.Locate(problems)})
		case err != nil:
			return nil, fmt.Errorf("apply %s: %w", p.File, err)
		}
	}
	return faults, nil
}

// runCases runs the test cases and prints each result in order, once all results before it are printed.
func (a *app) runCases(
	ctx context.Context, c *client.Client, cases []flowtest.Case, o testOptions, r *testReport,
) error {
	began := time.Now()
	runner := &flowtest.Runner{
		Client: c, ID: newID, Deadline: o.deadline, StartDeadline: o.start, OutputLimit: o.maxOutput, Update: o.update,
	}
	results := make([]chan flowtest.Result, len(cases))
	for i := range cases {
		results[i] = make(chan flowtest.Result, 1)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.parallel + 1) // one more for tellCases
	var total flowtest.Summary
	group.Go(func() error { return a.tellCases(ctx, results, &total, r) })
	for i, each := range cases {
		group.Go(func() error {
			result, err := runner.Run(ctx, each)
			results[i] <- result
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	total.Seconds = time.Since(began).Seconds()
	return a.tellTotal(total)
}

// tellCases prints the results in their order.
func (a *app) tellCases(
	ctx context.Context, results []chan flowtest.Result, total *flowtest.Summary, r *testReport,
) error {
	for _, next := range results {
		select {
		case result := <-next:
			total.Add(result)
			r.Results = append(r.Results, result)
			if err := a.tellCase(result); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (a *app) tellCase(r flowtest.Result) error {
	if a.json() {
		return a.printJSON(r)
	}
	return r.Text(a.Out)
}

func (a *app) tellTotal(s flowtest.Summary) error {
	var err error
	if a.json() {
		err = a.printJSON(s)
	} else {
		_, err = fmt.Fprintln(a.Out, s)
	}
	if err == nil && s.Failed > 0 {
		err = told(ExitTests)
	}
	return err
}

// tellFaults prints which test files are invalid.
func (a *app) tellFaults(faults flowtest.Faults) error {
	var err error
	if a.json() {
		err = a.printJSON(map[string]flowtest.Faults{"faults": faults})
	} else {
		err = faults.Text(a.Err)
	}
	return errors.Join(err, told(ExitRejected))
}
