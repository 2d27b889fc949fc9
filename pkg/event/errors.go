package event

import (
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Unreadable means that a message is not an event of its subject, with all problems of the message. It is
// permanent: the same message never becomes readable. Pointers refer to an attribute of the event
// ("/subject", in binary mode the header ce-subject) or to a part of its data ("/data/…").
type Unreadable struct {
	Problems problem.List
}

func (u *Unreadable) Error() string { return "unreadable event: " + u.Problems.Error() }

// Unwrap returns the list for errors.As.
func (u *Unreadable) Unwrap() error { return u.Problems }

// clipLimit limits the parts of the sender's text in messages, in bytes.
const clipLimit = 200

// clip shortens text from a message so that it fits into a sentence.
func clip(s string) string { return document.Shorten(s, clipLimit) }
