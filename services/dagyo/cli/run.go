package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/client"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
	"github.com/dagyo/dagyo/services/dagyo/local"
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
}

func (a *app) runCommand() *cobra.Command {
	o := runOptions{files: newFileOptions()}
	cmd := &cobra.Command{
		Use: "run FLOW", GroupID: groupFlows,
		Short: "Run a flow and print its outputs",
		Long: `Submit the flow document in the file FLOW (JSON or YAML; - is standard input), print
the records of its outputs on standard output as they come and how it comes along
on standard error, and exit as the flow ends (see "dagyo help exit-codes").

Where no server answers at the usual address, and --server does not name another,
run brings up a Dagyo of its own for as long as the flow runs.

A record of typename utf8-string or json is printed as it is, any other in base64,
each on a line; with several outputs the output's name and a tab stand before it.
With --output NAME=FILE the records of one output go to a file instead, and with
--output NAME=@DIR/ each of them is a file. "dagyo help records" describes the files
of inputs and outputs. With --output json each record is an object with the members
"output" and "record" (or "base64"), and the last line has the members "flow",
"verdict" and "data".

An output that cannot be written, or an input that cannot be read, cancels the flow.

Ctrl-C, SIGTERM and SIGHUP cancel the flow. A second signal exits without waiting for
the flow to end, once the cancel is stored. Where the server does not answer, run gives
up after some seconds with exit code 8.

A flow whose inputs or outputs this command holds ends if the command is gone: killed,
or on a machine that is off (setting --client-silence of the panic-aggregator). With
--detach the command submits the flow, prints its id and exits, as "dagyo submit" does,
and the flow does not depend on it.`,
		Example: "  dagyo run greetings.json\n  dagyo run - < flow.yaml\n" +
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
	f.StringVar(&o.id, "id", "", "the flow's id (default: made of the file's name)")
	o.files.flags(a, cmd)
	f.BoolVarP(&o.detach, "detach", "d", false, "submit the flow, print its id and exit")
	o.progressFlag(cmd)
	return cmd
}

// detach submits a flow that is not to depend on this command.
func (a *app) detach(ctx context.Context, path string, o runOptions) error {
	if len(o.files.inputs)+len(o.files.outputs) > 0 {
		return usage(errors.New("--detach neither feeds inputs nor reads outputs: omit --input and --output NAME=FILE"))
	}
	return a.submit(ctx, path, o, false)
}

func (o *runOptions) progressFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.progress, "progress", progressAuto,
		"progress on standard error: auto, status (in place), lines or none")
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
	in, stop := a.interrupts()
	defer stop()
	c, end, err := a.connectOrStart(ctx, in)
	if err != nil {
		return err
	}
	f := &follower{app: a, client: c, flow: id, display: d, chosen: o.id != "", ends: &ends{
		app: a, client: c, flow: id, files: files,
	}}
	if err = files.checkFlow(ctx, c, document, in.first); err == nil {
		err = a.submitAndFollow(ctx, f, document, in)
	}
	return errors.Join(err, end())
}

// flowDocument reads a flow, and refuses what cannot even be submitted.
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
			return nil, usage(fmt.Errorf("nothing feeds the flow's input %s: add --input %s=FILE", name, name))
		}
	}
	return a.openFiles(o, names, path)
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

// followToEnd follows a flow and exits as it ends.
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

// left is the error of a command that leaves a flow without its verdict.
func (f *follower) left(err error) error {
	if !errors.Is(err, errInterrupted) {
		return err
	}
	return &exit{ExitInterrupted, fmt.Errorf(
		"interrupted: the cancel of flow %s is stored, but its end was not awaited; see `dagyo show %s`", f.flow, f.flow)}
}

// A verdictLine is the last line of a run in --output json.
type verdictLine struct {
	Flow    string        `json:"flow"`
	Verdict contract.Type `json:"verdict"`
	Data    any           `json:"data"`
	// Read is what was read of the outputs.
	Read map[string]contract.OutputCount `json:"read,omitempty"`
}

// tellVerdict says how a flow has ended, and returns the exit code that stands for it.
func (a *app) tellVerdict(e contract.Event) error {
	return a.ended(e.Type, a.showVerdict(e, nil))
}

// showVerdict prints how a flow has ended. The error is that of standard output.
func (a *app) showVerdict(e contract.Event, read map[string]contract.OutputCount) error {
	if d, rejected := e.Data.(*contract.FlowRejected); rejected {
		e.Data = &contract.FlowRejected{Problems: a.located(d.Problems)}
	}
	if !a.json() {
		report.Verdict(a.Err, e, read)
		return nil
	}
	err := a.printJSON(verdictLine{e.Subject, e.Type, e.Data, read})
	switch {
	case errors.Is(err, errAbandoned): // the verdict is to be seen all the same
		report.Verdict(a.Err, e, read)
	case err != nil && !errors.Is(err, syscall.EPIPE):
		return unwritten(err)
	}
	return nil
}

// ended returns the exit code for a verdict. An error of the outputs decides the code if the flow completed;
// otherwise it is only printed.
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

// connectOrStart connects to the server; where none is and the user has named none, it starts a Dagyo
// of its own. end closes the one and ends the other.
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
	return o.client, func() error { return o.end(ctx, in) }, nil
}

// ownPatience is how long a flow that was left may go on in a Dagyo of our own.
const ownPatience = 2 * time.Second

// envLeash holds the id of the process without which an executor must not live.
const envLeash = "DAGYO_LEASH"

// An own is a Dagyo that ends with the command.
type own struct {
	local  *local.Local
	client *client.Client
	dir    string
}

// end ends it all, and leaves nothing behind.
func (o *own) end(ctx context.Context, in interrupts) error {
	if o.client != nil {
		o.client.Close()
	}
	err := o.local.Stop(ctx, local.Stop{Patience: ownPatience, GiveUp: in.second})
	return errors.Join(err, os.RemoveAll(o.dir))
}

// startOwn starts a Dagyo on a free port and a directory for the time being.
func (a *app) startOwn(ctx context.Context, in interrupts) (*own, error) {
	dir, err := os.MkdirTemp("", "dagyo-run-")
	if err != nil {
		return nil, err
	}
	o := &own{dir: dir}
	if o.local, err = a.startIn(ctx, in, dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	o.client, err = client.Connect(ctx, client.Options{URL: o.local.URL(), Source: a.source()})
	if err != nil {
		return nil, errors.Join(err, o.end(ctx, in))
	}
	return o, nil
}

func (a *app) startIn(ctx context.Context, in interrupts, dir string) (*local.Local, error) {
	log := a.logger("warn", true)
	s := settings.Default()
	if err := s.Resolve(log); err != nil {
		return nil, err
	}
	return startUntil(ctx, in.first, local.Config{
		Dir: dir, Port: embedded.RandomPort, Services: s, Log: log, Source: a.source(),
		Process: process.Config{SelfEnv: map[string]string{envLeash: strconv.Itoa(os.Getpid())}},
	})
}
