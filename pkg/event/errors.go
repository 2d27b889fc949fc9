package event

import (
	"unicode/utf8"

	"github.com/dagyo/dagyo/pkg/problem"
)

// Unreadable says that a message is not an event that its subject carries, and everything that is
// wrong with it. It is permanent: the same message never becomes readable. Pointers lead to an
// attribute of the event ("/subject", in binary mode the header ce-subject) or into its data
// ("/data/…").
type Unreadable struct {
	Problems problem.List
}

func (u *Unreadable) Error() string { return "unreadable event: " + u.Problems.Error() }

// Unwrap gives errors.As the list.
func (u *Unreadable) Unwrap() error { return u.Problems }

// clipLimit bounds what a message repeats of the sender's text, in octets.
const clipLimit = 200

// clip makes text from a message fit into a sentence.
func clip(s string) string {
	if len(s) <= clipLimit {
		return s
	}
	end := clipLimit
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
