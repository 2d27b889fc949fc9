package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

// Output languages of `dagyo graph`.
const (
	graphMermaid = "mermaid"
	graphDOT     = "dot"
)

func (a *app) graphCommand() *cobra.Command {
	format := graphMermaid
	cmd := &cobra.Command{
		Use: "graph FLOW", GroupID: groupFlows,
		Short: "Draw a flow with its nodes and the types of its edges",
		Long: `Validate the flow document in the file FLOW (JSON or YAML; - is standard
input), and print it as a graph: a Mermaid flowchart, or DOT for Graphviz.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != graphMermaid && format != graphDOT {
				return usage(fmt.Errorf("--format is %q: it must be %s or %s", format, graphMermaid, graphDOT))
			}
			return a.graph(cmd.Context(), args[0], format)
		},
	}
	cmd.Flags().StringVar(&format, "format", format, "language of the graph: mermaid or dot")
	return cmd
}

func (a *app) graph(ctx context.Context, path, format string) error {
	document, err := a.readDocument(path)
	var problems problem.List
	var valid *contract.FlowValidated
	switch {
	case errors.As(err, &problems):
	case err != nil:
		return err
	default:
		if valid, problems, err = a.judge(ctx, document); err != nil {
			return err
		}
	}
	switch {
	case valid == nil:
		return a.tellValidity(nil, problems)
	case a.json():
		return a.printJSON(valid.Flow)
	case format == graphDOT:
		report.DOT(a.Out, valid.Flow)
	default:
		report.Mermaid(a.Out, valid.Flow)
	}
	return nil
}
