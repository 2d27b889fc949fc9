package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"

	"github.com/dagyo/dagyo/services/dagyo/report"
)

// A screen draws a status in place, below the printed text. It must be used by one goroutine.
type screen struct {
	w     io.Writer
	shown int // lines of the status on the screen; the cursor is at the beginning of the line below
	// open is set while the cursor is behind text of a record: the line is not finished.
	open bool
	buf  bytes.Buffer
}

// print writes text in place of the status, on a line of its own.
func (s *screen) print(text []byte) error {
	s.up()
	if s.open {
		s.buf.WriteByte('\n')
	}
	s.buf.Write(text)
	s.passed(text)
	return s.flush()
}

// passed notes text that was written to the terminal.
func (s *screen) passed(text []byte) {
	if n := len(text); n > 0 {
		s.open = text[n-1] != '\n'
	}
}

// clear removes the status.
func (s *screen) clear() {
	if s.shown > 0 {
		s.up()
		_ = s.flush() // the error cannot be reported
	}
}

// up moves the cursor to the start of the status, and clears it and anything typed since.
func (s *screen) up() {
	if s.shown > 0 {
		fmt.Fprintf(&s.buf, "\r\x1b[%dA\x1b[J", s.shown)
		s.shown = 0
	}
}

// draw overwrites the shown lines: unchanged text does not flicker. Behind an unfinished line nothing is drawn: that
// line would be removed with the status.
func (s *screen) draw(lines []string) {
	if s.open || s.shown == 0 && len(lines) == 0 {
		return
	}
	if s.shown > 0 {
		fmt.Fprintf(&s.buf, "\r\x1b[%dA", s.shown)
	}
	for _, line := range lines {
		s.buf.WriteString(line)
		s.buf.WriteString("\x1b[K\n")
	}
	s.buf.WriteString("\x1b[J")
	s.shown = len(lines)
	_ = s.flush()
}

func (s *screen) flush() error {
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	return err
}

// A size is the size of a screen in columns and lines.
type size struct{ columns, lines int }

// plainSize is the size if standard error is not a terminal.
var plainSize = size{columns: 80, lines: 1 << 10}

// sizeOf returns the current size, which the user may change at any time.
func sizeOf(w io.Writer) size {
	f := fileOf(w)
	if f == nil {
		return plainSize
	}
	columns, lines, err := term.GetSize(int(f.Fd()))
	if err != nil || columns < 1 || lines < 1 {
		return plainSize
	}
	return size{columns, lines}
}

// columnsOf returns the columns of a terminal, or 0 if w is not one.
func columnsOf(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	return sizeOf(w).columns
}

// fit truncates the lines so that none wraps and all fit on the screen with the cursor's line.
func (s size) fit(lines []string) []string {
	out := make([]string, 0, len(lines))
	for _, line := range lines[:min(len(lines), max(s.lines-1, 1))] {
		out = append(out, report.Truncate(strings.ReplaceAll(line, "\n", " "), s.columns))
	}
	return out
}
