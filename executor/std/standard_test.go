package std_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
)

func TestDocumentsAgreeWithPrograms(t *testing.T) {
	for _, s := range std.Standard() {
		t.Run(s.Name, func(t *testing.T) {
			doc, problems := progdef.Check(s.Document, document.DefaultLimits())
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			inputs, outputs := s.Program.PortTypes()
			if got := types(doc.Inputs); !maps.Equal(got, inputs) {
				t.Errorf("the document has the inputs %v, the program %v", got, inputs)
			}
			if got := types(doc.Outputs); !maps.Equal(got, outputs) {
				t.Errorf("the document has the outputs %v, the program %v", got, outputs)
			}
			if !slices.Equal(doc.TypeParams, s.Program.TypeParams) {
				t.Errorf("the document has the type parameters %v, the program %v", doc.TypeParams, s.Program.TypeParams)
			}
			if want := []string{"dagyo", "executor", s.Name}; !slices.Equal(doc.Command, want) {
				t.Errorf("the command is %v, want %v", doc.Command, want)
			}
			if doc.Name != s.Name || doc.Description == "" {
				t.Errorf("the document is named %q and described as %q", doc.Name, doc.Description)
			}
		})
	}
}

func types(ports map[string]progdef.Port) map[string]string {
	out := make(map[string]string)
	for name, p := range ports {
		out[name] = p.Type
	}
	return out
}

func TestEveryDocumentIsListed(t *testing.T) {
	files, err := os.ReadDir("progdefs")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".json")
		if _, ok := std.Find(name); !ok {
			t.Errorf("progdefs/%s is not in Standard()", f.Name())
		}
	}
	if got := len(std.Standard()); got != len(files) {
		t.Errorf("Standard() has %d progdefs, the folder %d", got, len(files))
	}
}

func TestFindUnknown(t *testing.T) {
	if p, ok := std.Find("grete"); ok {
		t.Errorf("found %q", p.Name)
	}
}
