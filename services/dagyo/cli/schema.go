package cli

import (
	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/document"
)

// schemaNames are the documents that people write.
var schemaNames = []string{"flow", "policy", "progdef", "sign-in", "test", "type", "webhook"}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema {flow | policy | progdef | sign-in | test | type | webhook}", GroupID: groupProgdefs,
		Short: "Print the JSON Schema of a kind of document",
		Long: `Print the JSON Schema of flow documents, policies, progdefs, settings of sign-in,
the test.yaml of a test case, type documents, or webhooks. The schema contains no
references to other files. Editors use it to complete and check documents: see
docs/documents.md.`,
		Example:   "  dagyo schema flow > flow.schema.json",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: schemaNames,
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := document.Schema(args[0])
			if err == nil {
				_, err = a.Out.Write(append(text, '\n'))
			}
			return err
		},
	}
}
