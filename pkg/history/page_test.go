package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A shelf is a stream in memory and its index.
type shelf struct {
	*Index
	packer   packer
	messages map[uint64]*nats.Msg
	reads    int
	seq      uint64
	// old is true if segments are stored as by the previous version, without columns.
	old bool
}

func newShelf() *shelf {
	s := &shelf{Index: NewIndex(nil, nil), packer: newPacker(), messages: make(map[uint64]*nats.Msg)}
	s.load()
	s.fetch = func(_ context.Context, seq uint64) (nats.Header, []byte, error) {
		s.reads++
		if m := s.messages[seq]; m != nil {
			return m.Header, m.Data, nil
		}
		return nil, nil, jetstream.ErrMsgNotFound
	}
	return s
}

// store appends a segment.
func (s *shelf) store(t fatal, records ...contract.FlowStatus) {
	messages, err := s.packer.pack(records, s.seq+1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if s.old {
			m.Header.Del(headerColumns)
		}
		s.seq++
		s.messages[s.seq] = m
		s.add(s.seq, m.Header)
	}
}

// fatal is the part of testing.TB that rapid.T has too.
type fatal interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// page asks for one page.
func (s *shelf) page(
	t fatal, q contract.FlowQuery, current []contract.FlowStatus, b Budget,
) contract.FlowPage {
	p, err := s.Page(context.Background(), q, slices.Values(current), b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// walk lists all flows, page by page.
func (s *shelf) walk(t fatal, q contract.FlowQuery, current []contract.FlowStatus) (ids []string) {
	for {
		p := s.page(t, q, current, DefaultBudget())
		for _, l := range p.Flows {
			ids = append(ids, l.Flow)
		}
		if q.After = p.Next; q.After == "" {
			return ids
		}
	}
}

// small is a minimal status.
func small(i int, state contract.Type) contract.FlowStatus {
	at := time.Unix(int64(1000+i%7), 0).UTC() // some at the same time
	return contract.FlowStatus{
		Flow: fmt.Sprint("f-", i), Phase: state, Submitted: at, Updated: at.Add(time.Minute),
	}
}

func ended(s contract.FlowStatus) contract.FlowStatus {
	s.Phase, s.Verdict = contract.TypeFlowCleaned, contract.TypeFlowCompleted
	return s
}

// A list contains each flow that exists throughout exactly once, even if flows end and are stored between two pages.
func TestEveryFlowIsListedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf()
		n := 0
		for range rapid.IntRange(0, 6).Draw(t, "segments") {
			var records []contract.FlowStatus
			for range rapid.IntRange(1, 9).Draw(t, "records") {
				records = append(records, ended(small(n, "")))
				n++
			}
			s.store(t, records...)
		}
		var current []contract.FlowStatus
		for range rapid.IntRange(0, 20).Draw(t, "current") {
			current = append(current, small(n, contract.TypeJobStarted))
			n++
		}
		want := n
		q := contract.FlowQuery{Limit: rapid.IntRange(1, 8).Draw(t, "limit")}
		seen := make(map[string]int)
		for {
			b := Budget{Segments: rapid.IntRange(0, 3).Draw(t, "budget"), Time: time.Hour}
			p := s.page(t, q, current, b)
			for _, l := range p.Flows {
				seen[l.Flow]++
			}
			if len(p.Problems) > 0 || len(p.Flows) > q.Limit {
				t.Fatalf("%+v", p)
			}
			if q.After = p.Next; q.After == "" {
				break
			}
			current = s.move(t, current, &n)
		}
		for i := range want {
			if id := fmt.Sprint("f-", i); seen[id] != 1 {
				t.Fatalf("%s is listed %d times", id, seen[id])
			}
		}
	})
}

// move stores some current flows and some new ones. The first of the stored ones may stay current, as if the caller had
// not been notified yet.
func (s *shelf) move(
	t *rapid.T, current []contract.FlowStatus, n *int,
) []contract.FlowStatus {
	var stay, stored []contract.FlowStatus
	for _, c := range current {
		if rapid.Bool().Draw(t, "stays") {
			stay = append(stay, c)
			continue
		}
		stored = append(stored, ended(c))
	}
	if rapid.Bool().Draw(t, "unseen") {
		stored = append(stored, ended(small(*n, "")))
		*n++
	}
	if len(stored) > 0 {
		s.store(t, stored...)
		if rapid.Bool().Draw(t, "late") {
			stay = append(stay, stored[0])
		}
	}
	return stay
}

func TestListsAreInOrder(t *testing.T) {
	s := newShelf()
	s.store(t, ended(small(0, "")), ended(small(1, "")))
	s.store(t, ended(small(2, "")))
	current := []contract.FlowStatus{
		small(3, contract.TypeJobStarted), small(5, contract.TypeFlowQueued), small(4, contract.TypeJobStarted),
	}
	for limit := 1; limit < 8; limit++ {
		got := strings.Join(s.walk(t, contract.FlowQuery{Limit: limit}, current), " ")
		if got != "f-5 f-4 f-3 f-2 f-1 f-0" {
			t.Errorf("pages of %d: %s", limit, got)
		}
	}
	live := contract.FlowQuery{Live: true, States: []contract.Type{contract.TypeJobStarted}}
	if got := strings.Join(s.walk(t, live, current), " "); got != "f-4 f-3" {
		t.Errorf("running are %s", got)
	}
}

// A search finds the same with and without the sieve.
func TestSearches(t *testing.T) {
	all := samples(1500)
	s := newShelf()
	s.store(t, all...)
	at := all[700].Submitted
	for name, q := range map[string]contract.FlowQuery{
		"text in a message": {Text: "exit code 3"},
		"text in an id":     {Text: all[9].Flow[7:]},
		"text nowhere":      {Text: `"State"`},
		"markup":            {Text: "<no>"},
		"verdict":           {States: []contract.Type{contract.TypeFlowPanic}},
		"progdef":           {Progdef: "score"},
		"no progdef":        {Progdef: "sc"},
		"time":              {Since: at, Until: at.Add(time.Second)},
		"all of it": {
			Since: at, Text: "orders", States: []contract.Type{contract.TypeFlowPanic}, Progdef: "parse", Limit: 7,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, r := range slices.Backward(all) {
				if Matches(q, r) {
					want = append(want, r.Flow)
				}
			}
			if got := s.walk(t, q, nil); !slices.Equal(got, want) {
				t.Errorf("got %d flows, want %d", len(got), len(want))
			}
		})
	}
}

// A list that begins between the arrival of a segment and the call of stored contains its flows once.
func TestAListBeginsBeforeStoredIsCalled(t *testing.T) {
	s := newShelf()
	s.store(t, ended(small(0, "")))
	var got []string
	current := []contract.FlowStatus{ended(small(1, ""))}
	s.stored = func(uint64) { got = s.walk(t, contract.FlowQuery{}, current) }
	s.store(t, current...)
	if !slices.Equal(got, []string{"f-1", "f-0"}) {
		t.Errorf("got %v", got)
	}
}

// Segments outside the requested time range are not read.
func TestTimeSkipsSegments(t *testing.T) {
	s := newShelf()
	all := samples(10 * recordsLimit)
	s.store(t, all...)
	q := contract.FlowQuery{Since: all[5*recordsLimit].Submitted.Add(time.Second), Limit: MaxLimit}
	q.Until = q.Since.Add(time.Second)
	if got := s.walk(t, q, nil); len(got) == 0 || s.reads > 1 {
		t.Errorf("%d flows after %d reads", len(got), s.reads)
	}
}

func TestASearchWithoutMatchesRespectsItsBudget(t *testing.T) {
	s := newShelf()
	s.old = true
	for range 10 {
		s.store(t, samples(3)...)
	}
	q := contract.FlowQuery{Text: "nowhere"}
	p := s.page(t, q, nil, Budget{Segments: 4, Time: time.Hour})
	if len(p.Flows) > 0 || p.Next == "" || s.reads != 4 {
		t.Errorf("%d reads: %+v", s.reads, p)
	}
	pages := 1
	for ; p.Next != ""; pages++ {
		q.After = p.Next
		p = s.page(t, q, nil, Budget{}) // one segment at least
	}
	if pages != 7 {
		t.Errorf("it took %d pages", pages)
	}
}

func TestABrokenSegmentIsReportedAndSkipped(t *testing.T) {
	s := newShelf()
	for i := range 4 {
		s.store(t, ended(small(i, "")))
	}
	s.messages[2].Data = []byte("no segment")
	s.messages[5] = nats.NewMsg("")
	s.add(5, s.messages[5].Header)
	delete(s.messages, 1) // the limits have removed it
	p := s.page(t, contract.FlowQuery{}, nil, DefaultBudget())
	if len(p.Flows) != 2 || p.Next != "" || len(p.Problems) != 2 {
		t.Errorf("%+v", p)
	}
	if _, ok, err := s.Get(t.Context(), "f-1"); ok || err == nil {
		t.Errorf("a flow in a broken segment: %v, %v", ok, err)
	}
	if _, ok, err := s.Get(t.Context(), "f-0"); ok || err != nil {
		t.Errorf("a flow in a removed segment: %v, %v", ok, err)
	}
	if got, ok, err := s.Get(t.Context(), "f-3"); !ok || err != nil || got.Flow != "f-3" {
		t.Errorf("a flow in a good segment: %v, %v, %v", got, ok, err)
	}
}

func TestTheLastEndOfAFlowIsFound(t *testing.T) {
	s := newShelf()
	rejected := small(1, contract.TypeFlowRejected)
	rejected.Verdict = contract.TypeFlowRejected
	s.store(t, rejected, rejected)
	s.store(t, small(2, ""), ended(small(1, "")))
	if got, ok, err := s.Get(t.Context(), "f-1"); !ok || err != nil || got.Verdict != contract.TypeFlowCompleted {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
}

// A page fits into a message of any server.
func TestPagesAreSmall(t *testing.T) {
	var current []contract.FlowStatus
	for i := range MaxLimit {
		c := small(i, contract.TypeFlowCleaned)
		c.Verdict, c.Reason = contract.TypeFlowCancelled, strings.Repeat("<é>\x01", 300)
		current = append(current, c)
	}
	s := newShelf()
	s.store(t, current...)
	p := s.page(t, contract.FlowQuery{Limit: MaxLimit}, current, DefaultBudget())
	size := 0
	for _, l := range p.Flows {
		size += len(l.Message)
		if len(l.Message) > messageBytes || !strings.HasSuffix(l.Message, "…") {
			t.Fatalf("%q", l.Message)
		}
	}
	if len(p.Flows) == 0 || len(p.Flows) == MaxLimit || size > pageBytes || p.Next == "" {
		t.Errorf("%d flows, %d bytes, %q", len(p.Flows), size, p.Next)
	}
	if got := s.walk(t, contract.FlowQuery{Limit: MaxLimit}, nil); len(got) != MaxLimit {
		t.Errorf("%d flows in all pages", len(got))
	}
}

func TestPagesStopWithTheirContext(t *testing.T) {
	s := newShelf()
	s.store(t, samples(2)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Page(ctx, contract.FlowQuery{}, slices.Values(samples(1)), DefaultBudget())
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestBadQueriesAreExplained(t *testing.T) {
	for body, want := range map[string]string{
		`{"lvie": true}`:         `unknown field "lvie"`,
		`{"live": 1}`:            `cannot unmarshal number`,
		`{} {}`:                  `unexpected data after`,
		`[]`:                     `cannot unmarshal array`,
		`{"limit": -1}`:          `limit: -1 is not between 1 and 1000`,
		`{"states": ["flow"]}`:   `states: "flow" is not a state of a flow`,
		`{"progdef": "a b"}`:     `progdef: "a b" is not a name`,
		`{"after": "x"}`:         `after: not the next of a page`,
		`{"since": "yesterday"}`: `parsing time`,
		`{"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z", "limit": 9999}`: "since is not before until",
	} {
		if _, err := ParseQuery([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	if q, err := ParseQuery(nil); err != nil || q.Limit != DefaultLimit {
		t.Errorf("an empty query: %+v, %v", q, err)
	}
}

func TestTrimKeepsEnoughFlows(t *testing.T) {
	s := newShelf()
	for range 3 {
		s.store(t, samples(5)...)
	}
	for keep, want := range map[int64]uint64{15: 0, 11: 0, 10: 2, 6: 2, 5: 3, 1: 3, 100: 0} {
		if got := s.excess(keep); got != want {
			t.Errorf("to keep %d, all before %d can go, not before %d", keep, want, got)
		}
	}
	s.drop(3)
	if s.Flows() != 5 || len(s.from(0)) != 1 {
		t.Errorf("%d flows are left", s.Flows())
	}
}
