package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

// Limits of a query.
const (
	// DefaultLimit and MaxLimit are numbers of flows per page.
	DefaultLimit = 50
	MaxLimit     = 1000
	// MaxText limits the text to search for, in bytes.
	MaxText = 256
)

// ParseQuery parses the request of AskFlowList; an empty one selects everything. The error reports every fault
// of the request.
func ParseQuery(body []byte) (q contract.FlowQuery, err error) {
	if len(bytes.TrimSpace(body)) > 0 {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			return q, fmt.Errorf("invalid query: %w", err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return q, errors.New("invalid query: unexpected data after the JSON object")
		}
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	return q, check(q)
}

// check reports every fault of a query.
func check(q contract.FlowQuery) error {
	var errs []error
	wrong := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, s := range q.States {
		wrong(!slices.Contains(States(), s), "states: %.40q is not a state of a flow", string(s))
	}
	wrong(q.Limit < 1 || q.Limit > MaxLimit, "limit: %d is not between 1 and %d", q.Limit, MaxLimit)
	wrong(!q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until), "since is not before until")
	wrong(len(q.Text) > MaxText, "text: %d bytes; the limit is %d", len(q.Text), MaxText)
	wrong(!utf8.ValidString(q.Text), "text: not valid UTF-8")
	wrong(q.Progdef != "" && !document.ValidName(q.Progdef), "progdef: %.80q is not a name", q.Progdef)
	wrong(q.User != "" && !document.ValidName(q.User), "user: %.80q is not a name", q.User)
	_, err := parseCursor(q.After)
	wrong(err != nil, "after: not the next of a page: %w", err)
	return errors.Join(errs...)
}

// States lists the phases and verdicts of flows, in the order of a flow's life.
func States() []contract.Type {
	return []contract.Type{
		contract.TypeFlowSubmit, contract.TypeFlowRejected, contract.TypeFlowValidated,
		contract.TypeFlowPlanned, contract.TypeFlowQueued, contract.TypeFlowSpawned, contract.TypeJobStarted,
		contract.TypeFlowCompleted, contract.TypeFlowPanic, contract.TypeFlowCancelled,
		contract.TypeFlowCleaned,
	}
}

// Matches reports whether a query selects a flow, regardless of its place in the list.
func Matches(q contract.FlowQuery, s contract.FlowStatus) bool {
	switch {
	case q.Live && s.Verdict != "":
		return false
	case len(q.States) > 0 && !slices.Contains(q.States, s.Phase) && !slices.Contains(q.States, s.Verdict):
		return false
	case !q.Since.IsZero() && s.Submitted.Before(q.Since):
		return false
	case !q.Until.IsZero() && !s.Submitted.Before(q.Until):
		return false
	}
	return (q.User == "" || s.Owner == q.User) && hasProgdef(q.Progdef, s) && hasText(q.Text, s)
}

func hasProgdef(name string, s contract.FlowStatus) bool {
	if name == "" {
		return true
	}
	for _, j := range s.Jobs {
		if j.Progdef == name {
			return true
		}
	}
	return false
}

func hasText(text string, s contract.FlowStatus) bool {
	if strings.Contains(s.Flow, text) {
		return true
	}
	for _, j := range s.Jobs {
		if strings.Contains(j.Progdef, text) {
			return true
		}
	}
	for t := range texts(s) {
		if strings.Contains(t, text) {
			return true
		}
	}
	return false
}

// texts yields what a flow's text is searched in, apart from names.
func texts(s contract.FlowStatus) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(s.Reason) {
			return
		}
		for _, f := range s.Failures {
			if !yield(f.Message) {
				return
			}
		}
		for _, p := range s.Problems {
			if !yield(p.Message) {
				return
			}
		}
	}
}

// A sieve rejects most of the stored lines that a query does not select, without decoding them.
type sieve struct {
	all [][]byte // the line has all of these in it
	any [][]byte // and one of these
}

// verbatim reports whether a text can be compared with bytes of lines and columns. Lines and columns have U+FFFD in more
// than one form: as itself, and as a byte that is not UTF-8.
func verbatim(text string) bool { return !strings.ContainsRune(text, utf8.RuneError) }

func newSieve(q contract.FlowQuery) (s sieve) {
	if q.Text != "" && verbatim(q.Text) {
		text := quoted(q.Text)
		s.all = append(s.all, text[1:len(text)-1])
	}
	if q.Progdef != "" {
		s.all = append(s.all, quoted(q.Progdef))
	}
	if q.User != "" {
		s.all = append(s.all, quoted(q.User))
	}
	for _, state := range q.States {
		s.any = append(s.any, quoted(string(state)))
	}
	return s
}

func (s sieve) passes(line []byte) bool {
	has := func(part []byte) bool { return bytes.Contains(line, part) }
	return !slices.ContainsFunc(s.all, func(part []byte) bool { return !has(part) }) &&
		(len(s.any) == 0 || slices.ContainsFunc(s.any, has))
}

// quoted encodes a string as in lines: every character but U+FFFD is always encoded in the same way.
func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string can be encoded
	}
	return b
}

// messageBytes limits FlowLine.Message.
const messageBytes = 200

// Line returns the short form of a status.
func Line(s contract.FlowStatus) contract.FlowLine {
	l := contract.FlowLine{
		Flow: s.Flow, Phase: s.Phase, Verdict: s.Verdict, Owner: s.Owner, Submitted: s.Submitted, Updated: s.Updated,
		Duration: s.Duration, Message: document.Shorten(message(s), messageBytes), Records: received(s.Edges),
	}
	for _, j := range s.Jobs {
		if l.Jobs == nil {
			l.Jobs = make(map[contract.JobState]int)
		}
		l.Jobs[j.State]++
	}
	if s.Queued != nil && s.Phase == contract.TypeFlowQueued {
		l.Place = s.Queued.Place
	}
	return l
}

// received adds up what the readers of edges have received, or what was sent where only that is known.
func received(edges []contract.EdgeCount) *int64 {
	total, known := int64(0), false
	for _, e := range edges {
		if c := cmp.Or(e.Received, e.Sent); c != nil {
			total, known = total+c.Records, true
		}
	}
	if !known {
		return nil
	}
	return &total
}

// message explains a flow's state in a few words.
func message(s contract.FlowStatus) string {
	switch {
	case s.Stalled != nil && s.Verdict == "":
		return "stalled: " + s.Stalled.WaitsFor()
	case len(s.Failures) > 0 && s.Failures[0].Job != "":
		return s.Failures[0].Job + ": " + s.Failures[0].Message
	case len(s.Failures) > 0:
		return s.Failures[0].Message
	case s.Reason != "":
		return s.Reason
	case len(s.Problems) > 0:
		return s.Problems[0].Message
	case s.Verdict == "" && s.Queued != nil:
		return waiting(s)
	}
	return ""
}

// waiting is why the executors of a running flow cannot run yet.
func waiting(s contract.FlowStatus) string {
	for _, short := range s.Queued.Shortage {
		if short.Reason == "" {
			continue
		}
		for _, j := range s.Jobs {
			if j.State == contract.JobWaiting && j.Progdef == short.Progdef {
				return short.Progdef + " waiting: " + short.Reason
			}
		}
	}
	return ""
}
