package core

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/trace"
)

// A toy is a service that answers each valid flow with a plan, and gives up flows of a certain age.
type toy struct {
	open map[string]time.Time
	acts []string
}

const actNote contract.Type = "act.note"

func toyLogic() Logic[*toy] {
	return Logic[*toy]{
		Name:    "toy",
		Folds:   []contract.Type{contract.TypeFlowValidated, contract.TypeFlowPlanned, contract.TypeFlowCleaned},
		Answers: []contract.Type{contract.TypeFlowValidated},
		Evolve: func(s *toy, e contract.Event) []string {
			switch e.Type {
			case contract.TypeFlowValidated:
				if e.Subject == "poison" {
					panic("no such flow")
				}
				s.open[e.Subject] = e.Time
			case contract.TypeFlowPlanned, contract.TypeFlowCleaned:
				delete(s.open, e.Subject)
			case actNote:
				s.acts = append(s.acts, e.Subject)
				return nil
			}
			return []string{e.Subject}
		},
		Decide: func(s *toy, key string, now time.Time) ([]contract.Event, time.Time) {
			since, open := s.open[key]
			switch {
			case !open:
				return nil, time.Time{}
			case strings.HasPrefix(key, "slow") && now.Before(since.Add(time.Minute)):
				return nil, since.Add(time.Minute)
			}
			return []contract.Event{
				{Type: actNote, Subject: key},
				{Type: contract.TypeFlowPlanned, Subject: key, Data: &contract.FlowPlanned{}},
			}, time.Time{}
		},
		Open: func(s *toy) (keys []string) {
			for flow := range s.open {
				keys = append(keys, flow)
			}
			slices.Sort(keys)
			return keys
		},
	}
}

// A bench is a core under test, and the events passed to it.
type bench struct {
	t *testing.T
	*Core[*toy]
	seq uint64
	now time.Time
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, now: time.Unix(1000, 0).UTC()}
	b.Core = New(toyLogic(), Limits{Workers: 64, MaxAttempts: 2}, &toy{open: make(map[string]time.Time)}, func(contract.Event, string) {})
	return b
}

func (b *bench) event(t contract.Type, flow string) {
	b.seq++
	e := contract.Event{Type: t, Subject: flow, Seq: b.seq}
	b.Fold(&event.Stored{Place: event.Place{Seq: b.seq, At: b.now}, Subject: string(t) + "." + flow, Type: t, Event: e})
}

// tasks starts the tasks that are ready, and names their effects.
func (b *bench) tasks() ([]*Task, string) {
	all := b.Tasks()
	var names []string
	for _, f := range all {
		var effects []string
		for _, e := range f.effects {
			effects = append(effects, string(e.Type)+" "+e.Subject)
		}
		names = append(names, strings.Join(effects, "+"))
	}
	return all, strings.Join(names, ", ")
}

func (b *bench) want(names string) []*Task {
	b.t.Helper()
	all, got := b.tasks()
	if got != names {
		b.t.Fatalf("began %q, want %q", got, names)
	}
	return all
}

func (b *bench) done(f *Task, seq uint64) {
	f.published = seq
	b.Finish(Result{task: f, effects: f.effects})
}

func TestEffectsAreInFlightUntilTheyAreFolded(t *testing.T) {
	b := newBench(t)
	b.event(contract.TypeFlowValidated, "f")
	b.want("") // not the leader
	b.Lead(true)
	f := b.want("act.note f+flow.planned f")[0]
	b.touch("f")
	b.want("") // it is in flight
	b.done(f, b.seq+1)
	b.touch("f")
	b.want("") // it is stored but not folded
	b.event(contract.TypeFlowPlanned, "f")
	b.want("")
	if len(b.inFlight)+b.running != 0 || len(b.State.acts) != 1 {
		t.Errorf("%d in flight, acts %v", b.running, b.State.acts)
	}
}

func TestANewLeaderDecidesOpenKeys(t *testing.T) {
	b := newBench(t)
	b.event(contract.TypeFlowValidated, "f")
	b.event(contract.TypeFlowValidated, "g")
	b.Lead(true)
	b.want("act.note f+flow.planned f, act.note g+flow.planned g")
	b.Lead(false)
	b.want("")
	b.Lead(true)
	b.want("act.note f+flow.planned f, act.note g+flow.planned g")
}

func TestStaleEffectsAreDecidedAgain(t *testing.T) {
	b := newBench(t)
	b.Lead(true)
	b.event(contract.TypeFlowValidated, "f")
	f := b.want("act.note f+flow.planned f")[0]
	b.Finish(Result{task: f, failed: &f.effects[1], Err: &staleError{seq: b.seq + 1}})
	b.want("") // not before the published event is folded
	b.event(contract.TypeFlowCleaned, "f")
	b.want("")
}

// When an effect is no longer in flight, the service says which other decisions had to do without what it would use.
func TestKeysThatPassedOverAnEffectAreDecidedAgain(t *testing.T) {
	b := newBench(t)
	b.logic.InFlight = func(s *toy, e contract.Event, begins bool) []string {
		if begins || e.Type != contract.TypeFlowPlanned {
			return nil
		}
		s.open["g"] = b.now // passed over while f was in flight
		return []string{"g"}
	}
	b.Lead(true)
	b.event(contract.TypeFlowValidated, "f")
	f := b.want("act.note f+flow.planned f")[0]
	b.Finish(Result{task: f, failed: &f.effects[1], Err: &staleError{seq: b.seq + 1}})
	b.event(contract.TypeFlowCleaned, "f")
	b.want("act.note g+flow.planned g")
}

func TestTimeComesFromTheBroker(t *testing.T) {
	b := newBench(t)
	b.Lead(true)
	b.event(contract.TypeFlowValidated, "slow")
	b.want("")
	if at, due := b.Due(); !due || !at.Equal(b.now.Add(time.Minute)) {
		t.Errorf("due %v at %v", due, at)
	}
	b.now = b.now.Add(time.Minute)
	b.event(contract.TypeTick, "toy")
	b.want("act.note slow+flow.planned slow")
	b.now = b.now.Add(-time.Hour)
	b.event(contract.TypeFlowValidated, "later")
	if b.Now.Before(b.State.open["slow"].Add(time.Minute)) {
		t.Errorf("time went back to %v", b.Now)
	}
}

// An overdue key is decided again after each message, even if the broker's clock was set back.
func TestOverdueKeysAreDecidedWithEachMessage(t *testing.T) {
	decided := 0
	logic := toyLogic()
	logic.Decide = func(*toy, string, time.Time) ([]contract.Event, time.Time) {
		decided++
		return nil, time.Unix(1, 0)
	}
	b := newBench(t)
	b.Core = New(logic, Limits{Workers: 1, MaxAttempts: 2}, b.State, func(contract.Event, string) {})
	b.Lead(true)
	b.Tasks()
	b.event(contract.TypeFlowValidated, "f")
	b.want("")
	b.want("")
	if at, due := b.Due(); !due || at.After(b.now) || decided != 1 {
		t.Errorf("due %v at %v, decided %d times", due, at, decided)
	}
	b.now = b.now.Add(-time.Hour)
	b.event(contract.TypeTick, "toy")
	b.want("")
	if decided != 2 {
		t.Errorf("decided %d times", decided)
	}
}

func TestFailuresAreRetriedAndThenRejected(t *testing.T) {
	b := newBench(t)
	b.Lead(true)
	b.event(contract.TypeFlowValidated, "f")
	f := b.want("act.note f+flow.planned f")[0]
	away := errors.New("away")
	b.Finish(Result{task: f, failed: &f.effects[1], Err: errors.Join(ErrUnavailable, away)})
	pause := b.want("")
	if len(pause) != 1 || pause[0].Pause <= 0 {
		t.Fatalf("no pause: %v", pause)
	}
	b.done(pause[0], 0)
	f = b.want("act.note f+flow.planned f")[0] // an unavailable broker is not counted
	b.Finish(Result{task: f, failed: &f.effects[1], Err: away})
	b.done(b.want("")[0], 0)
	f = b.want("act.note f+flow.planned f")[0]
	b.Finish(Result{task: f, failed: &f.effects[1], Err: away})
	f = b.want("flow.rejected f")[0]
	if p := f.effects[0].Data.(*contract.FlowRejected).Problems[0]; p.Code != problem.GaveUp || !strings.Contains(p.Message, "away") {
		t.Errorf("problem %v", p)
	}
}

// Only the failing effect of several is refused.
func TestTheFailingEffectIsRefused(t *testing.T) {
	b := newBench(t)
	b.Lead(true)
	b.event(contract.TypeFlowValidated, "f")
	b.event(contract.TypeFlowValidated, "g")
	both := b.want("act.note f+flow.planned f, act.note g+flow.planned g")
	never := &problem.Permanent{Problem: problem.Problem{Code: problem.BrokerRefused, Message: "no"}}
	b.Finish(Result{task: both[1], failed: &both[1].effects[0], Err: never})
	b.want("flow.rejected g")
}

func TestMessagesThatCannotBeFoldedAreAnswered(t *testing.T) {
	b := newBench(t)
	var alarms []string
	b.Alarm = func(_ contract.Event, what string) { alarms = append(alarms, what) }
	b.event(contract.TypeFlowValidated, "poison")
	bad := &event.Stored{Place: event.Place{Seq: 2, At: b.now}, Type: contract.TypeFlowValidated, Problems: problem.List{{Code: problem.NotJSON}}}
	b.Fold(bad)
	b.seq = 2
	b.event(contract.TypeFlowValidated, "f")
	if len(b.unprocessed) != 2 || len(alarms) != 1 || !strings.Contains(alarms[0], "no such flow") {
		t.Fatalf("unprocessed %v, alarms %v", b.unprocessed, alarms)
	}
	b.Lead(true)
	f := b.want("act.note f+flow.planned f, deadletter deadletter+deadletter deadletter")[1]
	b.done(f, 5)
	for seq := range uint64(2) {
		b.Fold(&event.Stored{
			Place: event.Place{Seq: 4 + seq, At: b.now}, Subject: "deadletter", Type: contract.TypeDeadLetter,
			Event: contract.Event{Type: contract.TypeDeadLetter, Data: &contract.DeadLetter{Sequence: 1 + seq}},
		})
	}
	b.want("")
	if len(b.unprocessed) != 0 {
		t.Errorf("still unprocessed: %v", b.unprocessed)
	}
}

func TestObservationsArePublishedOnce(t *testing.T) {
	b := newBench(t)
	b.Lead(true)
	ended := make(chan error, 1)
	s := &Observation[*toy]{Done: func(err error) { ended <- err }, Decide: func(s *toy) []contract.Event {
		if _, open := s.open["f"]; open {
			return []contract.Event{{Type: contract.TypeFlowQueued, Subject: "f"}}
		}
		return nil
	}}
	b.event(contract.TypeFlowValidated, "f")
	f := b.want("act.note f+flow.planned f")[0]
	b.Publish(s)
	b.want("") // a task about the flow is in flight
	b.done(f, 0)
	if all, _ := b.tasks(); len(all) != 1 || all[0].effects[0].Type != contract.TypeFlowQueued {
		t.Fatalf("began %v", all)
	}
	b.event(contract.TypeFlowPlanned, "f")
	b.Lead(false)
	if err := <-ended; !errors.Is(err, ErrNotLeading) {
		t.Errorf("ended with %v", err)
	}
}

func TestEffectsAreGroupedBeforeTheirFlow(t *testing.T) {
	effect := func(t contract.Type, subject string) contract.Event { return contract.Event{Type: t, Subject: subject} }
	var got []string
	for _, g := range grouped([]contract.Event{
		effect(contract.TypeExecutorStarted, "x1"), effect(contract.TypeExecutorStarted, "x2"),
		effect(contract.TypeFlowSpawned, "f"), effect(contract.TypeFlowQueued, "g"),
		effect(contract.TypeExecutorDraining, "x3"), effect("act.give-up", "x4"),
	}) {
		var names []string
		for _, e := range g {
			names = append(names, e.Subject)
		}
		got = append(got, strings.Join(names, "+"))
	}
	if s := strings.Join(got, " "); s != "x1+x2+f g x3 x4" {
		t.Errorf("groups %q", s)
	}
}

// A paper is an EVENTS stream with one aggregate.
type paper struct {
	last  uint64
	kind  contract.Type
	calls []uint64
}

func (p *paper) Append(_ context.Context, e contract.Event, last uint64) (uint64, bool, error) {
	p.calls = append(p.calls, last)
	if last != p.last {
		return 0, false, nil
	}
	p.last, p.kind = p.last+100, e.Type
	return p.last, true, nil
}

func (p *paper) Last(context.Context, string) (uint64, contract.Type, error) {
	return p.last, p.kind, nil
}

func TestPublicationsHaveConditions(t *testing.T) {
	tests := []struct {
		name    string
		stored  paper
		known   uint64 // the last folded event of the aggregate, 0 if unknown
		decided uint64
		opens   bool
		want    string
	}{
		{name: "first", decided: 50, want: "stored"},
		{name: "after the last known event", stored: paper{last: 40}, known: 40, decided: 50, want: "stored"},
		{name: "after an event that was folded and forgotten", stored: paper{last: 40}, decided: 50, want: "stored"},
		{name: "folded after the decision", stored: paper{last: 60}, known: 60, decided: 50, want: "stale 60"},
		{name: "stored but not folded", stored: paper{last: 60}, known: 40, decided: 50, want: "stale 60"},
		{name: "cut off", stored: paper{}, known: 40, decided: 50, want: "stored"},
		{name: "in use", stored: paper{last: 40, kind: contract.TypeFlowCleaned}, decided: 50, opens: true, want: "taken"},
		{name: "rejected before", stored: paper{last: 40, kind: contract.TypeFlowRejected}, decided: 50, opens: true, want: "stored"},
		{name: "opened meanwhile", stored: paper{last: 60, kind: contract.TypeFlowValidated}, decided: 50, opens: true, want: "stale 60"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Worker{
				Log: &tt.stored, Held: func() bool { return true }, LastOf: func(string) uint64 { return tt.known },
				Perform: func(_ context.Context, e contract.Event) (contract.Event, error) { return e, nil },
			}
			e := contract.Event{Type: contract.TypeFlowPlanned, Subject: "f", Opens: tt.opens}
			o := p.Do(t.Context(), &Task{effects: []contract.Event{e}, decided: tt.decided})
			got := "stored"
			var stale *staleError
			switch {
			case errors.As(o.Err, &stale):
				got = fmt.Sprint("stale ", stale.seq)
			case o.Err != nil:
				got = o.Err.Error()
			case o.effects[0].Type == contract.TypeDeadLetter:
				got = "taken"
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// A dead letter has no aggregate. If the service finds only as it performs an answer that it has to be a dead letter, it
// is stored on the condition of the answer: a former leader may have answered in the meantime.
func TestAnotherAnswerHasTheSameCondition(t *testing.T) {
	answer := contract.Event{Type: contract.TypeFlowValidated, Subject: "f", Cause: 7, Opens: true}
	letter := contract.NewDeadLetter("flow.submit", 7, problem.List{{Code: problem.Resubmitted}})
	for _, tt := range []struct {
		name    string
		last    uint64
		perform error
		stale   bool
	}{
		{"answered meanwhile", 60, nil, true},
		{"taken meanwhile", 60, ErrTaken, true},
		{"resubmitted", 40, nil, false},
		{"taken", 40, ErrTaken, false},
		{"in history", 0, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &paper{last: tt.last, kind: contract.TypeFlowValidated}
			w := Worker{
				Log: log, Held: func() bool { return true }, LastOf: func(string) uint64 { return 0 },
				Perform: func(_ context.Context, e contract.Event) (contract.Event, error) {
					if tt.perform != nil {
						return e, tt.perform
					}
					return letter, nil
				},
				Read: func(context.Context, uint64) (*event.Stored, []byte, error) { return nil, nil, nil },
			}
			r := w.Do(t.Context(), &Task{effects: []contract.Event{answer}, decided: 50})
			var stale *staleError
			if errors.As(r.Err, &stale) != tt.stale || tt.stale == (len(log.calls) > 0) {
				t.Errorf("got %v after %d calls", r.Err, len(log.calls))
			}
		})
	}
}

// A second event about the same aggregate is stored after the first one, and a replaced leader does nothing.
func TestOneFlightPublishesInOrder(t *testing.T) {
	log := &paper{}
	held := true
	p := Worker{
		Log: log, Held: func() bool { return held }, LastOf: func(string) uint64 { return 0 },
		Perform: func(_ context.Context, e contract.Event) (contract.Event, error) { return e, nil },
	}
	two := []contract.Event{{Type: contract.TypeFlowQueued, Subject: "f"}, {Type: contract.TypeFlowSpawned, Subject: "f"}}
	f := &Task{effects: two, decided: 50}
	if o := p.Do(t.Context(), f); o.Err != nil || f.published != 200 || !slices.Equal(log.calls, []uint64{0, 100}) {
		t.Errorf("%v, up to %d, calls %v", o.Err, f.published, log.calls)
	}
	held = false
	if o := p.Do(t.Context(), f); !errors.Is(o.Err, ErrFenced) || len(log.calls) != 2 {
		t.Errorf("%v after %d calls", o.Err, len(log.calls))
	}
}

// anyPlace stores events without a condition.
type anyPlace struct{}

func (anyPlace) Append(context.Context, contract.Event, uint64) (uint64, bool, error) {
	return 1, true, nil
}

func (anyPlace) Last(context.Context, string) (uint64, contract.Type, error) { return 0, "", nil }

// A dead letter repeats what is known about its message, whichever part of the service created it.
func TestDeadLettersKeepTheirMessage(t *testing.T) {
	w := Worker{
		Log: anyPlace{}, Held: func() bool { return true }, LastOf: func(string) uint64 { return 0 },
		Perform: func(_ context.Context, e contract.Event) (contract.Event, error) { return e, nil },
		Read: func(_ context.Context, seq uint64) (*event.Stored, []byte, error) {
			if seq != 7 {
				return nil, nil, nil
			}
			m := event.NewStored(event.Place{Seq: 7}, "flow.submit")
			m.Event.Source, m.Event.ID = "/users/ada", "a1"
			return m, []byte(`{"nodes": {}}`), nil
		},
	}
	problems := problem.List{Taken("f")}
	answers := []contract.Event{
		contract.NewDeadLetter("flow.submit", 7, problems), contract.NewDeadLetter("flow.cancel", 8, problems),
	}
	r := w.Do(t.Context(), &Task{effects: answers})
	if r.Err != nil || len(r.effects) != 2 {
		t.Fatalf("published %v, %v", r.effects, r.Err)
	}
	want := contract.DeadLetter{
		Subject: "flow.submit", Sequence: 7, Source: "/users/ada", ID: "a1", Problems: problems, Excerpt: `{"nodes": {}}`,
	}
	if d := r.effects[0].Data.(*contract.DeadLetter); !reflect.DeepEqual(*d, want) {
		t.Errorf("got %+v\nwant %+v", *d, want)
	}
	want = contract.DeadLetter{Subject: "flow.cancel", Sequence: 8, Problems: problems}
	if d := r.effects[1].Data.(*contract.DeadLetter); !reflect.DeepEqual(*d, want) {
		t.Errorf("of a deleted message: got %+v\nwant %+v", *d, want)
	}
}

// A submission under an id that is taken is answered with a dead letter that names the id, whoever finds that out: the
// broker, or the service as it performs the answer. So is one that cannot be decoded.
func TestTakenIDsAreAnswered(t *testing.T) {
	broken := event.NewStored(event.Place{Seq: 7}, "flow.submit")
	broken.Event = contract.Event{Type: contract.TypeFlowSubmit, Subject: "f", ID: "a1", Source: "/users/ada"}
	broken.Problems = problem.List{{Code: problem.NotJSON}}
	valid := contract.Event{Type: contract.TypeFlowValidated, Subject: "f", Cause: 7, Opens: true, Trace: trace.New("f")}
	unread := contract.Event{Type: contract.TypeDeadLetter, Subject: "deadletter", Cause: 7, With: Unprocessed{Seq: 7}}
	for name, effect := range map[string]contract.Event{"valid": valid, "unread": unread} {
		for finder, found := range map[string]error{"broker": nil, "service": fmt.Errorf("look: %w", ErrTaken)} {
			t.Run(name+" found by the "+finder, func(t *testing.T) {
				w := Worker{
					Log: &paper{last: 40, kind: contract.TypeFlowCleaned}, Held: func() bool { return true },
					LastOf:  func(string) uint64 { return 0 },
					Perform: func(_ context.Context, e contract.Event) (contract.Event, error) { return e, found },
					Read:    func(context.Context, uint64) (*event.Stored, []byte, error) { return broken, []byte("{"), nil },
				}
				task := &Task{effects: []contract.Event{effect}, decided: 50}
				r := w.Do(t.Context(), task)
				if r.Err != nil || len(r.effects) != 1 || task.published == 0 {
					t.Fatalf("published %v up to %d, %v", r.effects, task.published, r.Err)
				}
				want := contract.DeadLetter{
					Subject: "flow.submit", Sequence: 7, Source: "/users/ada", ID: "a1", Problems: problem.List{Taken("f")}, Excerpt: "{",
				}
				if d, ok := r.effects[0].Data.(*contract.DeadLetter); !ok || !reflect.DeepEqual(*d, want) {
					t.Errorf("got %+v\nwant %+v", r.effects[0].Data, want)
				}
				if r.effects[0].Trace != effect.Trace {
					t.Error("the trace is lost")
				}
			})
		}
	}
}

// The service may answer a message that the core cannot decode with another event than the core would.
func TestServicesAnswerWhatCannotBeDecoded(t *testing.T) {
	broken := event.NewStored(event.Place{Seq: 7}, "flow.submit")
	broken.Event = contract.Event{Type: contract.TypeFlowSubmit, Subject: "f", ID: "a1"}
	w := Worker{
		Log: anyPlace{}, Held: func() bool { return true }, LastOf: func(string) uint64 { return 0 },
		Read: func(context.Context, uint64) (*event.Stored, []byte, error) { return broken, []byte("{"), nil },
		Perform: func(_ context.Context, e contract.Event) (contract.Event, error) {
			return contract.NewDeadLetter("flow.submit", e.Cause, problem.List{Taken(e.Subject)}), nil
		},
	}
	unread := contract.Event{Type: contract.TypeDeadLetter, Subject: "deadletter", Cause: 7, With: Unprocessed{Seq: 7}}
	r := w.Do(t.Context(), &Task{effects: []contract.Event{unread}})
	if r.Err != nil || len(r.effects) != 1 {
		t.Fatalf("published %v, %v", r.effects, r.Err)
	}
	d, ok := r.effects[0].Data.(*contract.DeadLetter)
	if !ok || d.ID != "a1" || d.Excerpt != "{" || d.Problems[0].Message != Taken("f").Message {
		t.Errorf("published %+v", r.effects[0])
	}
}

func TestQueue(t *testing.T) {
	a := newQueue()
	now := time.Unix(1000, 0)
	a.add("late", now.Add(2*time.Second))
	a.add("soon", now.Add(time.Second))
	a.add("touched", now.Add(time.Second))
	a.add("first", time.Time{})
	a.add("touched", time.Time{})
	a.add("first", time.Time{})
	a.add("first", now)
	if at, ok := a.next(now); ok {
		t.Errorf("next at %v, while keys wait for a worker", at)
	}
	now = now.Add(time.Second)
	var got []string
	for range 4 {
		key, _ := a.take(now)
		got = append(got, key)
	}
	if !slices.Equal(got, []string{"first", "touched", "soon", ""}) {
		t.Errorf("took %q", got)
	}
	if at, ok := a.next(now); !ok || !at.Equal(now.Add(time.Second)) {
		t.Errorf("next at %v, %v", at, ok)
	}
}
