package document

import (
	"fmt"
	"slices"

	"github.com/dagyo/dagyo/pkg/problem"
)

// A report must fit into one message on the broker, whatever was sent.
const (
	reportProblems = 1000
	reportOctets   = 256 << 10
)

// A Report gathers problems up to a bound; beyond it they are only counted. The zero value is
// ready to use. It must not be used by two goroutines at once.
type Report struct {
	problems problem.List
	octets   int
	dropped  int
}

// Add notes one problem at the place that path leads to, key by key. An empty hint says that there
// is none.
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

// List returns the problems in their order, without repeats; nil when there are none. Where some
// were left out, the last one says how many.
func (r *Report) List() problem.List {
	out := r.problems.Sorted()
	if r.dropped == 0 {
		return out
	}
	return append(out, problem.Problem{
		Code:    problem.TooMany,
		Message: fmt.Sprintf("problems left out of this list: %d", r.dropped),
		Hint:    "mend those listed and check again",
	})
}

// Quote puts a user's word into a message: quoted, and cut to 80 runes so that one long word does
// not make the message unreadable.
func Quote(s string) string {
	const most = 80
	if runes := []rune(s[:min(len(s), 4*most)]); len(runes) > most || len(s) > 4*most {
		s = string(runes[:min(most, len(runes))]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// sortedKeys returns the keys of an object in their order.
func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
