package report_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

// golden compares a text with testdata/<name>.txt; `go test -update` rewrites the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite testdata")
	flag.Parse()
	os.Exit(m.Run())
}

func count(records, bytes int64) contract.Count {
	return contract.Count{Records: records, Bytes: bytes}
}

func sum(records, bytes int64) *contract.Count {
	n := count(records, bytes)
	return &n
}

func edges() []contract.EdgeCount {
	return []contract.EdgeCount{
		{From: "names.name", To: "hello.name", Sent: sum(26, 133), Received: sum(3, 13),
			ClosedEarly: true},
		{From: "hello.greeting", To: "outputs.greetings", Sent: sum(1_000_000, 12_345_678)},
	}
}

func verdicts() map[string]contract.Event {
	record := int64(12)
	events := map[contract.Type]any{
		contract.TypeFlowCompleted: &contract.FlowCompleted{
			Duration: document.Duration(1234567 * time.Microsecond), Jobs: 1, Edges: edges(),
		},
		contract.TypeFlowPanic: &contract.FlowPanic{
			Duration: document.Duration(90 * time.Second),
			Cause: contract.JobFailure{
				Job: "hello", Progdef: "greet", Executor: "greet-1",
				Failure: contract.Failure{
					Kind: contract.KindDeserialization, Message: "not \x1b[31mUTF-8", Port: "name",
					Record: &record, Detail: "first line\n\tsecond line\r\n",
				},
			},
			Others: []contract.JobFailure{{Failure: contract.Failure{
				Kind: contract.KindDeadline, Message: "too late",
			}}},
			Jobs: map[string]contract.JobSummary{
				"hello": {State: contract.JobPanicked}, "names": {State: contract.JobEnded},
			},
			Edges: edges(),
		},
		contract.TypeFlowCancelled: &contract.FlowCancelled{
			Duration: document.Duration(time.Millisecond), By: "ada", Source: "/dagyo/cli/ada", Reason: "enough",
			Jobs: map[string]contract.JobSummary{"hello": {State: contract.JobStopped}},
		},
		contract.TypeFlowRejected: &contract.FlowRejected{Problems: problem.List{
			{Code: problem.NoSource, Pointer: "/nodes/hello", Message: "no source", Hint: "add an edge"},
			{Code: problem.NotJSON, Message: "not JSON"},
		}},
	}
	out := make(map[string]contract.Event)
	for t, data := range events {
		out[string(t)] = contract.Event{Type: t, Subject: "greet-1", Data: data}
	}
	return out
}

func TestVerdicts(t *testing.T) {
	for name, e := range verdicts() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			report.Verdict(&b, 0, e, map[string]contract.OutputCount{"greetings": {Count: count(7, 70)}})
			golden(t, name, b.String())
		})
	}
}

func TestFlows(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	running := contract.FlowStatus{
		Flow: "running", Phase: contract.TypeJobStarted, Submitted: now.Add(-time.Minute),
		Waits: []contract.ClientWait{
			{Input: "words"}, {Output: "loud", Unread: 7_200_000}, {Output: "quiet"}, {Output: "slow", Unread: 12, Attached: true},
		},
		Edges: []contract.EdgeCount{
			{From: "inputs.words", To: "hello.name", Received: sum(12, 60)}, {From: "hello.greeting", To: "outputs.loud"},
		},
		Deadline: now.Add(time.Hour),
		Jobs: map[string]contract.JobStatus{
			"hello": {Progdef: "greet", JobSummary: contract.JobSummary{
				State: contract.JobRunning, Executor: "greet-1"}},
			"names": {Progdef: "source", JobSummary: contract.JobSummary{State: contract.JobEnded},
				PortCounts: contract.PortCounts{
					Outputs: map[string]contract.Count{"name": count(26, 133)},
				}},
		},
	}
	queued := contract.FlowStatus{
		Flow: "queued", Phase: contract.TypeFlowQueued, Submitted: now.Add(-time.Second),
		Queued: &contract.FlowQueued{Place: 2, Behind: []string{"first"}, Shortage: []contract.Shortage{
			{Progdef: "greet", What: "slots", Needed: 5, Free: 1, Limit: 10, HeldBy: []string{"loud"}},
			{What: "executors", Needed: 1, Free: 2, Kept: 2, Limit: 4},
		}},
	}
	unclaimed := contract.FlowStatus{
		Flow: "unclaimed", Phase: contract.TypeFlowSpawned, Submitted: now.Add(-time.Second),
		Queued: &contract.FlowQueued{Shortage: []contract.Shortage{
			{Progdef: "greet", What: "slots", Needed: 1, Limit: 10, Reason: "no machine has room"},
		}},
		Jobs: map[string]contract.JobStatus{
			"hello": {Progdef: "greet", JobSummary: contract.JobSummary{State: contract.JobWaiting}},
		},
	}
	stuck := contract.FlowStatus{
		Flow: "stuck", Phase: contract.TypeJobStarted, Submitted: now.Add(-time.Hour),
		Stalled: &contract.FlowStalled{
			Stalled: true, Since: now.Add(-2 * time.Minute), Records: 36, Blocking: []string{"hello"},
		},
		Edges: []contract.EdgeCount{
			{From: "names.name", To: "hello.name", Received: sum(36, 204), Unread: 8_388_608, Fill: 100, Waits: contract.SideWriter},
			{From: "hello.greeting", To: "outputs.greetings", Waits: contract.SideReader},
			{From: "inputs.more", To: "hello.more", Received: sum(1, 4), Unread: 100, Fill: 1},
		},
	}
	failed := contract.FlowStatus{
		Flow: "failed", Phase: contract.TypeFlowCleaned, Verdict: contract.TypeFlowPanic,
		Submitted: now.Add(-time.Hour), Duration: document.Duration(2 * time.Second),
		Failures: []contract.JobFailure{{Job: "hello", Failure: contract.Failure{
			Kind: contract.KindCrash, Message: "exit code 3",
		}}},
		Edges: edges(), Omitted: "jobs",
	}
	all := []contract.FlowStatus{queued, unclaimed, running, stuck, failed}
	var b bytes.Buffer
	table := report.NewFlowTable(&b, 0)
	var lines []contract.FlowLine
	for _, s := range all {
		lines = append(lines, history.Line(s))
	}
	table.Add(lines, now)
	table.Add(nil, now)
	table.End()
	for _, s := range all {
		b.WriteByte('\n')
		report.Flow(&b, 0, s, now)
	}
	golden(t, "flows", b.String())
}

func TestProgdefs(t *testing.T) {
	var all []contract.Published
	for _, s := range std.Standard() {
		doc, problems := progdef.Check(s.Document, document.DefaultLimits())
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		all = append(all, contract.Published{Pinned: progdef.Pinned{Revision: "0123456789abcdef", Document: doc}})
	}
	var b bytes.Buffer
	report.Progdefs(&b, all)
	all[0].By, all[0].At = "ada", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	report.Progdef(&b, all[0], []contract.Capacity{
		{Progdef: "assert", Revision: "0123456789abcdef", Current: true, Executors: 3, Running: 7, Waiting: 1},
		{
			Progdef: "assert", Revision: "fedcba9876543210", Draining: 1, Running: 2, Failed: 2,
			Reason: "exited with code 3: it had not connected to NATS", Detail: "no such module\x1b[31m\nat line 3\n",
			Retry: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
		{Progdef: "assert", Revision: "aaaaaaaaaaaaaaaa", Reason: "no machine has room"},
	})
	report.Progdef(&b, all[2], nil)
	golden(t, "progdefs", b.String())
}

// Every event has a line, whatever it lacks, and none can move the cursor.
func TestLines(t *testing.T) {
	var b strings.Builder
	for _, entry := range contract.Table {
		empty := report.Line(contract.Event{Type: entry.Type, Data: entry.New()})
		b.WriteString(string(entry.Type) + ": " + empty + "\n")
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, d := range []contract.FlowStalled{
		{Stalled: true, Since: now.Add(-61 * time.Second), Blocking: []string{"hello", "outputs.o"}, Edges: []contract.EdgeCount{
			{From: "a.out", To: "hello.in", Waits: contract.SideWriter}, {From: "b.out", To: "outputs.o", Waits: contract.SideWriter},
			{From: "hello.out", To: "c.in", Waits: contract.SideReader},
		}},
		{Stalled: true, Since: now.Add(-61 * time.Second)},
		{Since: now.Add(-3 * time.Minute)},
	} {
		b.WriteString(report.Line(contract.Event{Type: contract.TypeFlowStalled, Time: now, Data: &d}) + "\n")
	}
	for name, e := range verdicts() {
		if line := report.Line(e); strings.ContainsAny(line, "\x1b\r\n") {
			t.Errorf("%s: %q", name, line)
		}
	}
	unreadable := contract.Event{Problems: problem.List{{Code: problem.NotJSON, Message: "broken"}}}
	b.WriteString(report.Line(unreadable) + "\n")
	golden(t, "lines", b.String())
}

func TestLongTablesAreCut(t *testing.T) {
	many := contract.FlowCompleted{Edges: make([]contract.EdgeCount, 1000)}
	var b bytes.Buffer
	report.Verdict(&b, 0, contract.Event{Data: &many}, nil)
	if n := strings.Count(b.String(), "\n"); n > 60 || !strings.Contains(b.String(), "… and 950 more") {
		t.Errorf("%d lines:\n%s", n, b.String())
	}
}

// The counts of edges stay on the screen, and a wide one shows whole names.
func TestProgressFitsTheColumns(t *testing.T) {
	const from, to = "a_node_with_a_long_name.output", "another_node_with_a_long_name.input"
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := report.NewProgress("f", now)
	p.Apply(contract.Event{Type: contract.TypeFlowPlanned, Data: &contract.FlowPlanned{
		Edges: []contract.PlannedEdge{{From: from, To: to}},
	}})
	for columns, whole := range map[int]bool{55: false, 80: false, 106: false, 107: true, 200: true} {
		line := p.Lines(now, columns, 9)[1]
		if n := utf8.RuneCountInString(line); n >= columns || !strings.HasSuffix(line, " 0 records            0/s") {
			t.Errorf("%d columns: %d in %q", columns, n, line)
		}
		if got := strings.Contains(line, from+" → "+to); got != whole {
			t.Errorf("%d columns: %q", columns, line)
		}
	}
}

func TestProgress(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := report.NewProgress("f", now)
	var b strings.Builder
	step := func(after time.Duration) {
		b.WriteString(strings.Join(p.Lines(now.Add(after), 80, 100), "\n") + "\n\n")
	}
	step(0)
	p.Consumed("credit.f.0", 5) // nobody knows the edge yet
	planned := contract.FlowPlanned{
		Jobs:  []contract.Job{{Job: "a"}, {Job: "b"}},
		Edges: []contract.PlannedEdge{{From: "a.out", To: "b.in", Credit: "credit.f.0"}, {From: "const", To: "b.other"}},
	}
	p.Apply(contract.Event{Type: contract.TypeFlowPlanned, Data: &planned})
	p.Apply(contract.Event{Type: contract.TypeFlowQueued, Data: &contract.FlowQueued{Place: 1}})
	step(time.Second)
	p.Apply(contract.Event{Type: contract.TypeFlowSpawned, Data: &contract.FlowSpawned{}})
	p.Apply(contract.Event{Type: contract.TypeJobStarted, Data: &contract.JobStarted{Job: "a"}})
	p.Consumed("credit.f.0", 1000)
	p.Consumed("credit.f.0", 900) // late
	p.Sample(now.Add(2 * time.Second))
	step(2 * time.Second)
	p.Consumed("credit.f.0", 3000)
	p.Sample(now.Add(4 * time.Second))
	p.Apply(contract.Event{Type: contract.TypeJobDone, Data: &contract.JobDone{Job: "a"}})
	step(100 * time.Second)
	golden(t, "progress", b.String())
}

func TestMoved(t *testing.T) {
	began := time.Unix(1_000_000, 0)
	p := report.NewProgress("f", began)
	edges := make([]contract.PlannedEdge, 5)
	for i := range edges {
		edges[i] = contract.PlannedEdge{From: fmt.Sprintf("a%d.out", i), To: "b.in", Credit: fmt.Sprint("credit.", i)}
	}
	p.Apply(contract.Event{Type: contract.TypeFlowPlanned, Data: &contract.FlowPlanned{Edges: edges}})
	p.Consumed("credit.1", 10)
	for i, want := range []string{"a1.out → b.in 10 records (2/s)", ""} {
		if got := p.Moved(began.Add(time.Duration(i+1) * 5 * time.Second)); got != want {
			t.Errorf("moved %q, want %q", got, want)
		}
	}
	for i := range edges {
		p.Consumed(fmt.Sprint("credit.", i), 1000)
	}
	if got := p.Moved(began.Add(15 * time.Second)); !strings.HasSuffix(got, "a2.out → b.in 1000 records (200/s), and 2 more edges") {
		t.Errorf("moved %q", got)
	}
}

func TestTruncate(t *testing.T) {
	for _, c := range []struct {
		line  string
		width int
		want  string
	}{
		{"short", 80, "short"}, {"ääääää", 4, "ää…"}, {"exact", 5, "exa…"}, {"x", 0, "x"},
	} {
		if got := report.Truncate(c.line, c.width); got != c.want {
			t.Errorf("%q in %d columns is %q, want %q", c.line, c.width, got, c.want)
		}
	}
}

// In a terminal the names of edges are shortened so that no line wraps; elsewhere they are whole.
func TestNamesOfEdgesFitTheTerminal(t *testing.T) {
	edges := []contract.EdgeCount{
		{From: "a_node_with_a_very_long_name.output", To: "another_node_with_a_long_name.input",
			Sent: sum(1_000_000, 12_345_678), Received: sum(3, 13), ClosedEarly: true},
		{From: "a.b", To: "outputs.日本語日本語日本語日本語日本語日本語", Sent: sum(26, 133), Received: sum(26, 133)},
		{From: "a.b", To: "c.d", Sent: sum(26, 133), Received: sum(26, 133)},
	}
	verdict := contract.Event{Type: contract.TypeFlowCompleted, Subject: "f", Data: &contract.FlowCompleted{Edges: edges}}
	status := contract.FlowStatus{Flow: "f", Verdict: contract.TypeFlowCompleted, Edges: edges}
	for _, columns := range []int{0, 60, 80, 120, 200} {
		var b bytes.Buffer
		report.Verdict(&b, columns, verdict, nil)
		report.Flow(&b, columns, status, time.Time{})
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if columns > 0 && report.Truncate(line, columns) != line {
				t.Errorf("%d columns: %q wraps", columns, line)
			}
			if !utf8.ValidString(line) {
				t.Errorf("%d columns: %q is not UTF-8", columns, line)
			}
		}
		whole := strings.Contains(b.String(), edges[0].From+" → "+edges[0].To)
		if want := columns == 0 || columns == 200; whole != want {
			t.Errorf("%d columns: whole names: %v, want %v\n%s", columns, whole, want, b.String())
		}
		if !strings.Contains(b.String(), "  a.b → c.d ") {
			t.Errorf("%d columns: a short name is cut\n%s", columns, b.String())
		}
		if columns == 80 {
			golden(t, "narrow", b.String())
		}
	}
}

// Rows of flows are cut in a terminal only; each is one line.
func TestMessagesOfFlowsFitTheTerminal(t *testing.T) {
	message := "job a: crash: \x1b[31mfirst\nsecond\u0085 line that goes on and on, " + strings.Repeat("日本", 20) + ", to its end"
	line := contract.FlowLine{Flow: "f", Verdict: contract.TypeFlowPanic, Message: message}
	for columns, want := range map[int]string{
		0:   `job a: crash: \x1b[31mfirst\nsecond\u0085 line that goes on and on, ` + strings.Repeat("日本", 20) + ", to its end\n",
		80:  "first\\n…\n",
		120: "…\n",
	} {
		var b bytes.Buffer
		table := report.NewFlowTable(&b, columns)
		table.Add([]contract.FlowLine{line}, time.Time{})
		if got := b.String(); !strings.HasSuffix(got, want) || strings.Count(got, "\n") != 2 {
			t.Errorf("%d columns:\n%s", columns, got)
		}
	}
}
