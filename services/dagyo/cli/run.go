package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/dagyo/monitor"
	"github.com/dagyo/dagyo/services/dagyo/report"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// runOptions are the flags of run and submit.
type runOptions struct {
	id       string
	progress string
	detach   bool
	files    fileOptions
	// progdefs are folders with progdefs to apply first.
	progdefs []string
}

func (a *app) runCommand() *cobra.Command {
	o := runOptions{files: newFileOptions()}
	cmd := &cobra.Command{
		Use: "run FLOW", GroupID: groupFlows,
		Short: "Run a flow and print its outputs",
		Long: `Submit the flow document in the file FLOW (JSON or YAML; - is standard input),
print the records of its outputs on standard output and its progress on
standard error, and exit with the code of its verdict (see "dagyo help
exit-codes").

If no server answers at the default address and --server is not set, run starts
a temporary Dagyo for this flow, with the policy in the file that the environment
variable DAGYO_POLICY names.

--progdefs DIR applies the progdefs in a folder first, to the server or to the
temporary Dagyo. Words of their commands that begin with ./ or ../ are paths
relative to their documents.

Each record is printed on one line: as it is if its typename is utf8-string or
json, otherwise in base64. If the flow has several outputs, each line starts
with the name of the output and a tab. --output NAME=FILE writes the records of
an output to a file instead, and --output NAME=@DIR/ writes each record to a
file of its own. See "dagyo help records". With --output json, each record is
printed as an object with the members "output" and "record" (or "base64"); the
last line has the members "flow", "verdict" and "data".

If an input cannot be read or an output cannot be written, the flow is
cancelled.

Ctrl-C, SIGTERM and SIGHUP cancel the flow. Once the cancel is stored, a second
signal exits without waiting for the flow to end. If the server does not
answer, run gives up after some seconds with exit code 8.

If run is killed or its machine is lost, a flow with inputs or outputs is
cancelled (see --client-silence of the panic-aggregator). With --detach, run
submits the flow, prints its id and exits, as "dagyo submit" does; the flow
then does not depend on the command.`,
		Example: "  dagyo run greetings.json\n  dagyo run - < flow.yaml\n" +
			"  dagyo run --progdefs progdefs flows/redact.yaml --input text=-\n" +
			"  dagyo run shout.json --input words=words.txt --output loud=loud.txt\n" +
			"  dagyo run thumbs.json --input pages='@scans/*.png' --output 'thumbs=@out/*.png'",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.detach {
				return a.detach(cmd.Context(), args[0], o)
			}
			return a.run(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	o.files.flags(a, cmd)
	f.BoolVarP(&o.detach, "detach", "d", false, "submit the flow, print its id and exit without waiting")
	f.StringArrayVar(&o.progdefs, "progdefs", nil, "folder with progdefs to apply first; may be repeated")
	f.StringVar(&o.id, "id", "", "id of the flow (default: derived from the file name)")
	o.progressFlag(cmd)
	return cmd
}

// detach submits a flow that does not depend on this command.
func (a *app) detach(ctx context.Context, path string, o runOptions) error {
	if len(o.progdefs) > 0 {
		return usage(errors.New("--detach submits only: omit --progdefs, and use `dagyo progdef apply`"))
	}
	if len(o.files.inputs)+len(o.files.outputs) > 0 {
		return usage(errors.New("--detach does not feed inputs or read outputs: omit --input and --output NAME=FILE"))
	}
	return a.submit(ctx, path, o, false)
}

func (o *runOptions) progressFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.progress, "progress", progressAuto,
		"progress on standard error: auto, status (updated in place), lines or none")
}

func (a *app) run(ctx context.Context, path string, o runOptions) error {
	id, err := flowID(o.id, path)
	if err != nil {
		return err
	}
	document, err := a.flowDocument(path, id)
	if err != nil {
		return err
	}
	d, err := a.newDisplay(o.progress, id)
	if err != nil {
		return err
	}
	files, err := a.openAll(o.files, document, path)
	if err != nil {
		return err
	}
	defer files.discard()
	programs, err := a.readProgdefs(o.progdefs)
	if err != nil {
		return err
	}
	in, stop := a.interrupts()
	defer stop()
	c, end, err := a.connectOrStart(ctx, in)
	if err != nil {
		return err
	}
	if err := a.publishProgdefs(ctx, c, programs, in.first); err != nil {
		return errors.Join(err, end())
	}
	f := &follower{app: a, client: c, flow: id, display: d, chosen: o.id != "", ends: &ends{
		app: a, client: c, flow: id, files: files,
	}}
	return errors.Join(a.checkAndFollow(ctx, f, document, in), end())
}

// checkAndFollow submits a flow whose inputs and outputs suit their files, and follows it to its end.
func (a *app) checkAndFollow(ctx context.Context, f *follower, document []byte, in interrupts) error {
	if err := f.ends.files.checkFlow(ctx, f.client, document, in.first); err != nil {
		return err
	}
	return a.submitAndFollow(ctx, f, document, in)
}

// flowDocument reads a flow document, and reports what would prevent its submission.
func (a *app) flowDocument(path, id string) ([]byte, error) {
	document, err := a.readDocument(path)
	var problems problem.List
	if errors.As(err, &problems) {
		return nil, a.tellVerdict(contract.Event{
			Type: contract.TypeFlowRejected, Subject: id,
			Data: &contract.FlowRejected{Problems: problems},
		})
	}
	return document, err
}

// openAll opens the files of all inputs and outputs of a flow.
func (a *app) openAll(o fileOptions, document []byte, path string) (*files, error) {
	names, ok := namesIn(document)
	if !ok {
		return &files{}, nil // the validator reports what is wrong with it
	}
	if err := o.check(names); err != nil {
		return nil, usage(err)
	}
	for _, name := range names.inputs {
		if _, ok := o.inputs[name]; !ok {
			return nil, usage(fmt.Errorf("input %s of the flow is not fed: add --input %s=FILE", name, name))
		}
	}
	return a.openFiles(o, names.outputs, path)
}

func (a *app) submitAndFollow(
	ctx context.Context, f *follower, document []byte, in interrupts,
) error {
	err := f.announce(document)
	if err == nil {
		defer f.unhold()
		f.submitted, err = f.client.Submit(ctx, f.flow, document)
	}
	if err != nil {
		return err
	}
	f.document = digest(document)
	if f.chosen {
		if f.past, err = f.client.Before(ctx, f.flow, f.document); err != nil {
			return err
		}
	}
	return a.followToEnd(ctx, f, in)
}

// followToEnd follows a flow to its end and returns the exit code of its verdict.
func (a *app) followToEnd(ctx context.Context, f *follower, in interrupts) error {
	verdict, err := f.follow(ctx, in)
	if f.taken != nil {
		return f.taken
	}
	if verdict.Type == "" {
		return f.left(err)
	}
	lost := a.showVerdict(verdict, f.ends.counts())
	switch {
	case f.aborted != nil:
		return f.aborted
	case errors.Is(err, errInterrupted):
		return &exit{ExitInterrupted, errUnread}
	case err == nil:
		err = lost
	}
	return a.ended(verdict.Type, err)
}

// left returns the error of a command that exits before the flow has its verdict.
func (f *follower) left(err error) error {
	if !errors.Is(err, errInterrupted) {
		return err
	}
	return &exit{ExitInterrupted, fmt.Errorf(
		"interrupted before flow %s ended: its cancel is stored; see `dagyo show %s`", f.flow, f.flow)}
}

// A verdictLine is the last line of run with --output json.
type verdictLine struct {
	Flow    string        `json:"flow"`
	Verdict contract.Type `json:"verdict"`
	Data    any           `json:"data"`
	// Read holds the counts of the records that were read from each output.
	Read map[string]contract.OutputCount `json:"read,omitempty"`
}

// tellVerdict prints how a flow ended, and returns the exit code of the verdict.
func (a *app) tellVerdict(e contract.Event) error {
	return a.ended(e.Type, a.showVerdict(e, nil))
}

// showVerdict prints how a flow ended. It returns the error of writing standard output.
func (a *app) showVerdict(e contract.Event, read map[string]contract.OutputCount) error {
	if d, rejected := e.Data.(*contract.FlowRejected); rejected {
		e.Data = &contract.FlowRejected{Problems: a.located(d.Problems)}
	}
	if !a.json() {
		report.Verdict(a.Err, columnsOf(a.Err), e, read)
		return nil
	}
	err := a.printJSON(verdictLine{e.Subject, e.Type, e.Data, read})
	switch {
	case errors.Is(err, errAbandoned): // show the verdict anyway
		report.Verdict(a.Err, columnsOf(a.Err), e, read)
	case err != nil && !errors.Is(err, syscall.EPIPE):
		return unwritten(err)
	}
	return nil
}

// ended returns the exit code of a verdict. If the flow completed, an error of the outputs determines the code;
// otherwise the error is only printed.
func (a *app) ended(verdict contract.Type, wrong error) error {
	code := verdictCode(verdict)
	switch {
	case wrong == nil:
		return told(code)
	case code == ExitOK:
		return wrong
	}
	a.reported = true
	fmt.Fprintf(a.Err, "dagyo: %v\n", wrong)
	return told(code)
}

// connectOrStart connects to the server. If no server answers and the user has not set its address, it starts a
// temporary Dagyo. end closes the connection and stops that Dagyo.
func (a *app) connectOrStart(
	ctx context.Context, in interrupts,
) (c *client.Client, end func() error, err error) {
	c, err = a.connect(ctx)
	if err == nil {
		return c, func() error { c.Close(); return nil }, nil
	}
	if a.explicit || !errors.Is(err, client.ErrNoServer) {
		return nil, nil, err
	}
	o, err := a.startOwn(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	a.temporary = true
	return o.client, func() error { return o.end(ctx, in) }, nil
}

// ownPatience is the time that a flow has to end in a temporary Dagyo when the command exits.
const ownPatience = 2 * time.Second

// An own is a temporary Dagyo: it ends with the command.
type own struct {
	local  *local.Local
	traces *monitor.Traces
	client *client.Client
	folder folder
	leash  leash
}

// A leash is a pipe whose read end executors have: they give up when this process, which has the other end, exits.
type leash struct{ r, w *os.File }

func newLeash() (l leash, err error) {
	l.r, l.w, err = os.Pipe()
	return l, err
}

func (l leash) close() error { return errors.Join(l.r.Close(), l.w.Close()) }

// end stops the temporary Dagyo and deletes its data.
func (o *own) end(ctx context.Context, in interrupts) error {
	if o.client != nil {
		o.client.Close()
	}
	err := o.local.Stop(ctx, local.Stop{Patience: ownPatience, GiveUp: in.second})
	closeTraces(o.traces)
	return errors.Join(err, o.leash.close(), o.folder.remove())
}

// startOwn starts a temporary Dagyo on a free port, in a temporary directory.
func (a *app) startOwn(ctx context.Context, in interrupts) (*own, error) {
	dir, err := newFolder(ctx)
	if err != nil {
		return nil, err
	}
	o := &own{folder: dir}
	if o.traces, err = openTraces(ctx, a, a.logger("warn", true)); err != nil {
		return nil, errors.Join(err, dir.remove())
	}
	if o.leash, err = newLeash(); err != nil {
		closeTraces(o.traces)
		return nil, errors.Join(err, dir.remove())
	}
	if o.local, err = a.startIn(ctx, in, dir.path, o); err != nil {
		closeTraces(o.traces)
		return nil, errors.Join(err, o.leash.close(), dir.remove())
	}
	o.client, err = client.Connect(ctx, client.Options{URL: o.local.URL(), Access: o.local.Access(), Source: a.source()})
	if err != nil {
		return nil, errors.Join(err, o.end(ctx, in))
	}
	return o, nil
}

func (a *app) startIn(ctx context.Context, in interrupts, dir string, o *own) (*local.Local, error) {
	log := a.logger("warn", true)
	s := settings.Default()
	if err := s.Resolve(log); err != nil {
		return nil, err
	}
	rules, unwatch, err := a.openPolicy(ctx, true, log)
	if err != nil {
		return nil, err
	}
	unwatch() // it lives too short for changes
	s.SetPolicy(rules)
	s.SetTraces(o.traces.Tracer())
	return startUntil(ctx, in.first, local.Config{
		Dir: dir, Port: embedded.RandomPort, Services: s, Log: log, Source: a.source(),
		Process: process.Config{Leash: o.leash.r},
	})
}
