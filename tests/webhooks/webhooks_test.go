package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/problem"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// empty is a flow that completes at once.
const empty = `{"nodes": {}, "edges": []}`

// A stack is a Dagyo with a user.
type stack struct {
	*harness.Stack
	user   *harness.Client
	client *client.Client
}

// start starts a Dagyo that delivers to the loopback interface, with short pauses.
func start(t *testing.T, change func(*harness.Options)) *stack {
	t.Helper()
	o := harness.DefaultOptions()
	o.Aggregator.LocalWebhooks = []string{"127.0.0.0/8", "::1", "localhost"}
	o.Aggregator.Webhooks.Limits.First = 20 * time.Millisecond
	o.Aggregator.Webhooks.Limits.Longest = 200 * time.Millisecond
	o.Aggregator.Webhooks.Limits.Pull = 2 * time.Second
	if change != nil {
		change(&o)
	}
	s := &stack{Stack: harness.Start(t, o)}
	s.user = s.Client(t)
	s.client = s.as(t, "")
	return s
}

// as connects a client with a name.
func (s *stack) as(t *testing.T, name string) *client.Client {
	t.Helper()
	c, err := client.Connect(t.Context(), client.Options{URL: s.Server.ClientURL(), Source: "/test", User: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// apply applies a webhook, and returns its public key.
func (s *stack) apply(t *testing.T, name, url string, more map[string]any) string {
	t.Helper()
	applied, err := s.client.ApplyWebhook(t.Context(), name, hook(t, name, url, more))
	if err != nil {
		t.Fatal(err)
	}
	return applied.Key
}

// run runs flows to their ends, and returns their ids.
func (s *stack) run(t *testing.T, prefix string, n int) (ids []string) {
	t.Helper()
	verdicts, err := s.user.SubscribeSync(string(contract.TypeFlowCompleted) + ".*")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = verdicts.Unsubscribe() }()
	s.user.AwaitFlush(t)
	left := make(map[string]bool)
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%d", prefix, i))
		left[string(contract.TypeFlowCompleted)+"."+ids[i]] = true
		s.user.Submit(t, ids[i], empty)
	}
	for len(left) > 0 {
		m, err := verdicts.NextMsg(harness.Patience)
		if err != nil {
			t.Fatalf("%d flows have not completed: %v", len(left), err)
		}
		delete(left, m.Subject)
	}
	return ids
}

// awaitStatus waits until the status of a webhook meets a condition.
func (s *stack) awaitStatus(t *testing.T, name string, until func(contract.WebhookStatus) bool) contract.WebhookStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var last contract.WebhookStatus
	for {
		w, err := s.client.Webhook(ctx, name)
		if err != nil {
			t.Fatalf("%v; the last status is %+v", err, last)
		}
		if last = w; until(w) {
			return w
		}
		<-look.C
	}
}

func TestVerdictsAreDelivered(t *testing.T) {
	s := start(t, nil)
	x, all := newReceiver(t, nil), newReceiver(t, nil)
	before := s.run(t, "before", 2)
	key := s.apply(t, "orders", x.URL+"/hook?token=1", nil)
	other := s.apply(t, "all", all.URL, map[string]any{"events": []string{"flow.rejected", "flow.cancelled", "flow.completed"}})
	done := s.run(t, "done", 3)
	s.user.Cancel(t, "cancelled")
	s.user.Submit(t, "cancelled", empty)
	s.user.Submit(t, "rejected", `{"nodes": {"a": {"progdef": "nothing"}}, "edges": []}`)
	last := s.user.AwaitEnd(t, "cancelled").Type
	s.user.AwaitEnd(t, "rejected")
	got := x.awaitFlows(t, append(done, "cancelled")...)
	once(t, got)
	ids := make(map[string]bool)
	for _, r := range got {
		verify(t, r, key)
		ids[r.id] = true
		flow := r.event.Subject()
		want := s.user.Events(harness.Ended(flow))[0]
		if r.event.Type() != string(want.Type) || r.event.ID() != want.ID || !r.event.Time().Equal(want.Time) || r.event.Source() != want.Source ||
			slices.Contains(before, flow) || flow == "rejected" || flow == "cancelled" && r.event.Type() != string(last) {
			t.Errorf("%s of %s was delivered: %s", r.event.Type(), flow, r.body)
		}
	}
	if len(ids) != len(got) || key == other {
		t.Errorf("%d ids for %d events; the keys %s and %s", len(ids), len(got), key, other)
	}
	more := all.awaitFlows(t, append(done, "cancelled", "rejected")...)
	once(t, more)
	for _, r := range more {
		if ids[r.id] {
			t.Errorf("two webhooks get the id %s", r.id)
		}
	}
	w := s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return w.Delivered == uint64(len(got)) && *w.Pending == 0 })
	if w.Failed+w.GivenUp > 0 || w.LastDelivery == nil || w.LastFailure != nil || w.Keys[0].Key != key || len(w.Keys) != 1 {
		t.Errorf("the status is %+v", w)
	}
}

// A webhook without events makes few requests, and no errors.
func TestIdleWebhooks(t *testing.T) {
	var log lockedBuffer
	s := start(t, func(o *harness.Options) { o.Aggregator.Log = zerolog.New(&log).Level(zerolog.WarnLevel) })
	x := newReceiver(t, nil)
	pulls, err := s.user.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT." + contract.StreamWebhooks + ".>")
	if err != nil {
		t.Fatal(err)
	}
	s.apply(t, "orders", x.URL, nil)
	for range 20 { // five each
		if _, err := pulls.NextMsg(harness.Patience); err != nil {
			t.Fatal(err)
		}
	}
	x.awaitFlows(t, s.run(t, "flow", 1)...)
	if text := log.String(); text != "" {
		t.Error(text)
	}
}

// An event that refers to its data is sent whole.
func TestLargeEventsAreDelivered(t *testing.T) {
	s := start(t, func(o *harness.Options) { o.MaxPayload = 256 << 10 })
	x := newReceiver(t, nil)
	key := s.apply(t, "large", x.URL, map[string]any{"events": []string{"flow.rejected"}})
	var nodes []string
	for i := range 1000 {
		nodes = append(nodes, fmt.Sprintf(`"%s%04d": {"progdef": "p", "%s": 1}`, strings.Repeat("n", 59), i, strings.Repeat("x", 200)))
	}
	if _, err := s.client.Submit(t.Context(), "large", []byte(`{"nodes": {`+strings.Join(nodes, ",")+`}, "edges": []}`)); err != nil {
		t.Fatal(err)
	}
	r := x.awaitFlows(t, "large")[0]
	verify(t, r, key)
	if len(r.body) < 256<<10 || r.event.Extensions()["dataref"] != nil {
		t.Errorf("%d bytes, %v", len(r.body), r.event.Extensions())
	}
}

func TestFailedDeliveriesAreRepeated(t *testing.T) {
	s := start(t, nil)
	asked := make(chan time.Time, 1)
	x := newReceiver(t, func(n int, r request, w http.ResponseWriter) {
		switch n {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusFound)
		case 2:
			asked <- r.at
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusCreated)
		}
	})
	key := s.apply(t, "orders", x.URL, nil)
	s.run(t, "flow", 1)
	got := x.await(t, "four attempts", func(got []request) bool { return len(got) == 4 })
	for _, r := range got {
		verify(t, r, key)
		if r.id != got[0].id || string(r.body) != string(got[0].body) {
			t.Errorf("an attempt differs: %+v", r)
		}
	}
	if waited := got[3].at.Sub(<-asked); waited < 2*time.Second {
		t.Errorf("the receiver has asked for 2 s, and was asked again after %v", waited)
	}
	w := s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return w.Delivered == 1 })
	if w.Failed != 3 || w.GivenUp != 0 || w.LastFailure.Status != 503 || w.LastFailure.Attempt != 3 || w.LastDelivery.Attempt != 4 || w.Failing() {
		t.Errorf("the status is %+v, %+v", w, w.LastFailure)
	}
}

// An event whose attempt is interrupted is not sent to a webhook that does not want it any more.
func TestUnwantedEventsAreNotRepeated(t *testing.T) {
	s := start(t, nil)
	release := make(chan struct{})
	x := newReceiver(t, func(_ int, _ request, _ http.ResponseWriter) { <-release })
	t.Cleanup(func() { close(release) })
	s.apply(t, "orders", x.URL, nil)
	s.run(t, "flow", 1)
	x.await(t, "an attempt", func(got []request) bool { return len(got) == 1 })
	s.apply(t, "orders", x.URL, map[string]any{"events": []string{"flow.panic"}})
	w := s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return w.Pending != nil && *w.Pending == 0 })
	if got := x.requests(); len(got) != 1 || w.Delivered != 0 {
		t.Errorf("%d requests, want 1; the status is %+v", len(got), w)
	}
}

func TestDeliveriesAreGivenUp(t *testing.T) {
	s := start(t, func(o *harness.Options) { o.Aggregator.Webhooks.Limits.GiveUp = 500 * time.Millisecond })
	x := newReceiver(t, func(_ int, _ request, w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) })
	s.apply(t, "orders", x.URL, nil)
	s.run(t, "flow", 3)
	w := s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return w.GivenUp == 3 && *w.Pending == 0 })
	if w.Delivered != 0 || !w.Failing() || w.LastFailure.Error == "" {
		t.Errorf("the status is %+v", w)
	}
}

// A receiver that is gone is left alone until the webhook is applied again, which begins anew.
func TestGoneReceiversAreSwitchedOff(t *testing.T) {
	s := start(t, nil)
	x := newReceiver(t, func(n int, _ request, w http.ResponseWriter) {
		if n == 0 {
			w.WriteHeader(http.StatusGone)
		}
	})
	s.apply(t, "orders", x.URL, nil)
	s.run(t, "first", 1)
	s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return strings.Contains(w.Disabled, "410 Gone") })
	off := s.run(t, "off", 3)
	_, err := s.client.TestWebhook(t.Context(), "orders")
	var problems problem.List
	if !errors.As(err, &problems) || problems[0].Code != problem.NotAnswerable {
		t.Errorf("a test: %v", err)
	}
	s.apply(t, "orders", x.URL, nil)
	got := x.awaitFlows(t, s.run(t, "again", 2)...)
	for _, r := range got {
		if slices.Contains(off, r.event.Subject()) {
			t.Errorf("%s was delivered", r.event.Subject())
		}
	}
	if len(got) != 3 {
		t.Errorf("requests: %v", flows(got))
	}
	w := s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return w.Delivered == 2 })
	if w.Disabled != "" {
		t.Errorf("%+v", w)
	}
}

// Neither a receiver that hangs nor one that is slow delays a verdict, or another webhook.
func TestSlowReceiversDelayNobodyElse(t *testing.T) {
	s := start(t, func(o *harness.Options) { o.Aggregator.Webhooks.Limits.Timeout = time.Second })
	release := make(chan struct{})
	hangs := newReceiver(t, func(_ int, _ request, w http.ResponseWriter) {
		<-release
		w.WriteHeader(http.StatusOK)
	})
	quick := newReceiver(t, nil)
	s.apply(t, "hangs", hangs.URL, nil)
	s.apply(t, "quick", quick.URL, nil)
	const n = 1000
	ids := s.run(t, "flow", n)
	once(t, quick.awaitFlows(t, ids...))
	w := s.awaitStatus(t, "hangs", func(w contract.WebhookStatus) bool { return w.Failed > 0 })
	if w.Delivered > 0 || *w.Pending != n || !strings.Contains(w.LastFailure.Error, "no answer within 1s") {
		t.Errorf("the status is %+v", w)
	}
	close(release)
	hangs.awaitFlows(t, ids...)
	s.awaitStatus(t, "hangs", func(w contract.WebhookStatus) bool { return w.Delivered == n && *w.Pending == 0 })
}

// Nothing is lost while a receiver is down, whatever happens to the services, to NATS and to EVENTS meanwhile.
func TestNothingIsLost(t *testing.T) {
	s := start(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	key := s.apply(t, "orders", "http://"+address, nil)
	ids := s.run(t, "first", 100)
	s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return w.Failed > 0 && *w.Pending == 100 })
	s.KillService(t, aggregator.Name)
	events, err := s.user.JS.Stream(t.Context(), contract.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	s.StartService(t, aggregator.Name)
	ids = append(ids, s.run(t, "second", 20)...)
	s.RestartAll(t)
	ids = append(ids, s.run(t, "third", 20)...)
	s.Server.Restart(t)
	ids = append(ids, s.run(t, "fourth", 20)...)
	s.RestartAll(t)
	s.Server.Restart(t) // while the services start
	ids = append(ids, s.run(t, "fifth", 20)...)
	s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return *w.Pending == uint64(len(ids)) })
	if err := events.Purge(t.Context()); err != nil { // as if it was trimmed
		t.Fatal(err)
	}
	x := &receiver{more: make(chan struct{})}
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	x.Server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: x, ReadHeaderTimeout: time.Minute}}
	x.Server.Start()
	defer x.Server.Close()
	for _, r := range x.awaitFlows(t, ids...) {
		verify(t, r, key)
	}
	s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return *w.Pending == 0 && w.Delivered >= uint64(len(ids)) })
}

// Of several replicas, the leader delivers; the next one continues.
func TestReplicasDeliverOnce(t *testing.T) {
	s := start(t, func(o *harness.Options) { o.Replicas = 2 })
	x := newReceiver(t, nil)
	s.apply(t, "orders", x.URL, nil)
	once(t, x.awaitFlows(t, s.run(t, "first", 50)...))
	s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return w.Delivered == 50 && *w.Pending == 0 })
	s.StopService(t, aggregator.Name)
	s.StartService(t, aggregator.Name)
	s.StartService(t, aggregator.Name)
	once(t, x.awaitFlows(t, s.run(t, "second", 50)...))
	s.awaitStatus(t, "orders", func(w contract.WebhookStatus) bool { return w.Delivered == 100 && *w.Pending == 0 })
}

func TestFilters(t *testing.T) {
	s := start(t, nil)
	s.user.ApplyFaulty(t, harness.Faulty{Name: "words", Out: true, Slots: 4})
	s.user.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 4})
	byAda, byProgdef, both := newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil)
	s.apply(t, "users", byAda.URL, map[string]any{"users": []string{"ada"}})
	s.apply(t, "progdefs", byProgdef.URL, map[string]any{"progdefs": []string{"nothing", "words"}})
	s.apply(t, "both", both.URL, map[string]any{"users": []string{"ada"}, "progdefs": []string{"words"}})
	const words = `{"nodes": {"words": {"progdef": "words"}, "sink": {"progdef": "sink"}}, "edges": [{"from": "words.out", "to": "sink.in"}]}`
	for i, name := range []string{"bob", "ada"} {
		c := s.as(t, name)
		for kind, doc := range map[string]string{"empty": empty, "words": words} {
			if _, err := c.Submit(t.Context(), kind+"-"+name, []byte(doc)); err != nil {
				t.Fatal(i, err)
			}
			s.user.AwaitEnd(t, kind+"-"+name)
		}
	}
	for name, want := range map[string]uint64{"users": 2, "progdefs": 2, "both": 1} {
		s.awaitStatus(t, name, func(w contract.WebhookStatus) bool { return w.Delivered >= want && *w.Pending == 0 })
	}
	for _, c := range []struct {
		x    *receiver
		want []string
	}{
		{byAda, []string{"empty-ada", "words-ada"}}, {byProgdef, []string{"words-ada", "words-bob"}}, {both, []string{"words-ada"}},
	} {
		var got []string
		for _, r := range c.x.requests() {
			got = append(got, r.event.Subject())
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("delivered: %v, want %v", got, c.want)
		}
	}
}

func TestKeysAreRotated(t *testing.T) {
	s := start(t, nil)
	x := newReceiver(t, nil)
	old := s.apply(t, "orders", x.URL, nil)
	rotated, err := s.client.RotateWebhook(t.Context(), "orders")
	if err != nil || rotated.Key == old {
		t.Fatalf("%+v, %v", rotated, err)
	}
	flow := s.run(t, "flow", 1)
	r := x.awaitFlows(t, flow...)[0]
	if n := verify(t, r, old); n != 2 {
		t.Errorf("%d signatures", n)
	}
	verify(t, r, rotated.Key)
	w, err := s.client.Webhook(t.Context(), "orders")
	if err != nil || len(w.Keys) != 2 || w.Keys[0].Key != rotated.Key || w.Keys[1].Key != old || !w.Keys[1].Until.Equal(rotated.Until) {
		t.Errorf("%+v, %v", w.Keys, err)
	}
	// They survive a start without any state but what is stored.
	s.KillService(t, aggregator.Name)
	snapshots, err := s.user.JS.Stream(t.Context(), contract.StreamSnapshots)
	if err == nil {
		err = snapshots.Purge(t.Context(), jetstream.WithPurgeSubject("snapshot."+aggregator.Name+".>"))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.StartService(t, aggregator.Name)
	verify(t, x.awaitFlows(t, s.run(t, "later", 1)...)[1], rotated.Key)
}

func TestTestsAndRemoval(t *testing.T) {
	s := start(t, nil)
	x := newReceiver(t, func(n int, _ request, w http.ResponseWriter) {
		if n > 0 {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	key := s.apply(t, "orders", x.URL, nil)
	tested, err := s.client.TestWebhook(t.Context(), "orders")
	if err != nil || !tested.Delivered || tested.Status != 200 || tested.Error != "" {
		t.Errorf("%+v, %v", tested, err)
	}
	r := x.requests()[0]
	verify(t, r, key)
	if r.event.Type() != string(contract.TypeWebhookTest) || r.event.Subject() != "orders" {
		t.Errorf("%s", r.body)
	}
	tested, err = s.client.TestWebhook(t.Context(), "orders")
	if err != nil || tested.Delivered || tested.Status != 403 || tested.Error == "" || len(x.requests()) != 2 {
		t.Errorf("%+v, %v", tested, err)
	}
	s.apply(t, "bills", x.URL, nil)
	for _, name := range []string{"orders", "bills"} {
		if err := s.client.RemoveWebhook(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.client.RemoveWebhook(t.Context(), "orders"); !errors.Is(err, client.ErrUnknownWebhook) {
		t.Errorf("removed twice: %v", err)
	}
	if all, err := s.client.Webhooks(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	for { // nothing is left of them
		_, err := s.user.JS.Stream(ctx, contract.StreamWebhooks)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.apply(t, "orders", x.URL, nil)
	x.awaitFlows(t, s.run(t, "again", 1)...)
}

// Who has changed the webhooks sees that in the list, whichever replica answers.
func TestTheListHasWhatWasChanged(t *testing.T) {
	s := start(t, func(o *harness.Options) { o.Replicas = 2 })
	for i := range 40 {
		s.apply(t, "hook", "http://127.0.0.1:1/", nil)
		if all, err := s.client.Webhooks(t.Context()); err != nil || len(all) != 1 {
			t.Fatalf("%d: %v, %v after apply", i, all, err)
		}
		if err := s.client.RemoveWebhook(t.Context(), "hook"); err != nil {
			t.Fatal(err)
		}
		if all, err := s.client.Webhooks(t.Context()); err != nil || len(all) != 0 {
			t.Fatalf("%d: %v, %v after rm", i, all, err)
		}
	}
}

// Nothing is sent to internal addresses unless the policy allows them, also if a name leads there. A change of the policy counts
// at once.
func TestInternalReceiversAreRefused(t *testing.T) {
	rules := policy.NewCurrent(nil)
	s := start(t, func(o *harness.Options) { o.Aggregator.LocalWebhooks, o.Aggregator.Policy = nil, rules })
	x := newReceiver(t, nil)
	_, port, _ := net.SplitHostPort(x.Listener.Addr().String())
	for i, url := range []string{x.URL, "http://localhost:" + port, "https://localhost:" + port, "http://[::ffff:127.0.0.1]:" + port, "https://169.254.169.254/"} {
		name := fmt.Sprint("hook", i)
		s.apply(t, name, url, nil)
		tested, err := s.client.TestWebhook(t.Context(), name)
		if err != nil || tested.Delivered || !strings.Contains(tested.Error, "refused, since the host has a l") {
			t.Errorf("%s: %+v, %v", url, tested, err)
		}
	}
	flow := s.run(t, "flow", 1)
	s.awaitStatus(t, "hook1", func(w contract.WebhookStatus) bool { return w.Failed > 1 && w.Delivered == 0 && *w.Pending == 1 })
	if got := x.requests(); len(got) > 0 {
		t.Fatalf("requests: %v", flows(got))
	}
	p, problems := policy.Check([]byte(`{"webhooks": {"allow": ["127.0.0.0/8", "::1"]}}`))
	if problems != nil {
		t.Fatal(problems)
	}
	rules.Set(p)
	x.await(t, "the allowed ones", func(got []request) bool { return len(got) == 3 })
	x.awaitFlows(t, flow...)
	for _, bad := range []string{"ftp://example.com/", "https://ada:secret@example.com/", "https://2130706433/"} {
		_, err := s.client.ApplyWebhook(t.Context(), "bad", hook(t, "bad", bad, nil))
		var problems problem.List
		if !errors.As(err, &problems) || problems[0].Code != problem.BadURL || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
