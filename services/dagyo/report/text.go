package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// maxRows bounds the rows of every table and list; the rest is counted.
const maxRows = 50

// controls reports whether a character could control a terminal: move the cursor, or change the order of what is shown.
func controls(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// clean removes characters that could control a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case controls(r):
			return -1
		}
		return r
	}, s)
}

// onOneLine returns a text on one line, with control characters escaped.
func onOneLine(text string) string {
	var b strings.Builder
	for _, r := range strings.TrimSpace(text) {
		if controls(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// byteSize formats a number of bytes for people.
func byteSize(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	size, prefix := float64(n)/unit, 0
	for ; size >= unit && prefix < 4; prefix++ {
		size /= unit
	}
	return fmt.Sprintf("%.1f %cB", size, "kMGTP"[prefix])
}

func counted(c contract.Count) string {
	return fmt.Sprintf("%d (%s)", c.Records, byteSize(c.Bytes))
}

// span rounds a duration for people.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func more(w io.Writer, indent string, n int) {
	if n > maxRows {
		fmt.Fprintf(w, "%s… and %d more (--output json shows all)\n", indent, n-maxRows)
	}
}

// Block writes a text of several lines, each after a mark.
func Block(w io.Writer, mark, text string) {
	for line := range strings.Lines(strings.TrimRight(clean(text), "\n")) {
		fmt.Fprintf(w, "%s%s\n", mark, strings.TrimRight(line, "\n"))
	}
}

// Problems writes all problems of a document.
func Problems(w io.Writer, problems problem.List) {
	for _, p := range problems[:min(len(problems), maxRows)] {
		fmt.Fprintf(w, "  %s: %s [%s]\n", onOneLine(p.Where()), clean(p.Message), p.Code)
		if p.Hint != "" {
			fmt.Fprintf(w, "      hint: %s\n", clean(p.Hint))
		}
	}
	more(w, "  ", len(problems))
}
