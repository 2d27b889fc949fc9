package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/snapshot"
	"github.com/dagyo/dagyo/tests/harness"
)

const empty = `{"nodes": {}}`

// status requests the status of a flow; found is false if there is none.
func status(t *testing.T, c *harness.Client, flow string) (s contract.FlowStatus, found bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	m, err := c.RequestWithContext(ctx, contract.AskFlowGet, []byte(flow))
	if err != nil {
		t.Fatal(err)
	}
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
		if code != "404" {
			t.Fatalf("status of %s: %s %s", flow, code, m.Header.Get("Nats-Service-Error"))
		}
		return s, false
	}
	if err := json.Unmarshal(m.Data, &s); err != nil {
		t.Fatal(err)
	}
	return s, true
}

// few limits the number of messages in EVENTS; the number of concurrent flows here is not a flood.
func few(o *harness.Options) {
	small(o)
	for _, b := range []*broker.Config{&o.Validator.Broker, &o.Planner.Broker, &o.Spawner.Broker, &o.Aggregator.Broker} {
		b.EventsMaxBytes = 32 << 20
	}
}

// run runs empty flows, many at a time, until enough returns true. It checks after every hundred flows.
func run(t *testing.T, c *harness.Client, prefix string, enough func() bool) {
	t.Helper()
	began := time.Now()
	for n := 0; !enough(); n += 100 {
		if time.Since(began) > harness.Patience { // EVENTS keeps at least 15 seconds of them
			t.Fatalf("%d flows are not enough", n)
		}
		for i := range 100 {
			c.Submit(t, fmt.Sprintf("%s-%d", prefix, n+i), empty)
		}
		for i := range 100 {
			id := fmt.Sprintf("%s-%d", prefix, n+i)
			c.Await(t, "clean-up of "+id, harness.Is(contract.TypeFlowCleaned, id))
		}
	}
}

// firstSeq is the first stored event.
func firstSeq(t *testing.T, c *harness.Client) uint64 {
	t.Helper()
	s, err := c.JS.Stream(t.Context(), contract.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.FirstSeq
}

// Under load, the status is as current as the verdicts: when a client receives the verdict on a later flow, the
// panic-aggregator has folded the verdict on the previous one, and shows it.
func TestStatusIsCurrent(t *testing.T) {
	const flows, pause = 500, 10 * time.Millisecond
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	ended := ""
	for i := range flows {
		id := fmt.Sprintf("f-%d", i)
		c.Submit(t, id, empty)
		if i%25 == 24 {
			c.AwaitEnd(t, id)
			if got, found := status(t, c, ended); ended != "" && (!found || got.Verdict != contract.TypeFlowCompleted) {
				t.Fatalf("%s had its verdict before %s was submitted, and is not shown with it: %+v", ended, id, got)
			}
			ended = id
		}
		<-tick.C
	}
}

// The id of a flow in history cannot be reused, even after EVENTS has deleted its events.
func TestIDsAreTakenAfterEventsForget(t *testing.T) {
	o := harness.DefaultOptions()
	few(&o)
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true})
	c.Submit(t, "old", empty)
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "old"))
	c.AwaitStored(t, "flow.cleaned.old")
	last, err := lastSeq(t, c, "flow.cleaned.old")
	if err != nil {
		t.Fatal(err)
	}
	before, found := status(t, c, "old")
	if !found || before.Verdict != contract.TypeFlowCompleted {
		t.Fatalf("status %+v", before)
	}
	run(t, c, "many", func() bool { return firstSeq(t, c) > last })
	for round := range 2 { // the second after a restart
		c.Submit(t, "old", fed("sink", "1m"))
		marker := fmt.Sprintf("marker-%d", round)
		c.Submit(t, marker, empty)
		c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, marker))
		if n := len(c.Events(harness.Is(contract.TypeFlowValidated, "old"))); n != 1 {
			t.Errorf("the flow was validated %d times", n)
		}
		after, found := status(t, c, "old")
		if !found || after.Verdict != before.Verdict || !after.Submitted.Equal(before.Submitted) || after.Duration != before.Duration || len(after.Jobs) > 0 {
			t.Errorf("status %+v, was %+v", after, before)
		}
		s.RestartAll(t)
	}
}

// A snapshot that is broken or has another version is reported, and the previous one is used. EVENTS still has the
// events that it needs.
func TestBrokenSnapshots(t *testing.T) {
	breaks := map[string]func(*testing.T, snapshot.Store, snapshot.Description){
		"other-chunks": func(t *testing.T, s snapshot.Store, d snapshot.Description) {
			if _, err := s.JS.Publish(t.Context(), "snapshot."+d.String()+".0", make([]byte, d.Size)); err != nil {
				t.Fatal(err)
			}
		},
		"no-chunks": func(t *testing.T, s snapshot.Store, d snapshot.Description) {
			stream, err := s.JS.Stream(t.Context(), contract.StreamSnapshots)
			if err == nil {
				err = stream.Purge(t.Context(), jetstream.WithPurgeSubject("snapshot."+d.String()+".*"))
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"garbage": func(t *testing.T, s snapshot.Store, d snapshot.Description) {
			put(t, s, d, []byte("garbage"))
		},
		"garbage-state": func(t *testing.T, s snapshot.Store, d snapshot.Description) {
			put(t, s, d, []byte("{}\n[5, "))
		},
		"other-version": func(t *testing.T, s snapshot.Store, d snapshot.Description) {
			body, err := s.Get(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			d.State = 99
			put(t, s, d, body)
		},
	}
	o := harness.DefaultOptions()
	few(&o)
	o.Processes = harness.Services
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 5, Silence: "1m"})
	store := snapshot.Store{JS: c.JS}
	kinds := slices.Sorted(maps.Keys(breaks))
	rounds := 1
	if os.Getenv(envLong) != "" {
		rounds = len(kinds)
	}
	for round := range rounds { // in each round, every service has its own kind of damage
		name := fmt.Sprintf("round-%d", round)
		t.Run(name, func(t *testing.T) {
			planned := start(t, c, name, fed("sink", "10m"))
			last, err := lastSeq(t, c, contract.FromAny("job.started."+name+".sink"))
			if err != nil {
				t.Fatal(err)
			}
			run(t, c, name, func() bool { return firstSeq(t, c) > last })
			for _, service := range harness.Services {
				s.KillService(t, service)
			}
			for i, service := range harness.Services {
				list, err := store.List(t.Context(), service)
				// One more if the service was killed after it had stored one, and before it deleted the oldest.
				if err != nil || len(list) < snapshot.Kept || len(list) > snapshot.Kept+1 {
					t.Fatalf("%d snapshots of the %s, %v, want %d", len(list), service, err, snapshot.Kept)
				}
				kind := kinds[(i+round)%len(kinds)]
				t.Logf("%s: %s", service, kind)
				breaks[kind](t, store, list[0])
			}
			s.StartAll(t)
			for _, service := range harness.Services {
				p := s.Leader(t, service)
				said := p.Said()
				if !strings.Contains(said, "cannot start from a snapshot") || !strings.Contains(said, "starting from a snapshot") {
					t.Errorf("the %s did not start from its older snapshot:\n%s", service, said)
				}
				if strings.Contains(said, "events that this service has not folded were deleted") {
					t.Errorf("EVENTS lacks events that the %s needs:\n%s", service, said)
				}
			}
			closeInput(t, c, planned)
			fine(t, c.AwaitEnd(t, name))
			c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, name))
			oneEnd(t, c, name)
		})
	}
}

// put replaces a snapshot.
func put(t *testing.T, s snapshot.Store, d snapshot.Description, body []byte) {
	t.Helper()
	if err := s.Put(t.Context(), d, body); err != nil {
		t.Fatal(err)
	}
}

// Services take over EVENTS from a version without snapshots, history and conditions.
func TestUpgrade(t *testing.T) {
	o := harness.DefaultOptions()
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Max: 1, Slots: 2, Silence: "1m", Idle: "1m"})
	for i := range 5 {
		planned := start(t, c, fmt.Sprintf("ended-%d", i), fed("sink", "10m"))
		closeInput(t, c, planned)
		c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, fmt.Sprintf("ended-%d", i)))
	}
	running := start(t, c, "running", fed("sink", "10m"))
	doomed := start(t, c, "doomed", fed("sink", "10m"))
	c.Submit(t, "queued", fed("sink", "10m"))
	c.Await(t, "queue", harness.Is(contract.TypeFlowQueued, "queued"))
	c.AwaitStored(t, "flow.queued.queued")
	for _, name := range harness.Services {
		s.KillService(t, name)
	}
	queued := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "queued")).Data.(*contract.FlowPlanned)
	inOldForm(t, c, "queued", queued)
	asBefore(t, c, map[string]any{"flow.planned.queued": queued})
	c = s.Client(t) // it has not received what is stored again
	s.StartAll(t)
	closeInput(t, c, running)
	fine(t, c.AwaitEnd(t, "running"))
	c.Cancel(t, "doomed")
	if end := c.AwaitEnd(t, "doomed"); end.Type != contract.TypeFlowCancelled {
		t.Errorf("%s of doomed, want flow.cancelled; planned %v", end.Type, doomed.Stream)
	}
	closeInput(t, c, queued)
	fine(t, c.AwaitEnd(t, "queued"))
	for i := range 5 {
		id := fmt.Sprintf("ended-%d", i)
		if got, found := status(t, c, id); !found || got.Verdict != contract.TypeFlowCompleted {
			t.Errorf("status of %s: %+v", id, got)
		}
		c.Submit(t, id, empty) // its id stays in use
	}
	next := start(t, c, "next", fed("sink", "10m"))
	closeInput(t, c, next)
	fine(t, c.AwaitEnd(t, "next"))
	for _, id := range []string{"running", "doomed", "queued", "next"} {
		c.Await(t, "clean-up of "+id, harness.Is(contract.TypeFlowCleaned, id))
		oneEnd(t, c, id)
	}
	if _, err := c.JS.Stream(t.Context(), queued.Stream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the stream of an old flow still exists: %v", err)
	}
	for i := range 5 {
		if again := c.Events(harness.Is(contract.TypeFlowValidated, fmt.Sprintf("ended-%d", i))); len(again) > 0 {
			t.Errorf("an ended flow runs again: %+v", again)
		}
	}
}

// inOldForm converts a plan to that of the previous version, in which each flow has its own stream.
func inOldForm(t *testing.T, c *harness.Client, flow string, p *contract.FlowPlanned) {
	t.Helper()
	p.Stream, p.Stop, p.LastStop = contract.OldFlowStream(flow), "stop."+flow, ""
	old := func(addresses map[string]contract.Address) {
		for port, a := range addresses {
			n := a.Subject[strings.LastIndexByte(a.Subject, '.')+1:]
			a.Stream, a.Subject, a.Credit, a.Slots = p.Stream, "edge."+flow+"."+n, "credit."+flow+"."+n, 0
			addresses[port] = a
		}
	}
	old(p.Inputs)
	old(p.Outputs)
	for i := range p.Jobs {
		j := &p.Jobs[i]
		old(j.Inputs)
		old(j.Outputs)
		j.Stream, j.Stop = "", p.Stop
	}
	_, err := c.JS.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: p.Stream, Subjects: []string{"edge." + flow + ".*", "credit." + flow + ".*", p.Stop, p.Stop + ".last"},
		Storage: jetstream.MemoryStorage, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		MaxMsgsPerSubject: 272, Duplicates: time.Second, AllowRollup: true, AllowDirect: true,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// asBefore recreates EVENTS as the previous version stored it, and removes what that version did not have. It replaces
// the data of some events, by subject.
func asBefore(t *testing.T, c *harness.Client, other map[string]any) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	js := c.JS
	events, err := js.Stream(t.Context(), contract.StreamEvents)
	must(err)
	state := events.CachedInfo().State
	var all []*jetstream.RawStreamMsg
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := events.GetMsg(t.Context(), seq)
		must(err)
		_, m.Subject = contract.SplitSender(m.Subject)
		all = append(all, m)
	}
	for _, stream := range []string{contract.StreamEvents, contract.StreamHistory, contract.StreamSnapshots} {
		must(js.DeleteStream(t.Context(), stream))
	}
	old := jetstream.StreamConfig{
		Name: contract.StreamEvents, Description: "Every CloudEvent of Dagyo", Retention: jetstream.LimitsPolicy,
		Storage: jetstream.FileStorage, Replicas: 1, MaxAge: 7 * 24 * time.Hour, MaxBytes: -1, MaxConsumers: 10_000,
		Duplicates: 2 * time.Minute, AllowDirect: true,
	}
	for _, e := range contract.Table {
		if e.Type != contract.TypeTick {
			old.Subjects = append(old.Subjects, e.Pattern())
		}
	}
	_, err = js.CreateStream(t.Context(), old)
	must(err)
	for _, m := range all {
		if contract.TypeOf(m.Subject) == contract.TypeTick {
			continue
		}
		var envelope map[string]json.RawMessage
		must(json.Unmarshal(m.Data, &envelope))
		delete(envelope, "cause")
		if data, ok := other[m.Subject]; ok {
			envelope["data"], err = json.Marshal(data)
			must(err)
		}
		body, err := json.Marshal(envelope)
		must(err)
		id := m.Subject
		if strings.Count(m.Subject, ".") < 2 { // a command
			id = fmt.Sprintf("%s.%d", m.Subject, m.Sequence)
		}
		_, err = js.PublishMsg(t.Context(), &nats.Msg{Subject: m.Subject, Data: body, Header: nats.Header{
			"content-type": {"application/cloudevents+json"}, nats.MsgIdHdr: {id},
		}})
		must(err)
	}
}
