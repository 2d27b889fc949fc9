// Package script tests pure state machines with text scripts: blocks of commands, a line of four dashes, and the
// expected output. Run the tests with -update to rewrite the expected output.
package script

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Update rewrites the scripts' expected output.
var Update = flag.Bool("update", false, "rewrite the expected output of text scripts")

const separator = "----"

// Run runs every script that matches pattern. For each script, machine returns a function that executes one command
// line and returns its output, or "" for none.
func Run(t *testing.T, pattern string, machine func(t *testing.T) func(line string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts match %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			runFile(t, file, machine(t))
		})
	}
}

func runFile(t *testing.T, file string, do func(string) string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimRight(string(raw), "\n"), "\n\n") {
		if i > 0 {
			out.WriteString("\n")
		}
		commands, want, _ := strings.Cut(block, separator+"\n")
		commands = strings.TrimSuffix(commands, separator)
		got := runBlock(commands, do)
		if !*Update && strings.TrimRight(want, "\n") != got {
			t.Errorf("%s, block %d:\n%s\ngot:\n%s\nwant:\n%s", file, i+1, commands, got, want)
		}
		out.WriteString(strings.TrimRight(commands, "\n") + "\n" + separator + "\n")
		if got != "" {
			out.WriteString(got + "\n")
		}
	}
	if *Update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func runBlock(commands string, do func(string) string) string {
	var got []string
	for line := range strings.Lines(commands) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if s := do(line); s != "" {
			got = append(got, s)
		}
	}
	return strings.Join(got, "\n")
}
