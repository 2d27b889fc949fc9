package history

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Random statuses and queries share few values, so that they often match.
var (
	someTexts = []string{
		"", "a", "abc", "exit code 3", "exit code 30", "line\nbreak", "\"quoted\" <é>", "UPPER lower", "b_1", "\xff\xfe", "\ufffd",
		strings.Repeat("long ", 60), strings.Repeat("longer ", 400), noise(1, 3000), strings.Repeat("longest ", 3000),
	}
	someProgdefs = []string{"", "a", "abc", "b_1", "exit", "score", "not a name", "UPPER"}
	someUsers    = []string{"", "ada", "bob", "ad"}
	someTimes    = []time.Duration{0, 1, time.Second, 255 * time.Second, time.Hour, 1000 * time.Hour, 40 * 365 * 24 * time.Hour}
)

func drawStatus(t *rapid.T, i int) contract.FlowStatus {
	one := func(name string, of []string) string { return rapid.SampledFrom(of).Draw(t, name) }
	at := time.Unix(1_790_000_000, int64(i)).UTC().Add(rapid.SampledFrom(someTimes).Draw(t, "submitted"))
	s := contract.FlowStatus{
		Flow: fmt.Sprintf("%s-%d", rapid.SampledFrom([]string{"abc", "flow", "b_1", "UPPER"}).Draw(t, "id"), i), Owner: one("owner", someUsers),
		Phase: rapid.SampledFrom(States()).Draw(t, "phase"), Verdict: rapid.SampledFrom(append(States(), "")).Draw(t, "verdict"),
		Submitted: at, Updated: at.Add(time.Minute), Reason: one("reason", someTexts),
	}
	for n := range rapid.IntRange(0, 3).Draw(t, "jobs") {
		if s.Jobs == nil {
			s.Jobs = make(map[string]contract.JobStatus)
		}
		s.Jobs[fmt.Sprint(n)] = contract.JobStatus{Progdef: one("progdef", someProgdefs)}
	}
	for range rapid.IntRange(0, 2).Draw(t, "failures") {
		s.Failures = append(s.Failures, contract.JobFailure{Failure: contract.Failure{Message: one("failure", someTexts)}})
	}
	for range rapid.IntRange(0, 1).Draw(t, "problems") {
		s.Problems = problem.List{{Message: one("problem", someTexts)}}
	}
	if rapid.IntRange(0, 30).Draw(t, "odd") == 0 {
		s.Submitted = rapid.SampledFrom([]time.Time{{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}).Draw(t, "odd time")
	}
	if rapid.IntRange(0, 30).Draw(t, "many") == 0 {
		s.Jobs = make(map[string]contract.JobStatus)
		for n := range setLimit + 5 {
			s.Jobs[fmt.Sprint("more", n)] = contract.JobStatus{Progdef: fmt.Sprint("more", n)}
		}
	}
	return s
}

func drawQuery(t *rapid.T) (q contract.FlowQuery) {
	if rapid.Bool().Draw(t, "with text") {
		q.Text = rapid.SampledFrom([]string{
			"a", "abc", "exit code 3", "code", "-1", "line\n", "\n", "\"q", "<é", "b_1", "long long", "more3", "nowhere", "zz", "UPPER", "\ufffd",
		}).Draw(t, "text")
	}
	if rapid.IntRange(0, 3).Draw(t, "with progdef") == 0 {
		q.Progdef = rapid.SampledFrom([]string{"a", "abc", "b_1", "more3", "none"}).Draw(t, "queried progdef")
	}
	if rapid.IntRange(0, 3).Draw(t, "with user") == 0 {
		q.User = rapid.SampledFrom([]string{"ada", "ad", "nobody"}).Draw(t, "user")
	}
	if rapid.IntRange(0, 3).Draw(t, "with states") == 0 {
		q.States = rapid.SliceOfN(rapid.SampledFrom(States()), 1, 3).Draw(t, "states")
	}
	moment := func(name string) (at time.Time) {
		if rapid.IntRange(0, 3).Draw(t, "with "+name) == 0 {
			at = time.Unix(1_790_000_000, 0).UTC().Add(rapid.SampledFrom(someTimes).Draw(t, name))
		}
		return at
	}
	q.Since, q.Until = moment("since"), moment("until")
	if !q.Since.IsZero() && !q.Since.Before(q.Until) {
		q.Until = time.Time{}
	}
	q.Limit = rapid.IntRange(1, 9).Draw(t, "limit")
	return q
}

// A search with columns lists the same flows as one that reads everything, in the same order, in histories of which
// some segments are of the previous version.
func TestColumnsChangeNoResult(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf()
		var all []contract.FlowStatus
		for range rapid.IntRange(1, 5).Draw(t, "segments") {
			s.old = rapid.IntRange(0, 4).Draw(t, "old") == 0
			var records []contract.FlowStatus
			for range rapid.IntRange(1, 8).Draw(t, "records") {
				records = append(records, drawStatus(t, len(all)+len(records)))
			}
			s.store(t, records...)
			all = append(all, records...)
		}
		for range 5 {
			q := drawQuery(t)
			var want []string
			for _, r := range slices.Backward(all) {
				stored, err := newRecord(r)
				if err != nil {
					t.Fatal(err)
				}
				if r, err = decode(stored.line); err != nil {
					t.Fatal(err)
				}
				if Matches(q, r) {
					want = append(want, r.Flow)
				}
			}
			if got := s.walk(t, q, nil); !slices.Equal(got, want) {
				t.Fatalf("%+v: got %v, want %v", q, got, want)
			}
		}
	})
}

// Nothing is read for a search without a match, and only one segment for a match in one.
func TestColumnsSkipSegments(t *testing.T) {
	s := newShelf()
	all := samples(10 * recordsLimit)
	for i := range all {
		if i%3 > 0 {
			all[i].Owner = fmt.Sprint("user", i%300)
		}
	}
	all[700].Owner, all[700].Reason = "zoe", "the flux capacitor is empty"
	s.store(t, all...)
	for _, c := range []struct {
		query        contract.FlowQuery
		flows, reads int
	}{
		{contract.FlowQuery{Text: "nowhere at all"}, 0, 0},
		{contract.FlowQuery{Text: "flux"}, 1, 1},
		{contract.FlowQuery{Text: "capacitor is"}, 1, 1},
		{contract.FlowQuery{Text: all[3000].Flow[2:]}, 1, 1},
		{contract.FlowQuery{Text: "orders-0000000g"}, 0, 0},
		{contract.FlowQuery{User: "zoe"}, 1, 1},
		{contract.FlowQuery{User: "zo"}, 0, 0},
		{contract.FlowQuery{User: "user7", Text: "flux"}, 0, 0},
		{contract.FlowQuery{Progdef: "scor"}, 0, 0},
		{contract.FlowQuery{Progdef: "score", States: []contract.Type{contract.TypeFlowRejected}}, 0, 0},
	} {
		s.reads = 0
		s.cache.clear()
		if got := s.walk(t, c.query, nil); len(got) != c.flows || s.reads != c.reads {
			t.Errorf("%+v: %d flows after %d reads, want %d after %d", c.query, len(got), s.reads, c.flows, c.reads)
		}
	}
}

// Dictionaries may have as many values as there are records.
func TestColumnsOfManyValues(t *testing.T) {
	for _, n := range []int{1, 2, 254, 255, 256, 257, recordsLimit} {
		s := newShelf()
		all := samples(n)
		for i := range all {
			all[i].Owner, all[i].Reason = fmt.Sprint("user", i), fmt.Sprintf("reason %d.", i)
			all[i].Jobs = map[string]contract.JobStatus{"a": {Progdef: fmt.Sprint("progdef", i)}}
		}
		s.store(t, all...)
		for i, r := range all {
			for _, q := range []contract.FlowQuery{{User: r.Owner}, {Text: r.Reason}, {Progdef: r.Jobs["a"].Progdef}, {Text: r.Flow}} {
				picked, ok := newPicker(q).pick(s.from(0)[0])
				if !ok || !picked[i] || slices.Contains(picked[:i], true) || slices.Contains(picked[i+1:], true) {
					t.Fatalf("%d values, %+v: %v, %v", n, q, picked, ok)
				}
			}
		}
	}
}

// goldenRecords are the flows in goldenColumns.
func goldenRecords() []contract.FlowStatus {
	at := time.Unix(1_790_000_000, 0).UTC()
	status := func(id, owner, message string, after time.Duration) contract.FlowStatus {
		return contract.FlowStatus{
			Flow: id, Phase: contract.TypeFlowCleaned, Verdict: contract.TypeFlowPanic, Owner: owner, Submitted: at.Add(after),
			Jobs:     map[string]contract.JobStatus{"a": {Progdef: "parse"}, "b": {Progdef: "score-" + owner}},
			Failures: []contract.JobFailure{{Failure: contract.Failure{Message: message}}},
		}
	}
	return []contract.FlowStatus{
		status("flow-1", "ada", "exit code 3", 0), status("flow-2", "bob", "no such file", time.Minute),
		status("flow-3", "ada", strings.Repeat("long", 5000), time.Hour),
	}
}

const goldenColumns = "ATMxwBoAfowAA9EBGBdmbG93LmNsZWFuZWQKZmxvdy5wYW5pYwEBAQIIA2FkYQNib2IBAgEpJ5gDGgVwYXJzZQlzY29yZS1hZGEJc2NvcmUtYm9iAgYCAQICAQMBAgEiIHwCGwxleGl0IGNvZGUgMwoNbm8gc3VjaCBmaWxlCgECABcVUGZsb3ctMQpmbG93LTIKZmxvdy0zCg=="

// Columns that are stored must stay readable.
func TestStoredColumnsAreReadable(t *testing.T) {
	records := goldenRecords()
	e := entry{summary: summarize(records)}
	if e.columns = parseColumns(goldenColumns, len(records)); e.columns == nil {
		t.Fatal("the columns are not parsed")
	}
	at := records[0].Submitted
	for _, c := range []struct {
		query contract.FlowQuery
		want  []bool
	}{
		{contract.FlowQuery{User: "ada"}, []bool{true, false, true}},
		{contract.FlowQuery{Progdef: "score-bob"}, []bool{false, true, false}},
		{contract.FlowQuery{States: []contract.Type{contract.TypeFlowPanic}}, []bool{true, true, true}},
		{contract.FlowQuery{States: []contract.Type{contract.TypeFlowCompleted}}, []bool{false, false, false}},
		{contract.FlowQuery{Text: "such file"}, []bool{false, true, true}}, // the last one's text is left out
		{contract.FlowQuery{Text: "flow-1"}, []bool{true, false, true}},
		{contract.FlowQuery{Since: at.Add(time.Second), Until: at.Add(2 * time.Minute)}, []bool{false, true, false}},
	} {
		if got, ok := newPicker(c.query).pick(e); !ok || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v", c.query, got, ok)
		}
	}
}

// Hostile texts do not fill the index, and are found all the same.
func TestColumnsAreBounded(t *testing.T) {
	hostile := samples(recordsLimit)
	for i := range hostile {
		hostile[i].Owner = noise(i, 300)
		hostile[i].Failures = nil
		for n := range 4 {
			hostile[i].Failures = append(hostile[i].Failures, contract.JobFailure{Failure: contract.Failure{Message: noise(100*i+n, 900+8000*(i%2))}})
		}
		for n := range 100 {
			hostile[i].Jobs[fmt.Sprint(n)] = contract.JobStatus{Progdef: fmt.Sprintf("p%d-%d", i, n)}
		}
	}
	many := samples(recordsLimit)
	for i := range many {
		many[i].Failures = []contract.JobFailure{{Failure: contract.Failure{Message: noise(i, 200)}}}
	}
	s := newShelf()
	s.store(t, many...)
	s.store(t, hostile...)
	for _, e := range s.from(0) {
		if len(e.columns) == 0 || len(e.columns) > columnsLimit(e.records) {
			t.Errorf("%d bytes for %d records", len(e.columns), e.records)
		}
	}
	needle := hostile[5].Failures[2].Message[300:330]
	for q, want := range map[*contract.FlowQuery]string{
		{Text: needle}: hostile[5].Flow, {Progdef: "p9-99"}: hostile[9].Flow, {Text: noise(7, 200)[100:130]}: many[7].Flow,
	} {
		if got := s.walk(t, *q, nil); len(got) != 1 || got[0] != want {
			t.Errorf("%+v: %v", q, got)
		}
	}
	distinct := make([]contract.FlowStatus, recordsLimit)
	for i := range distinct {
		distinct[i] = contract.FlowStatus{Flow: strings.ToLower(fmt.Sprintf("x%060x", i)), Jobs: map[string]contract.JobStatus{}}
		for n := range setLimit {
			distinct[i].Jobs[fmt.Sprint(n)] = contract.JobStatus{Progdef: fmt.Sprintf("p%x-%x", i*7919%65536*65537, n*31337)}
		}
	}
	if c := newColumns(distinct, span{}); len(c) > columnsLimit(recordsLimit) {
		t.Errorf("%d bytes", len(c))
	}
}

// A few long texts, such as the problems of a rejected flow, are in the columns.
func TestColumnsHaveSomeLongTexts(t *testing.T) {
	s := newShelf()
	all := samples(256)
	for i := range 4 {
		for n := range 80 {
			all[60*i].Problems = append(all[60*i].Problems, problem.Problem{Message: fmt.Sprintf("nodes/n%d is not connected; %s", n, noise(n%5, 30))})
		}
	}
	s.store(t, all...)
	for text, reads := range map[string]int{"n79 is not": 1, "n80 is not": 0, "nowhere at all": 0} {
		s.reads = 0
		s.cache.clear()
		if s.walk(t, contract.FlowQuery{Text: text}, nil); s.reads != reads {
			t.Errorf("%s: %d reads, want %d", text, s.reads, reads)
		}
	}
}

// Segments whose columns are of a later version, or damaged, are read.
func TestUnreadableColumnsAreIgnored(t *testing.T) {
	for name, header := range map[string]func(string) string{
		"not base64":      func(string) string { return "%" },
		"a later version": func(string) string { return base64.StdEncoding.EncodeToString([]byte{columnsVersion + 1, 0, 0, 0}) },
		"cut":             func(h string) string { return h[:len(h)/2/4*4] },
		"too short":       func(string) string { return base64.StdEncoding.EncodeToString([]byte{columnsVersion}) },
		"too long":        func(string) string { return strings.Repeat("A", 1<<20) },
	} {
		s := newShelf()
		messages, err := s.packer.pack(samples(20), 1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		m := messages[0]
		m.Header.Set(headerColumns, header(m.Header.Get(headerColumns)))
		s.messages[1] = m
		s.add(1, m.Header)
		for _, q := range []contract.FlowQuery{{Text: "exit code"}, {Text: "orders-"}, {States: []contract.Type{contract.TypeFlowPanic}}} {
			if got := s.walk(t, q, nil); len(got) == 0 {
				t.Errorf("%s: nothing found for %+v", name, q)
			}
		}
	}
}

// Whatever the columns contain, picking ends, and says something about each record or nothing at all.
func FuzzPick(f *testing.F) {
	records := samples(5)
	s := summarize(records)
	f.Add([]byte(s.columns), "exit code", "score", "ada")
	f.Add([]byte(s.columns), "orders-1", "", "")
	f.Add([]byte{columnsVersion, 1, 0, 1, 0, 1, 0}, "a", "b", "c")
	f.Fuzz(func(t *testing.T, raw []byte, text, progdef, user string) {
		e := entry{summary: s}
		e.columns = parseColumns(base64.StdEncoding.EncodeToString(raw), e.records)
		p := newPicker(contract.FlowQuery{
			Text: text, Progdef: progdef, User: user, Since: s.submitted.from, States: []contract.Type{contract.TypeFlowPanic},
		})
		if picked, ok := p.pick(e); ok && len(picked) != e.records {
			t.Errorf("%d records of %d", len(picked), e.records)
		}
	})
}

func BenchmarkColumns(b *testing.B) {
	records := samples(256)
	s := summarize(records)
	for b.Loop() {
		newColumns(records, s.submitted)
	}
	b.ReportMetric(float64(len(s.columns))/float64(len(records)), "B/flow")
}
