package history

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

const (
	// pageBytes limits the JSON of a page's lines, so that every server accepts the answer.
	pageBytes = broker.MinPayload / 2
	// problemsLimit and problemBytes limit the problems of a page.
	problemsLimit = 8
	problemBytes  = 300
	// freshSegments limits the segments, stored since the list began, that each page reads again.
	freshSegments = 32
)

// A Budget limits the work for one page. The rest is left to the next page.
type Budget struct {
	// Segments is the maximum number of segments to read.
	Segments int
	// Time is how long the search may take before it starts to read another segment.
	Time time.Duration
}

// DefaultBudget allows a page to read 50,000 to 100,000 flows. Columns rule out most of the others.
func DefaultBudget() Budget { return Budget{Segments: 200, Time: 500 * time.Millisecond} }

// Page lists flows: first the current ones, the most recently submitted first; then those in history, the
// most recently stored first.
//
// Current yields the live flows, and the ended ones that the index has not reported as stored, in any order.
// Page ranges over it once. Current must read the flows then, not before Page is called: a flow that is
// stored in between would be listed twice.
//
// Page needs memory for one page. It searches at least one segment, so that every page makes progress. The
// error is for an invalid query or an ended context; what cannot be read is in the page's Problems.
func (x *Index) Page(
	ctx context.Context, q contract.FlowQuery, current iter.Seq[contract.FlowStatus], b Budget,
) (contract.FlowPage, error) {
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if err := check(q); err != nil {
		return contract.FlowPage{}, err
	}
	at, _ := parseCursor(q.After) // checked
	if at == nil {
		at = &cursor{Start: x.beginning()}
	}
	l := list{
		index: x, query: q, sieve: newSieve(q), picker: newPicker(q), left: b.Segments, until: time.Now().Add(b.Time),
		page: contract.FlowPage{Flows: []contract.FlowLine{}},
	}
	l.run(ctx, *at, current)
	return l.page, ctx.Err()
}

// A list is a page in progress.
type list struct {
	index  *Index
	query  contract.FlowQuery
	sieve  sieve
	picker *picker
	page   contract.FlowPage
	size   int // of the page's lines

	left  int       // segments that may still be read
	until time.Time // the end of the search
	begun bool      // a segment was searched
}

func (l *list) run(ctx context.Context, at cursor, current iter.Seq[contract.FlowStatus]) {
	if !at.History {
		if !l.listCurrent(ctx, at, current) {
			return
		}
		at = at.inHistory()
	}
	if !l.query.Live {
		l.listHistory(ctx, at)
	}
}

// listCurrent lists the first part, and reports whether it reached the end.
func (l *list) listCurrent(
	ctx context.Context, at cursor, current iter.Seq[contract.FlowStatus],
) (end bool) {
	f := first{after: at.After, limit: l.query.Limit + 1} // one more tells whether there are more
	for s := range current {
		if Matches(l.query, s) {
			f.add(s)
		}
	}
	if !l.query.Live {
		l.addFresh(ctx, &f, at.Start)
	}
	for _, k := range f.sorted() {
		if !l.add(k.line) {
			l.page.Next = at.String()
			return false
		}
		at.After = &k.key
	}
	return true
}

// addFresh adds flows that were stored since the list began: some of them were current then.
func (l *list) addFresh(ctx context.Context, f *first, start uint64) {
	fresh := l.index.from(start + 1)
	if n := len(fresh) - freshSegments; n > 0 {
		l.problem(fmt.Errorf("%d segments that were stored since the list began are not in it; list again", n))
		fresh = fresh[n:]
	}
	for _, e := range fresh {
		for _, line := range l.lines(ctx, e, e.records) {
			if s, ok := l.selected(line); ok {
				f.add(s)
			}
		}
	}
}

// listHistory lists the second part, newest first, until the page is full or the budget is spent.
func (l *list) listHistory(ctx context.Context, at cursor) {
	for _, e := range slices.Backward(l.index.upThrough(at.Seq)) {
		next := cursor{History: true, Seq: e.seq, Index: e.records}
		if e.seq == at.Seq {
			next.Index = min(at.Index, e.records)
		}
		if !overlaps(l.query, e) {
			continue
		}
		if l.full() || l.spent() || ctx.Err() != nil {
			l.page.Next = next.String()
			return
		}
		if !l.addBackward(l.lines(ctx, e, next.Index), &next) {
			l.page.Next = next.String()
			return
		}
	}
}

// addBackward adds the selected lines, last first, and updates next. It reports whether it reached the first
// line.
func (l *list) addBackward(lines [][]byte, next *cursor) bool {
	for i, line := range slices.Backward(lines) {
		next.Index = i + 1
		if l.full() {
			return false
		}
		if s, ok := l.selected(line); ok && !l.add(Line(s)) {
			return false
		}
	}
	return true
}

// lines returns the first lines of a segment. Those that the query does not select may be nil; if there are no others,
// the segment is not read. An error becomes a problem of the page.
func (l *list) lines(ctx context.Context, e entry, count int) [][]byte {
	l.begun = true
	picked, known := l.picker.pick(e)
	if known && !slices.Contains(picked[:count], true) {
		return nil
	}
	l.left--
	lines, err := l.index.read(ctx, e)
	if err != nil {
		l.problem(err)
	}
	lines = slices.Clone(lines[:min(count, len(lines))])
	for i := range lines {
		if known && !picked[i] {
			lines[i] = nil
		}
	}
	return lines
}

func (l *list) selected(line []byte) (contract.FlowStatus, bool) {
	if line == nil || !l.sieve.passes(line) {
		return contract.FlowStatus{}, false
	}
	s, err := decode(line)
	if err != nil {
		l.problem(fmt.Errorf("cannot read a record of history: %w", err))
		return s, false
	}
	return s, Matches(l.query, s)
}

// spent reports whether the rest of the search is left to the next page.
func (l *list) spent() bool {
	return l.begun && (l.left <= 0 || !time.Now().Before(l.until))
}

func (l *list) full() bool { return len(l.page.Flows) >= l.query.Limit }

// add adds a line to the page, unless it is full.
func (l *list) add(line contract.FlowLine) bool {
	b, err := json.Marshal(line)
	if err != nil {
		l.problem(fmt.Errorf("cannot list flow %s: %w", line.Flow, err))
		return true
	}
	if l.full() || l.size > 0 && l.size+len(b) > pageBytes {
		return false
	}
	l.page.Flows, l.size = append(l.page.Flows, line), l.size+len(b)+1
	return true
}

func (l *list) problem(err error) {
	if len(l.page.Problems) < problemsLimit {
		l.page.Problems = append(l.page.Problems, document.Shorten(err.Error(), problemBytes))
	}
}

// overlaps reports whether a segment has flows that were submitted in the query's time range.
func overlaps(q contract.FlowQuery, e entry) bool {
	if e.broken != nil {
		return true // to be reported
	}
	return (q.Since.IsZero() || !e.submitted.to.Before(q.Since)) &&
		(q.Until.IsZero() || e.submitted.from.Before(q.Until))
}

// A first keeps the first statuses after a key, and as few others as possible.
type first struct {
	after *key
	limit int
	kept  []keyed
}

type keyed struct {
	key  key
	line contract.FlowLine
}

func (f *first) add(s contract.FlowStatus) {
	k := keyOf(s)
	if f.after != nil && k.compare(*f.after) <= 0 {
		return
	}
	f.kept = append(f.kept, keyed{k, Line(s)})
	if len(f.kept) >= 2*f.limit+freshSegments {
		f.kept = f.sorted()
	}
}

// sorted returns the first statuses in order, each key once.
func (f *first) sorted() []keyed {
	slices.SortStableFunc(f.kept, func(a, b keyed) int { return a.key.compare(b.key) })
	unique := slices.CompactFunc(f.kept, func(a, b keyed) bool { return a.key.compare(b.key) == 0 })
	return unique[:min(len(unique), f.limit)]
}
