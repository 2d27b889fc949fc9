package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/typedoc"
)

// Types writes a table of types.
func Types(w io.Writer, all []contract.TypeLine) {
	rows := make([][]string, len(all))
	for i, t := range all {
		rows[i] = []string{t.Typename, origin(t.Builtin), clean(t.Summary)}
	}
	t := table{w: w, heading: []string{"TYPE", "FROM", "MEANING"}}
	t.addAll(rows)
}

func origin(builtin bool) string {
	if builtin {
		return "Dagyo"
	}
	return "user"
}

// Type writes the documentation of one type in full.
func Type(w io.Writer, d typedoc.Document) {
	fmt.Fprintf(w, "type %s, from %s\n", d.Typename(), origin(progdef.IsBuiltin(d.Name)))
	Block(w, "  ", d.Description)
	if len(d.Schema) > 0 {
		var b bytes.Buffer
		_ = json.Indent(&b, d.Schema, "", "  ") // the answer is valid JSON
		fmt.Fprintln(w, "  JSON Schema:")
		Block(w, "    ", b.String())
	}
	if d.Protobuf != "" {
		fmt.Fprintln(w, "  protobuf:")
		Block(w, "    ", d.Protobuf)
	}
}
