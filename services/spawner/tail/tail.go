// Package tail keeps the end of a program's output, as text that fits into an event.
package tail

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// A Tail keeps the last bytes that were written to it. It is not safe for concurrent use.
type Tail struct {
	limit int
	kept  []byte
	cut   bool // something was dropped
}

// New returns a Tail that keeps limit bytes.
func New(limit int) *Tail { return &Tail{limit: limit} }

// Write implements io.Writer. It never fails.
func (t *Tail) Write(p []byte) (int, error) {
	n := len(p)
	if over := len(t.kept) + n - t.limit; over > 0 {
		t.cut = true
		fromKept := min(over, len(t.kept))
		t.kept = append(t.kept[:0], t.kept[fromKept:]...)
		p = p[over-fromKept:]
	}
	t.kept = append(t.kept, p...)
	return n, nil
}

// Bytes returns the kept bytes. The result is valid until the next Write.
func (t *Tail) Bytes() []byte { return t.kept }

// String returns the kept bytes as valid UTF-8 of at most limit bytes. If the beginning was dropped, the text starts
// with a complete line, unless that would lose more than half.
func (t *Tail) String() string {
	b := t.kept
	if t.cut {
		if i := bytes.IndexByte(b, '\n'); i >= 0 && i < len(b)/2 {
			b = b[i+1:]
		}
		for len(b) > 0 && !utf8.RuneStart(b[0]) {
			b = b[1:]
		}
	}
	return strings.ToValidUTF8(string(b), "?")
}
