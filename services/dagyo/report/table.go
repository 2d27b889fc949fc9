package report

import (
	"fmt"
	"io"
	"strings"
)

// gap is the space between two columns of a table.
const gap = "   "

// A table writes rows under a heading as they arrive: each row is aligned with the rows before it.
type table struct {
	w       io.Writer
	indent  string
	heading []string
	// fit and cut are the columns of a terminal, or 0: names in the first column are shortened to fit it, or rows are cut.
	fit, cut int
	widths   []int
}

// Table writes rows under a heading.
func Table(w io.Writer, heading []string, rows [][]string) {
	t := table{w: w, heading: heading}
	t.add(rows)
}

// add writes some rows, below the heading the first time.
func (t *table) add(rows [][]string) {
	if t.widths == nil {
		t.widths = make([]int, len(t.heading))
		rows = append([][]string{t.heading}, rows...)
	}
	for _, row := range rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], width(cell))
		}
	}
	if t.fit > 0 {
		t.widths[0] = max(leastName, min(t.widths[0], t.fit-1-t.rest()))
	}
	for _, row := range rows {
		t.addRow(row)
	}
}

// rest returns the columns that a row takes beside its first cell.
func (t *table) rest() int {
	n := width(t.indent)
	for _, w := range t.widths[1:] {
		n += len(gap) + w
	}
	return n
}

func (t *table) addRow(row []string) {
	var b strings.Builder
	b.WriteString(t.indent)
	for i, cell := range row {
		if i == 0 && t.fit > 0 {
			cell = shortened(cell, t.widths[0])
		}
		b.WriteString(pad(cell, t.widths[i]) + gap)
	}
	line := strings.TrimRight(b.String(), " ")
	if t.cut > 0 {
		line = Truncate(line, t.cut)
	}
	fmt.Fprintln(t.w, line)
}

// addAll writes maxRows rows at most, and the number of the others.
func (t *table) addAll(rows [][]string) {
	t.add(rows[:min(len(rows), maxRows)])
	more(t.w, t.indent, len(rows))
}
