package aggregator

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/script"
	"github.com/dagyo/dagyo/pkg/service/core"
	"github.com/dagyo/dagyo/pkg/trace"
)

func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		return newMachine(t).do
	})
}

// machine feeds a state with the events that script lines stand for, and prints what is decided.
// Verdicts are folded at once, as they would come back from EVENTS.
type machine struct {
	t   *testing.T
	s   *State
	seq uint64
	now time.Time
	by  contract.Sender // of the next event
	// of is the trace of all events, spans those of the flows that have ended.
	of    trace.Context
	spans []trace.Span
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, s: NewState(DefaultLimits()), now: time.Unix(1_000_000, 0).UTC()}
	m.restart()
	return m
}

func (m *machine) do(line string) string {
	f := strings.Fields(line)
	rest := func(n int) string { return strings.Join(f[min(n, len(f)):], " ") }
	switch f[0] {
	case "as", "operator": // as alice cancel f: the subject of the event ends in by.alice
		m.by = contract.Sender{Name: f[1], Operator: f[0] == "operator"}
		defer func() { m.by = contract.Sender{} }()
		return m.do(rest(2))
	case "of": // as x1 of greet-r1 started f a x1: the subject ends in by.greet-r1.x1
		m.by.Mailbox = f[1]
		return m.do(rest(2))
	case "tick":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			m.t.Fatal(err)
		}
		return m.tick(d, f[2:])
	case "jump": // the process did not run meanwhile
		d, _ := time.ParseDuration(f[1])
		m.now = m.now.Add(d)
		m.feed(contract.Event{Type: core.FactMissed, With: d})
		return m.feed(contract.Event{Type: contract.TypeTick, Time: m.now})
	case "late": // the process got its turn late
		return m.feed(contract.Event{Type: core.FactLate, With: 30 * time.Millisecond})
	case "restart": // a new process replays
		return m.restart()
	case "validated":
		return m.event(contract.TypeFlowValidated, f[1], &contract.FlowValidated{Owner: rest(2)})
	case "planned":
		return m.event(contract.TypeFlowPlanned, f[1], m.planned(f[1], f[2:]))
	case "spawned":
		return m.event(contract.TypeFlowSpawned, f[1], &contract.FlowSpawned{})
	case "refused": // by the validator
		return m.feed(contract.Event{
			Type: contract.TypeFlowRejected, Subject: f[1], Source: contract.Source("validator"), Data: &contract.FlowRejected{},
		})
	case "rejected":
		return m.event(contract.TypeFlowRejected, f[1], &contract.FlowRejected{Problems: problem.List{}})
	case "submit":
		return m.event(contract.TypeFlowSubmit, f[1], nil)
	case "deadletter":
		return m.event(contract.TypeDeadLetter, "deadletter", &contract.DeadLetter{Sequence: m.s.submitted.of[f[1]].Seq})
	case "unanswered":
		return strings.Join(slices.Sorted(maps.Keys(m.s.submitted.of)), " ")
	case "status":
		s, _ := m.s.status(f[1])
		if b, waits := m.s.submitted.of[f[1]]; waits && s.Flow == "" {
			s = b.status(f[1])
		}
		return fmt.Sprintf("phase=%s verdict=%s submitted=%s updated=%s", s.Phase, s.Verdict,
			m.since(s.Submitted), m.since(s.Updated))
	case "cleaned":
		read := map[string]contract.OutputCount{}
		for output, n := range counts(f[2:]).Outputs {
			read[output] = contract.OutputCount{Count: n}
		}
		return m.event(contract.TypeFlowCleaned, f[1], &contract.FlowCleaned{Read: read})
	case "edges":
		s, _ := m.s.status(f[1])
		body, _ := json.Marshal(s.Edges)
		return string(body)
	case "cancel":
		return m.event(contract.TypeFlowCancel, f[1], &contract.FlowCancel{Flow: f[1], Reason: rest(2)})
	case "started":
		return m.event(contract.TypeJobStarted, f[1], &contract.JobStarted{Job: f[2], Executor: f[3]})
	case "done", "stopped":
		return m.event(contract.TypeJobDone, f[1], &contract.JobDone{
			Job: f[2], Executor: f[3], Stopped: f[0] == "stopped", PortCounts: counts(f[4:]),
		})
	case "panic":
		return m.event(contract.TypeJobPanic, f[1], &contract.JobPanic{
			Job: f[2], Executor: f[3], Failure: contract.Failure{Kind: contract.Kind(f[4]), Message: rest(5)},
		})
	case "exited":
		code, _ := strconv.Atoi(f[3])
		return m.event(contract.TypeExecutorExited, f[1], &contract.ExecutorExited{
			Executor: f[1], Progdef: f[2], Revision: "r1", Code: code, Reason: contract.PlainEnding(code, ""), Detail: rest(4),
		})
	case "runs":
		return m.event(contract.TypeExecutorStarted, f[1], &contract.ExecutorStarted{Executor: f[1], Progdef: f[2], Revision: "r1"})
	case "draining":
		return m.event(contract.TypeExecutorDraining, f[1], &contract.ExecutorDraining{Executor: f[1]})
	case "beat":
		m.beat([]string{f[1] + "." + f[2]})
		return ""
	case "beats": // as x1 beats f a
		m.fold(contract.Event{Type: factBeat, With: Beat{Flow: f[1], Job: f[2], By: m.by.Name, For: 10 * time.Second}})
		return ""
	case "client": // f c1, or f c1 released
		b := ClientBeat{Flow: f[1], Client: f[2], By: m.by.Name, For: 45 * time.Second, Released: len(f) > 3}
		return m.feed(contract.Event{Type: factClient, Time: m.now, With: b})
	case "traffic": // f 12: the readers have read so many records; f -1: that is not known
		n, _ := strconv.ParseInt(f[2], 10, 64)
		return m.feed(Measured([]Traffic{{f[1], n}}, m.now))
	case "ahead": // f 12 2m: the same, at a time that the events have not come to
		n, _ := strconv.ParseInt(f[2], 10, 64)
		d, _ := time.ParseDuration(f[3])
		Evolve(m.s, Measured([]Traffic{{f[1], n}}, m.now.Add(d)))
		return m.decide(Open(m.s))
	case "due": // the flows whose edges are checked next
		var out []string
		for _, x := range m.s.dueTraffic(m.now) {
			out = append(out, x.flow)
		}
		return strings.Join(out, " ")
	case "reload": // a new process starts from a snapshot
		raw, err := snapshots().Encode(m.s)
		if err != nil {
			m.t.Fatal(err)
		}
		if m.s = NewState(DefaultLimits()); decode(m.s, raw) != nil {
			m.t.Fatal("the snapshot cannot be read")
		}
		return m.restart()
	case "gone":
		return m.feed(contract.Event{Type: factGone, Time: m.now, With: Gone{Flow: f[1], Job: f[2]}})
	case "state":
		return fmt.Sprintf("runs=%d cancels=%d", len(m.s.runs), len(m.s.cancels.of))
	}
	m.t.Fatalf("unknown command %q", line)
	return ""
}

// planned reads "a:greet b:greet a.out>b.in deadline=10m". An edge from a.panic is written by us, and a
// job like r:greet! is a reporting one.
func (m *machine) planned(flow string, args []string) *contract.FlowPlanned {
	p := &contract.FlowPlanned{Stream: "EDGES-0", Progdefs: map[string]progdef.Pinned{}, Deadline: m.now.Add(time.Hour)}
	for _, a := range args {
		if d, ok := strings.CutPrefix(a, "deadline="); ok {
			wait, _ := time.ParseDuration(d)
			p.Deadline = m.now.Add(wait)
		} else if from, to, ok := strings.Cut(a, ">"); ok {
			p.Edges = append(p.Edges, contract.PlannedEdge{From: from, To: to})
			if node, wired := strings.CutSuffix(from, ".panic"); wired {
				p.Panics = map[string]contract.Address{node: {Subject: to}}
			}
		} else {
			job, prog, _ := strings.Cut(a, ":")
			prog, last := strings.CutSuffix(prog, "!")
			j := contract.Job{Job: job, Progdef: prog, Revision: "r1", Stop: contract.StopSubject("0", flow)}
			if last {
				j.Stop = contract.LastStopSubject("0", flow)
			}
			p.Jobs = append(p.Jobs, j)
			p.Progdefs[prog] = progdef.Pinned{Revision: "r1", Document: progdef.Document{Health: progdef.Health{
				Interval: document.Duration(2 * time.Second), Timeout: document.Duration(10 * time.Second),
			}}}
		}
	}
	return p
}

// counts reads "in.name=26/100 out.greeting=26/200 early.name".
func counts(args []string) contract.PortCounts {
	c := contract.PortCounts{Inputs: map[string]contract.Count{}, Outputs: map[string]contract.Count{}}
	for _, a := range args {
		side, rest, _ := strings.Cut(a, ".")
		port, n, _ := strings.Cut(rest, "=")
		var count contract.Count
		_, _ = fmt.Sscanf(n, "%d/%d", &count.Records, &count.Bytes)
		switch side {
		case "in":
			c.Inputs[port] = count
		case "out", "outputs":
			c.Outputs[port] = count
		case "early":
			c.ClosedEarly = append(c.ClosedEarly, port)
		}
	}
	return c
}

func (m *machine) event(t contract.Type, subject string, data any) string {
	return m.feed(contract.Event{
		Type: t, Subject: subject, Source: "/test", Time: m.now, Data: data, By: m.by.Name, Mailbox: m.by.Mailbox, Operator: m.by.Operator,
	})
}

// since is how long after the start a time is, "-" if it is not set.
func (m *machine) since(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Sub(time.Unix(1_000_000, 0)).String()
}

// tick lets time pass in steps, and looks for silent jobs at each. Jobs such as f.a beat every other second.
func (m *machine) tick(d time.Duration, beating []string) string {
	const step, beats = 50 * time.Millisecond, 2 * time.Second
	var out []string
	due := m.now
	for end := m.now.Add(d); m.now.Before(end); {
		if !m.now.Before(due) {
			due = due.Add(beats)
			m.beat(beating)
		}
		m.now = m.now.Add(min(step, end.Sub(m.now)))
		m.fold(contract.Event{Type: contract.TypeTick})
		if s := m.feed(contract.Event{Type: factPulse, Time: m.now}); s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, "\n")
}

func (m *machine) beat(jobs []string) {
	for _, name := range jobs {
		flow, job, _ := strings.Cut(name, ".")
		m.fold(contract.Event{Type: factBeat, With: Beat{Flow: flow, Job: job, For: 10 * time.Second}})
	}
}

// fold folds an event, at the next place in EVENTS, or a fact.
func (m *machine) fold(e contract.Event) []string {
	if _, stored := contract.Lookup(e.Type); stored {
		m.seq++
		e.Seq = m.seq
	}
	e.Time, e.Trace = m.now, m.of
	m.spans = append(m.spans, spans(m.s, e)...)
	return Evolve(m.s, e)
}

// feed folds an event, and what is decided.
func (m *machine) feed(e contract.Event) string {
	return m.decide(append(m.fold(e), Open(m.s)...)) // as if the time of each had come
}

// decide folds what is decided until there is nothing to do.
func (m *machine) decide(touched []string) string {
	var out []string
	for len(touched) > 0 {
		effects, _ := Decide(m.s, touched[0], m.now)
		touched = touched[1:]
		for _, x := range effects {
			if line := printed(x); line != "" {
				out = append(out, line)
			}
			touched = append(touched, m.fold(x)...)
		}
	}
	return strings.Join(out, "\n")
}

// printed is the line of an effect, "" for acts that nobody sees.
func printed(x contract.Event) string {
	if x.Type == actListen || x.Type == actLose || x.Type == actDoubt || x.Type == actAbandon {
		return ""
	}
	line := string(x.Type) + " " + x.Subject
	if x.Data != nil {
		body, _ := json.Marshal(x.Data)
		line += " " + string(body)
	}
	return line
}

// restart begins to listen, as a new process that has folded the same events.
func (m *machine) restart() string {
	m.fold(contract.Event{Type: factListening})
	m.fold(contract.Event{Type: contract.TypeTick})
	return ""
}

// reload starts a new process from a snapshot.
func (m *machine) reload() {
	m.t.Helper()
	raw, err := snapshots().Encode(m.s)
	if err == nil {
		m.s = NewState(DefaultLimits())
		err = decode(m.s, raw)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// What is counted of failed starts goes with the flows that wait for them, also behind a restart.
func TestFailedStartsAreForgotten(t *testing.T) {
	m := newMachine(t)
	for _, line := range []string{
		"validated f", "planned f a:greet b:shout", "spawned f", "validated g", "planned g a:greet", "spawned g",
		"runs x1 greet", "exited x1 greet 3", "runs x2 shout", "exited x2 shout 3",
	} {
		m.do(line)
	}
	m.reload()
	want := map[string]map[string]int{"f": {"greet.r1": 1, "shout.r1": 1}, "g": {"greet.r1": 1}}
	if got := m.s.failedStarts(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, line := range []string{"started g a x3", "done g a x3", "cancel f"} {
		m.do(line)
	}
	if len(m.s.runs)+len(m.s.mailboxes) > 0 {
		t.Errorf("%d runs, mailboxes %v", len(m.s.runs), m.s.mailboxes)
	}
}

// What was read between the decision on a stall and its event in EVENTS is not forgotten.
func TestRecordsReadWhileAStallIsPublished(t *testing.T) {
	m := newMachine(t)
	for _, line := range []string{
		"validated f", "planned f a:source b:greet a.out>b.in", "spawned f", "started f a x1", "started f b x2",
		"traffic f 5", "tick 59s f.a f.b", "traffic f 5", "tick 1s f.a f.b",
	} {
		m.do(line)
	}
	m.fold(Measured([]Traffic{{"f", 5}}, m.now))
	stalled, _ := Decide(m.s, "f", m.now)
	m.now = m.now.Add(time.Second)
	m.fold(Measured([]Traffic{{"f", 6}}, m.now))
	if got := m.decide(m.fold(stalled[0])); !strings.Contains(got, `{"stalled":false,`) || !strings.Contains(got, `"records":6`) {
		t.Errorf("decided %s", got)
	}
}
