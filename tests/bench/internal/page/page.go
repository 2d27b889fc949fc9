// Package page writes results: a Markdown page for people, and the raw rounds as JSON.
package page

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dagyo/dagyo/tests/bench/internal/suite"
)

// A Page is the results of one run of the command.
type Page struct {
	Began time.Time
	Took  time.Duration
	// Command is the command's arguments.
	Command  []string
	Rounds   int
	Short    bool
	Outcomes []suite.Outcome
	// Notes is the path of a text to append to the page, or "" for none.
	Notes string
}

// Write writes DATE.md and DATE.json to a folder, and returns the path of the page.
func (p Page) Write(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	base := filepath.Join(dir, p.Began.Format(time.DateOnly))
	text, err := p.text()
	if err != nil {
		return "", err
	}
	raw, err := json.MarshalIndent(map[string]any{
		"began": p.Began.UTC().Format(time.RFC3339), "machine": readMachine(), "versions": versions(),
		"figures": p.Outcomes,
	}, "", " ")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(base+".json", append(raw, '\n'), 0o644); err != nil {
		return "", err
	}
	return base + ".md", os.WriteFile(base+".md", []byte(text), 0o644)
}

func (p Page) text() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmark of %s\n\n", p.Began.Format(time.DateOnly))
	p.head(&b)
	p.table(&b)
	p.details(&b)
	p.failures(&b)
	if p.Notes == "" {
		return b.String(), nil
	}
	notes, err := os.ReadFile(p.Notes)
	if err != nil {
		return "", err
	}
	b.WriteString("\n" + string(notes))
	return b.String(), nil
}

func (p Page) head(b *strings.Builder) {
	fmt.Fprintf(b, "Written by `%s`: every figure next to its reference in the "+
		"same run on the same\nnats-server, %d interleaved rounds (fewer where noted), "+
		"medians; the range is that of the ratio\nin single rounds. The run took %v.",
		p.command(), p.Rounds, p.Took.Round(time.Second))
	if p.Short {
		b.WriteString(" This is the short form: it shows that everything runs, not how fast.")
	}
	b.WriteString("\n\n| | |\n|---|---|\n")
	for _, f := range append(readMachine(), versions()...) {
		fmt.Fprintf(b, "| %s | %s |\n", f.Name, f.Value)
	}
}

// command returns the command line that repeats the run, without paths of this machine.
func (p Page) command() string {
	out := []string{"go run ./tests/bench"}
	for i, arg := range p.Command {
		path := arg == "-notes" || arg == "-out" || i > 0 && isPath(p.Command[i-1])
		if !path && !strings.HasPrefix(arg, "-notes=") && !strings.HasPrefix(arg, "-out=") {
			out = append(out, arg)
		}
	}
	return strings.Join(out, " ")
}

func isPath(flag string) bool { return flag == "-notes" || flag == "-out" }

func (p Page) table(b *strings.Builder) {
	b.WriteString("\n## Figures\n\n| figure | ours | reference | ratio | range | goal | met? |\n" +
		"|---|---|---|---|---|---|---|\n")
	for _, o := range p.Outcomes {
		for _, l := range o.Lines() {
			fmt.Fprintf(b, "| %s |\n", strings.Join(cells(l), " | "))
		}
	}
}

func cells(l suite.Line) []string {
	out := []string{l.Label, "failed", "–", "–", "–", l.Goal.Text, ""}
	if !l.Known {
		return out
	}
	out[1] = l.Unit(l.Value)
	judged := l.Value
	if l.Ref != "" {
		out[2] = "failed"
		if !l.KnownRef {
			return out
		}
		out[2], out[3] = l.Unit(l.Reference), number(l.Ratio)
		out[4] = number(l.Least) + " – " + number(l.Most)
		judged = l.Ratio
	}
	if met, asked := l.Goal.Met(judged); asked {
		out[6] = map[bool]string{true: "yes", false: "**no**"}[met]
	}
	return out
}

func number(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (p Page) details(b *strings.Builder) {
	b.WriteString("\n## How each was measured\n\n")
	for _, o := range p.Outcomes {
		fmt.Fprintf(b, "**%s** (%d rounds; `-run '%s'`). %s\n\n", o.Name, len(o.Rounds), o.Name,
			o.Figure.How)
	}
}

func (p Page) failures(b *strings.Builder) {
	n := 0
	for _, o := range p.Outcomes {
		for _, f := range o.Failures {
			if n++; n == 1 {
				b.WriteString("## What failed\n\n")
			}
			fmt.Fprintf(b, "- %s, %s\n", o.Name, strings.Join(strings.Fields(f), " "))
		}
	}
}
