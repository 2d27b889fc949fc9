package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/tests/harness"
)

// as connects a user with a name.
func named(t *testing.T, s *harness.Stack, user string) *client.Client {
	t.Helper()
	c, err := client.Connect(t.Context(), client.Options{URL: s.Server.ClientURL(), Source: "/test/" + user, User: user})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// refusedAs awaits the dead letter of a message.
func refusedAs(t *testing.T, c *harness.Client, seq uint64, want problem.Code) {
	t.Helper()
	e := c.Await(t, "dead letter", func(e contract.Event) bool {
		d, ok := e.Data.(*contract.DeadLetter)
		return ok && d.Sequence == seq
	})
	if got := e.Data.(*contract.DeadLetter).Problems[0].Code; got != want {
		t.Errorf("message %d is refused with %s, want %s", seq, got, want)
	}
}

// A flow belongs to the user who submitted it.
func TestFlowsOfOtherUsers(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 20, Max: 1})
	ada, bob := named(t, s, "ada"), named(t, s, "bob")
	doc := []byte(fed("sink", "1m"))
	seq, err := ada.Submit(t.Context(), "hers", doc)
	if err != nil {
		t.Fatal(err)
	}
	if before, err := ada.Judged(t.Context(), "hers", seq, document.Digest(doc)); before || err != nil {
		t.Fatalf("submitted before: %t, %v", before, err)
	}
	c.Await(t, "start", harness.Is(contract.TypeFlowSpawned, "hers"))
	status, err := bob.Flow(t.Context(), "hers") // asked on ask.flow.get.by.bob
	if err != nil || status.Owner != "ada" {
		t.Errorf("the flow belongs to %q, %v", status.Owner, err)
	}

	// The same document under her id is a submission of hers only.
	again, err := ada.Submit(t.Context(), "hers", doc)
	if err != nil {
		t.Fatal(err)
	}
	refusedAs(t, c, again, problem.Resubmitted)
	if before, err := ada.Judged(t.Context(), "hers", again, document.Digest(doc)); !before || err != nil {
		t.Errorf("submitted before: %t, %v", before, err)
	}
	for _, other := range []*client.Client{bob, named(t, s, "")} {
		seq, err := other.Submit(t.Context(), "hers", doc)
		if err != nil {
			t.Fatal(err)
		}
		refusedAs(t, c, seq, problem.IDTaken)
		if _, err := other.Judged(t.Context(), "hers", seq, document.Digest(doc)); !errors.Is(err, client.ErrOtherUser) {
			t.Errorf("%q may use the flow: %v", other.User(), err)
		}
	}

	if seq, err = bob.Cancel(t.Context(), "hers", "not his"); err != nil {
		t.Fatal(err)
	}
	refusedAs(t, c, seq, problem.NotYours)
	if err := bob.Skip(t.Context(), seq, "test"); err != nil {
		t.Errorf("skip an event: %v", err)
	}
	if _, err = bob.CancelAsOperator(t.Context(), "hers", "maintenance"); err != nil {
		t.Fatal(err)
	}
	d, ok := c.AwaitEnd(t, "hers").Data.(*contract.FlowCancelled)
	if !ok || d.By != "bob" || d.Source != "/test/bob" || d.Reason != "maintenance" {
		t.Errorf("%+v", d)
	}
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "hers"))
	// It is hers in history, too.
	if seq, err = bob.Submit(t.Context(), "hers", doc); err != nil {
		t.Fatal(err)
	}
	refusedAs(t, c, seq, problem.IDTaken)
}

// Nobody else ends the job of an executor, and executors of the previous version are still believed.
func TestForgedEndsOfJobs(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 20, Max: 1})
	start(t, c, "victim", fed("sink", "1m"))
	started := c.Await(t, "start of the job", harness.Is(contract.TypeJobStarted, "victim"))
	job := started.Data.(*contract.JobStarted)
	if started.By != job.Executor {
		t.Errorf("executor %s is started by %q", job.Executor, started.By)
	}
	done := func(by, executor string) uint64 {
		t.Helper()
		e := event.New(contract.TypeJobDone, "/dagyo/executor/"+job.Executor, "victim", &contract.JobDone{
			Job: job.Job, Executor: executor,
		}, time.Now())
		e.By = by
		m, err := event.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		return send(t, c, m.Subject, m.Header, m.Data)
	}
	for _, seq := range []uint64{done("intruder", "intruder"), done("intruder", job.Executor), done("", "intruder")} {
		refusedAs(t, c, seq, problem.NotYours)
	}
	if ends := c.Events(harness.Ended("victim")); len(ends) > 0 {
		t.Fatalf("a forged event ended the flow: %+v", ends)
	}
	done("", job.Executor) // on the plain subject, as executors of the previous version do
	completed := c.AwaitEnd(t, "victim")
	if completed.Type != contract.TypeFlowCompleted {
		t.Errorf("%s: %+v", completed.Type, completed.Data)
	}
}

// A server with permissions proves who publishes.
func TestPermissionsProveTheSender(t *testing.T) {
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{
			{Username: "services", Password: "s"},
			{Username: "x1", Password: "x", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{
					"job.started.*.*.by.p-r1.x1", "job.done.*.*.by.x1", "job.panic.*.*.by.x1", "health.*.*.by.x1", "executor.draining.*.x1.by.x1",
					"$JS.API.DIRECT.GET.EVENTS.job.started.*.*.by.*.*",
				}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	defer ns.WaitForShutdown()
	defer ns.Shutdown()
	if !ns.ReadyForConnections(harness.Patience) {
		t.Fatal("the server did not start")
	}
	connect := func(user, password string) *broker.Link {
		link, err := broker.Connect(t.Context(), broker.Options{
			URL: ns.ClientURL(), Wait: harness.Patience,
			Extra: []nats.Option{nats.UserInfo(user, password), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(link.Close)
		return link
	}
	services := connect("services", "s")
	if err := broker.Ensure(t.Context(), services, broker.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	x1 := connect("x1", "x")
	e := event.New(contract.TypeJobStarted, "/dagyo/executor/x1", "f", &contract.JobStarted{Job: "j", Executor: "x1"}, time.Now())
	e.By, e.Mailbox = "x1", "p-r1"
	m, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	first := jetstream.WithExpectLastSequenceForSubject(0, "job.started.f.j.by.p-r1.*")
	if _, err := x1.JS.PublishMsg(t.Context(), m, first); err != nil {
		t.Fatalf("its own start: %v", err)
	}
	if _, err := x1.JS.PublishMsg(t.Context(), m, first); !broker.SaidBefore(err) {
		t.Errorf("a second start: %v", err)
	}
	m.Subject = "job.started.f.j.by.p-r1.x2" // another executor's start of the same job
	if _, err := services.JS.PublishMsg(t.Context(), m, first); !broker.SaidBefore(err) {
		t.Errorf("a start by another executor: %v", err)
	}
	stored, err := x1.Request("$JS.API.DIRECT.GET.EVENTS.job.started.f.j.by.p-r1.*", nil, harness.Patience)
	if err != nil || stored.Header.Get(jetstream.SubjectHeader) != "job.started.f.j.by.p-r1.x1" {
		t.Errorf("the stored start: %+v, %v", stored, err)
	}
	for _, subject := range []string{
		"job.started.f.k", "job.started.f.k.by.p-r1.x2", "job.started.f.k.by.p-r2.x1", "job.started.f.k.by.x1", "flow.submit.by.x1", "events.flow.completed.f", "executor.exited.p.x1",
		"executor.draining.p.x2.by.x1", "flow.cancel.operator.x1",
	} {
		m.Subject = subject
		if err := x1.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := x1.Flush(); err != nil {
		t.Fatal(err)
	}
	events, err := services.JS.Stream(t.Context(), contract.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	if n := events.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("EVENTS has %d events, want one", n)
	}
}
