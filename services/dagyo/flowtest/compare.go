package flowtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
)

// A comparison compares the records of an output with the expected ones.
type comparison struct {
	typename  string
	format    format // of the file with the expected records
	got, want [][]byte
	unordered bool
	// partial is true if the flow panics: its outputs may end anywhere.
	partial bool
}

// lines renders both sides, so that equal lines are equal records.
func (c comparison) lines() (got, want []string) {
	f := c.format
	if f == whole || f == each || !shows(c.got) || !shows(c.want) {
		f = values
	}
	got, want = f.render(c.got, c.typename), f.render(c.want, c.typename)
	if c.unordered {
		slices.Sort(got)
		slices.Sort(want)
	}
	switch {
	case c.partial && c.unordered:
		want = among(want, got)
	case c.partial:
		want = want[:min(len(want), len(got))]
	}
	return got, want
}

// shows reports whether the records stay distinguishable when they are printed as they are, one per line.
func shows(records [][]byte) bool {
	return !slices.ContainsFunc(records, func(r []byte) bool {
		return !utf8.Valid(r) || bytes.ContainsFunc(r, unicode.IsControl)
	})
}

// among returns the sorted lines that occur at least as often in the sorted other.
func among(these, other []string) []string {
	left := make(map[string]int)
	for _, line := range other {
		left[line]++
	}
	return slices.DeleteFunc(these, func(line string) bool {
		left[line]--
		return left[line] < 0
	})
}

// diff returns a unified diff from the expected to the actual records, "" if they are equal.
func (c comparison) diff(wantName, gotName string) string {
	got, want := c.lines()
	if slices.Equal(got, want) {
		return ""
	}
	return unified(wantName, want, gotName, got)
}

func unified(oldName string, old []string, newName string, new []string) string {
	text := diff.Diff(oldName, joined(old), newName, joined(new))
	_, hunks, _ := strings.Cut(string(text), "\n") // drop the header
	return shortened(hunks)
}

func joined(lines []string) []byte {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(clipped(line))
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// Limits of what is shown.
const (
	shownLine  = 200 // bytes of a line
	shownLines = 100 // lines of a diff
)

// clipped shortens a line; the digest keeps different lines different.
func clipped(line string) string {
	if len(line) <= shownLine {
		return line
	}
	cut := shownLine
	for !utf8.RuneStart(line[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes, SHA-256 %.6x)", line[:cut], len(line), sha256.Sum256([]byte(line)))
}

func shortened(text string) string {
	all := strings.SplitAfter(text, "\n")
	if len(all) <= shownLines {
		return text
	}
	return strings.Join(all[:shownLines], "") + fmt.Sprintf("… and %d more lines\n", len(all)-1-shownLines)
}
