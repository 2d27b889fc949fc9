package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "validate FLOW", GroupID: groupFlows,
		Short: "Validate a flow without running it",
		Long: `Validate the flow document in the file FLOW (JSON or YAML; - is standard input)
as a submission would be validated, and print all problems. The flow is not
run.

If no server answers, the flow is validated locally, against the standard
progdefs.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			document, err := a.readDocument(args[0])
			var problems problem.List
			switch {
			case errors.As(err, &problems):
				return a.tellValidity(nil, problems)
			case err != nil:
				return err
			}
			return a.validate(cmd.Context(), document)
		},
	}
}

func (a *app) validate(ctx context.Context, document []byte) error {
	valid, problems, err := a.judge(ctx, document)
	if err != nil {
		return err
	}
	return a.tellValidity(valid, problems)
}

// judge asks the validator, or validates locally if no validator answers.
func (a *app) judge(ctx context.Context, document []byte) (*contract.FlowValidated, problem.List, error) {
	var valid *contract.FlowValidated
	var problems problem.List
	err := a.with(ctx, func(ctx context.Context, c *client.Client) (err error) {
		valid, problems, err = c.Validate(ctx, document)
		return err
	})
	if errors.Is(err, client.ErrNoServer) || errors.Is(err, client.ErrNoAnswer) {
		fmt.Fprintf(a.Err, "no validator answered at %s: validated locally, against the standard progdefs only\n",
			broker.Redact(a.server))
		valid, problems = checkOffline(document)
		err = nil
	}
	return valid, problems, err
}

// checkOffline validates a flow against the standard progdefs.
func checkOffline(document []byte) (*contract.FlowValidated, problem.List) {
	f, pinned, problems := flow.Check(document, standardCatalog(), flow.DefaultLimits())
	if len(problems) > 0 {
		return nil, problems
	}
	return &contract.FlowValidated{Flow: f, Progdefs: pinned}, nil
}

func standardCatalog() flow.Catalog {
	catalog := flow.Catalog{}
	for _, s := range std.Standard() {
		doc, _ := progdef.Check(s.Document, document.DefaultLimits())
		catalog[s.Name] = doc.Pin()
	}
	return catalog
}

// tellValidity prints whether a flow is valid. If there are problems, the exit code is ExitRejected.
func (a *app) tellValidity(valid *contract.FlowValidated, problems problem.List) error {
	problems = a.located(problems)
	switch {
	case a.json() && valid != nil:
		return a.printJSON(map[string]any{"valid": true, "data": valid})
	case a.json():
		err := a.printJSON(map[string]any{"valid": false, "problems": problems})
		return errors.Join(err, told(ExitRejected))
	case valid != nil:
		names := slices.Sorted(maps.Keys(valid.Progdefs))
		_, err := fmt.Fprintf(a.Out, "valid: %s, %s, progdefs %v\n",
			document.Count(len(valid.Flow.Nodes), "node"), document.Count(len(valid.Flow.Edges), "edge"), names)
		return err
	}
	fmt.Fprintf(a.Out, "not valid: %s\n", document.Count(len(problems), "problem"))
	report.Problems(a.Out, problems)
	return told(ExitRejected)
}

// printCloudEvent prints an event as structured JSON, or its problems if it cannot be decoded.
func (a *app) printCloudEvent(e contract.Event) error {
	if e.Data == nil {
		return a.printJSON(map[string]any{
			"type": e.Type, "subject": e.Subject, "time": e.Time, "problems": e.Problems,
		})
	}
	m, err := event.Encode(e)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s\n", m.Data)
	return err
}
