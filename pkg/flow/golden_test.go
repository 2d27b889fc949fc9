package flow

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// Each testdata/*.txt is a flow document, a line "----", and the result of Check: the problems, or the edges of the
// normal form.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden(t, file)
		})
	}
}

func golden(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, want, _ := strings.Cut(string(raw), "----\n")
	got := outcome(t, doc)
	if *update {
		if err := os.WriteFile(file, []byte(doc+"----\n"+got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func outcome(t *testing.T, doc string) string {
	t.Helper()
	f, pinned, problems := Check([]byte(doc), catalog(t), DefaultLimits())
	var b strings.Builder
	if problems != nil {
		for _, p := range problems {
			fmt.Fprintln(&b, p)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "valid: deadline %s\n", f.Deadline)
	for _, name := range sortedKeys(f.Nodes) {
		n := f.Nodes[name]
		fmt.Fprintf(&b, "node %s: %s.%s\n", name, n.Progdef, n.Revision)
	}
	for _, name := range sortedKeys(pinned) {
		fmt.Fprintf(&b, "pinned %s.%s\n", name, pinned[name].Revision)
	}
	for i, e := range f.Edges {
		fmt.Fprintf(&b, "edge %d: %s -> %s : %s%s\n", i, e.Source(), e.Sink(), e.Type, values(t, e))
	}
	return b.String()
}

func values(t *testing.T, e Edge) string {
	t.Helper()
	if e.Const == nil {
		return ""
	}
	text, err := json.Marshal(e.Const.Values)
	if err != nil {
		t.Fatal(err)
	}
	return " " + string(text)
}
