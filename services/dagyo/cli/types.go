package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/typedoc"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) typesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "types [NAME]", GroupID: groupProgdefs, Aliases: []string{"type"},
		Short: "List documented types, or show one",
		Long: `List the type catalogue: the documented types of the ports of progdefs. With a
NAME, which may be a complete typename such as 'list<json>', show the encoding
of its records and their JSON Schema or protobuf message.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.typeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				if len(args) == 1 {
					return a.showType(ctx, c, args[0])
				}
				return a.listTypes(ctx, c)
			})
		},
	}
	cmd.AddCommand(a.typesApplyCommand())
	return cmd
}

func (a *app) listTypes(ctx context.Context, c *client.Client) error {
	all, err := c.Types(ctx)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(append([]contract.TypeLine{}, all...))
	}
	report.Types(a.Out, all)
	return nil
}

func (a *app) showType(ctx context.Context, c *client.Client, typename string) error {
	d, err := c.Type(ctx, typename)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(d)
	}
	report.Type(a.Out, d)
	return nil
}

func (a *app) typesApplyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "apply FILE…",
		Short: "Add or update type documents",
		Long: `Add the type documents in the files (JSON or YAML; - is standard input) to the
type catalogue. A type document contains the meaning of a typename and
optionally a JSON Schema or protobuf message. A file may contain several
documents.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return a.applyFiles("type", args, func(d docfile.Document, _, name string) error {
					return a.applyType(ctx, c, d.JSON, name)
				})
			})
		},
	}
}

// applyType applies one document and reports what changed.
func (a *app) applyType(ctx context.Context, c *client.Client, raw []byte, file string) error {
	before, known := typedoc.Document{}, false
	if name := nameIn(raw); name != "" {
		var err error
		before, err = c.Type(ctx, name)
		if known = err == nil; !known && !errors.Is(err, client.ErrUnknownType) {
			return err
		}
	}
	applied, err := c.ApplyType(ctx, typeID(raw), raw)
	if err != nil {
		return err
	}
	change := changeOf(before, applied.Document, known)
	if a.json() {
		return a.printJSON(appliedType{file, applied.Name, change})
	}
	_, err = fmt.Fprintf(a.Out, "type %s applied%s\n", applied.Document.Typename(), change)
	return err
}

// appliedType is the output of `types apply` with --output json.
type appliedType struct {
	File string `json:"file"`
	Type string `json:"type"`
	change
}

// nameIn returns the name in a document, or "".
func nameIn(raw []byte) string {
	var named struct{ Name any }
	_ = json.Unmarshal(raw, &named) // the validator reports what is wrong
	name, _ := named.Name.(string)
	return name
}

// typeID returns a unique id to apply a document under. It contains the type's name.
func typeID(raw []byte) string { return newID(cmp.Or(nameIn(raw), "type")) }
