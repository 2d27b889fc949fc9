package document

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/problem"
)

// A report must fit into one message on the broker, whatever the document.
const (
	reportProblems = 1000
	reportOctets   = 256 << 10
)

// A Report collects problems up to a limit; further problems are only counted. The zero value is
// ready to use. It must not be used concurrently.
type Report struct {
	problems problem.List
	octets   int
	dropped  int
}

// Add adds a problem at the place at path, a list of keys. The hint may be empty.
func (r *Report) Add(code problem.Code, message, hint string, path ...string) {
	if r.Full() {
		r.dropped++
		return
	}
	p := problem.Problem{
		Code: code, Pointer: problem.Pointer(path...), Message: message, Hint: hint,
	}
	size := len(p.Pointer) + len(p.Message) + len(p.Hint)
	if r.octets+size > reportOctets {
		r.dropped++
		return
	}
	r.octets += size
	r.problems = append(r.problems, p)
}

// Full reports whether further problems would only be counted, so that more than that is wasted
// work.
func (r *Report) Full() bool {
	return len(r.problems) >= reportProblems || r.octets >= reportOctets
}

// List returns the problems in order, without repeats; it is nil if there are none. If some were
// omitted, the last one gives their number.
func (r *Report) List() problem.List {
	out := r.problems.Sorted()
	if r.dropped == 0 {
		return out
	}
	return append(out, problem.Problem{
		Code:    problem.TooMany,
		Message: fmt.Sprintf("problems left out of this list: %d", r.dropped),
		Hint:    "fix the listed problems and check again",
	})
}

// Quote quotes a user's word for a message, cut to 80 runes so that a long word does not make the
// message unreadable.
func Quote(s string) string {
	const most = 80
	if runes := []rune(s[:min(len(s), 4*most)]); len(runes) > most || len(s) > 4*most {
		s = string(runes[:min(most, len(runes))]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// Shorten cuts a text to a number of bytes, with a mark at its end that something is missing. It cuts no character.
func Shorten(s string, most int) string {
	const mark = "…"
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:max(0, most-len(mark))], "") + mark
}

// sortedKeys returns the keys of an object in order.
func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
