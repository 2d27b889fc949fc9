package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/dagyo/conformance"
)

// conformanceFlags are the flags of the command.
type conformanceFlags struct {
	list     bool
	run      string
	image    string
	progdef  string
	ports    string
	typename string
	parallel int
	patience time.Duration
}

func (a *app) conformanceCommand() *cobra.Command {
	var f conformanceFlags
	ports := conformance.DefaultPorts()
	cmd := &cobra.Command{
		Use: "conformance [--progdef FILE] {-- CMD… | --image IMAGE [-- ARGS…]}", GroupID: groupProgdefs,
		Short: "Check an executor in any language against the protocol",
		Long: `Run the executor CMD and check that it follows docs/protocol.md. Each check
tests one requirement and reports what was observed. The command starts its own
NATS server with roles: CMD gets the credentials of an executor, and must not do
what that role is not allowed to.

CMD must be an executor with one input and one output of the same type that
copies every record, as "cat" does; see docs/conformance.md. The exit code is 0
if all checks pass, and 1 if one fails or is too slow.

With --image, the local Docker daemon runs IMAGE with ARGS: one container for
each executor, in the host network, with a read-only file system. The
containers are removed at the end. They get only those environment variables
whose names start with DAGYO_.`,
		Example: `  dagyo conformance -- ./echo-executor
  dagyo conformance --run 'drain|stop' -- python3 echo.py
  dagyo conformance --progdef echo.json --output json -- dagyo-exec -- cat
  dagyo conformance --image registry.example.com/echo:1.2
  dagyo conformance --list`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.list {
				return a.listChecks()
			}
			c, err := a.conformanceConfig(f, args)
			if err != nil {
				return err
			}
			return a.conformance(cmd.Context(), c)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.list, "list", false, "list the checks and their requirements, and exit")
	flags.StringVar(&f.run, "run", "", "run only checks whose name matches this regular expression")
	flags.StringVar(&f.image, "image", "", "run this image with Docker instead of CMD")
	flags.StringVar(&f.progdef, "progdef", "",
		"progdef document with the ports of the program, and its command if CMD is omitted")
	flags.StringVar(&f.ports, "ports", ports.In+","+ports.Out, "names of the program's input and output")
	flags.StringVar(&f.typename, "type", ports.Type, "typename of both ports")
	flags.DurationVar(&f.patience, "patience", conformance.DefaultPatience,
		"time limit for steps without a time limit in the protocol, such as the start of CMD")
	flags.IntVar(&f.parallel, "parallel", conformance.DefaultParallel, "maximum number of checks that run at the same time")
	return cmd
}

// conformanceConfig parses the arguments. Its errors are usage errors.
func (a *app) conformanceConfig(f conformanceFlags, command []string) (conformance.Config, error) {
	c := conformance.Config{
		Command: command, Image: f.image, Ports: conformance.DefaultPorts(), Parallel: f.parallel, Patience: f.patience,
	}
	c.Ports.In, c.Ports.Out, _ = strings.Cut(f.ports, ",")
	c.Ports.Type = f.typename
	if f.progdef != "" {
		if err := a.fromProgdef(&c, f.progdef); err != nil {
			return c, err
		}
	}
	only, err := regexp.Compile(f.run)
	if err != nil {
		return c, usage(fmt.Errorf("--run: %w", err))
	}
	c.Only = only
	if err := c.Validate(); err != nil {
		return c, usage(err)
	}
	return c, nil
}

// fromProgdef takes the ports from a progdef document.
func (a *app) fromProgdef(c *conformance.Config, path string) error {
	raw, err := a.readDocument(path)
	if err != nil {
		return err
	}
	d, problems := progdef.Check(raw, document.DefaultLimits())
	if len(problems) > 0 {
		return fmt.Errorf("progdef in %s: %w", path, a.located(problems))
	}
	if len(d.Inputs) != 1 || len(d.Outputs) != 1 {
		return usage(fmt.Errorf("progdef %s has %s and %s, want one input and one output",
			d.Name, document.Count(len(d.Inputs), "input"), document.Count(len(d.Outputs), "output")))
	}
	c.Ports = portsOf(d, c.Ports.Type)
	if len(c.Command) == 0 && c.Image == "" {
		c.Command = d.Command
	}
	return nil
}

// portsOf returns the ports of a progdef with one input and one output. typename replaces its type
// parameters.
func portsOf(d progdef.Document, typename string) conformance.Ports {
	ports := conformance.Ports{Progdef: d.Name, Type: typename}
	for name, p := range d.Inputs {
		ports.In = name
		if !slices.Contains(d.TypeParams, p.Type) {
			ports.Type = p.Type
		}
	}
	for name := range d.Outputs {
		ports.Out = name
	}
	return ports
}

func (a *app) conformance(ctx context.Context, c conformance.Config) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	if !a.json() {
		c.Told = func(r conformance.Result) { r.Write(a.Out) }
	}
	report, err := conformance.Run(ctx, c)
	if err != nil {
		return err
	}
	if a.json() {
		err = a.printJSON(report)
	} else {
		report.Write(a.Out)
	}
	if !report.Conforms() {
		err = errors.Join(err, told(ExitFailed))
	}
	return err
}

func (a *app) listChecks() error {
	if a.json() {
		var all []map[string]string
		for _, c := range conformance.Checks() {
			all = append(all, map[string]string{"check": c.Name, "demand": c.Demand, "see": c.See})
		}
		return a.printJSON(all)
	}
	w := tabwriter.NewWriter(a.Out, 0, 8, 2, ' ', 0)
	for _, c := range conformance.Checks() {
		fmt.Fprintf(w, "%s\t%s\n", c.Name, c.Demand)
	}
	return w.Flush()
}
