package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// blocks returns the code blocks of a language in a page.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		out = append(out, m[1])
	}
	return out
}

// TestReadme pastes what the README says into files and a shell.
func TestReadme(t *testing.T) {
	documents := blocks(t, "../../README.md", "json")
	var use string
	for _, b := range blocks(t, "../../README.md", "sh") {
		if strings.Contains(b, "bin/dagyo up") {
			use = b
		}
	}
	if len(documents) != 2 || use == "" {
		t.Fatalf("%d documents, commands %q", len(documents), use)
	}
	cases, err := filepath.Abs("../../tests/cases")
	if err != nil {
		t.Fatal(err)
	}
	script := []string{
		"env DAGYO_QUEUE=$SERVER", "begin up dagyo up --port $PORT --data data", "until up stdout 'dagyo is up'",
	}
	for line := range strings.Lines(use) {
		command, _, _ := strings.Cut(strings.TrimSpace(line), "#")
		command = strings.TrimSpace(strings.NewReplacer("bin/dagyo", "dagyo", "tests/cases", cases).Replace(command))
		switch {
		case command == "dagyo up &":
			continue
		case strings.HasPrefix(command, "dagyo run"):
			command += "\nstdout '^HELLO ALICE$'\nstdout '^HELLO BOB$'"
		case strings.HasPrefix(command, "dagyo test"):
			command = "env DAGYO_QUEUE=\nexec " + command + "\nenv DAGYO_QUEUE=$SERVER"
		}
		script = append(script, "exec "+strings.TrimPrefix(command, "exec "))
	}
	for i, s := range script {
		script[i] = strings.Replace(s, "exec env ", "env ", 1)
	}
	script = append(script, "signal up INT", "ends up 0", "gone", "")
	text := strings.Join(script, "\n") +
		fmt.Sprintf("-- flow.json --\n%s-- shout.json --\n%s", documents[0], documents[1])
	runScript(t, text)
}

// TestDocumentsPage holds docs/documents.md to what the command prints.
func TestDocumentsPage(t *testing.T) {
	printed := blocks(t, "../../docs/documents.md", "text")[0]
	_, printed, _ = strings.Cut(printed, "\n") // the command itself
	script := `begin validate dagyo validate flow.yaml
ends validate 3
exec sh -c 'dagyo validate flow.yaml || true'
cmp stdout want.txt
-- flow.yaml --
# The flow that the page is about.
nodes:
  hello:
    progdef: gret
  names:
    const: {type: json, values: [
      5]}
edges:
  - {from: names.out, to: hello.name}
outputs: {g: hello.greeting}
-- want.txt --
` + printed
	runScript(t, script)
}

// runScript runs the text of a script.
func runScript(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	params := scriptParams()
	params.Dir = dir
	testscript.Run(t, params)
}
