package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/executor/std"
)

// example matches a command of a page and what it prints.
var example = regexp.MustCompile("(?s)```sh\n(.*?)```\n```text\n(.*?)```")

// revision matches what differs from one version of a progdef to the next.
const revision = `s/revision [0-9a-f]\{16\}/revision 0123456789abcdef/`

// TestDocumentedFlows runs the examples of each page, all of a page in one folder and one Dagyo.
func TestDocumentedFlows(t *testing.T) {
	for _, page := range []string{"progdefs.md", "records.md", "developing.md"} {
		t.Run(page, func(t *testing.T) { runExamples(t, page) })
	}
}

func runExamples(t *testing.T, name string) {
	page, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	examples := example.FindAllStringSubmatch(string(page), -1)
	if commands := strings.Count(string(page), "```sh\n"); commands != len(examples) || commands == 0 {
		t.Fatalf("%d of %d commands have an output", len(examples), commands)
	}
	script := []string{"env DAGYO_QUEUE=$SERVER", "begin up dagyo up --port $PORT --data data",
		"until up stdout 'dagyo is up'"}
	var files strings.Builder
	for i, e := range examples {
		script = append(script, fmt.Sprintf("exec sh -c 'sh %d.sh | sed \"%s\"'", i, revision),
			fmt.Sprintf("cmp stdout %d.out", i))
		fmt.Fprintf(&files, "-- %d.sh --\n%s-- %d.out --\n%s", i, e[1], i, e[2])
	}
	script = append(script, "signal up INT", "ends up 0", "gone", "")
	runScript(t, strings.Join(script, "\n")+files.String())
}

// Every standard progdef has its line in the page.
func TestDocumentedProgdefs(t *testing.T) {
	page, err := os.ReadFile("../../docs/progdefs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range std.Standard() {
		if !regexp.MustCompile(`(?m)^\| \[?` + s.Name + `\b`).Match(page) {
			t.Errorf("docs/progdefs.md has no line for %s", s.Name)
		}
	}
}
