// Package problem describes problems of a document or an event in a form that both people and
// programs can use.
//
// Codes are append-only: they travel in events, and users match on them.
package problem

import (
	"fmt"
	"slices"
	"strings"
)

// A Problem is one fault: where it is, and how to fix it.
type Problem struct {
	// Code names the broken rule. It never changes.
	Code Code `json:"code"`
	// Pointer is a JSON pointer (RFC 6901) into the sent document; "" is the whole document.
	Pointer string `json:"pointer"`
	// Message is one sentence for a person.
	Message string `json:"message"`
	// Hint suggests a fix, if one is known.
	Hint string `json:"hint,omitempty"`
	// Line and Column are the position in the file of the document, counted from 1 in characters; 0 if
	// the file is unknown. Services do not see files: the command sets these.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
}

// Where formats the place of the problem: the position in the file, if known, and the pointer.
func (p Problem) Where() string {
	switch {
	case p.Line == 0 && p.Pointer == "":
		return "(document)"
	case p.Line == 0:
		return p.Pointer
	case p.Pointer == "":
		return fmt.Sprintf("line %d, column %d", p.Line, p.Column)
	default:
		return fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Pointer)
	}
}

func (p Problem) String() string {
	s := fmt.Sprintf("%s: %s [%s]", p.Where(), p.Message, p.Code)
	if p.Hint != "" {
		s += " — " + p.Hint
	}
	return s
}

// A List is all problems of one document. A list that is not empty is an error.
type List []Problem

func (l List) Error() string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the list as an error, or nil when there is no problem.
func (l List) Err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// Sorted returns the list ordered by pointer, then code, then message, without repeats. The same
// document always gets the same list.
func (l List) Sorted() List {
	out := slices.Clone(l)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return strings.Compare(a.Pointer+"\x00"+string(a.Code)+"\x00"+a.Message,
			b.Pointer+"\x00"+string(b.Code)+"\x00"+b.Message)
	})
	return slices.Compact(out)
}

// Pointer joins reference tokens into a JSON pointer, escaped as in RFC 6901.
func Pointer(tokens ...string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(t))
	}
	return b.String()
}
