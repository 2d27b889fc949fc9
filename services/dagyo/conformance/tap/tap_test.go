package tap_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within bounds every wait: it only ever passes when something is broken.
const within = 20 * time.Second

// bundle is a tap in front of a server, a client behind the tap, and one that is not.
type bundle struct {
	*tap.Tap
	ctx           context.Context
	behind, aside *nats.Conn
}

func setup(t *testing.T) *bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	s, err := embedded.Start(ctx, embedded.Options{Port: embedded.RandomPort, Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	relay, err := tap.Start(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	return &bundle{relay, ctx, connect(t, relay.URL()), connect(t, s.ClientURL())}
}

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond),
		nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func subscribe(t *testing.T, nc *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func (b *bundle) next(t *testing.T, sub *nats.Subscription) *nats.Msg {
	t.Helper()
	m, err := sub.NextMsgWithContext(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (b *bundle) await(t *testing.T, op tap.Op, subject string) tap.Message {
	t.Helper()
	m, _, err := b.Journal.Await(b.ctx, 0, func(m tap.Message) bool { return m.Op == op && m.Subject == subject })
	if err != nil {
		t.Fatalf("no %s of %s: %v", op, subject, err)
	}
	return m
}

func TestMessagesAreRelayedAndWrittenDown(t *testing.T) {
	b := setup(t)
	here, there := subscribe(t, b.behind, "here"), subscribe(t, b.aside, "there")
	m := nats.NewMsg("there")
	m.Reply, m.Data = "back", []byte("hello\r\n")
	m.Header.Set("K", "v")
	if err := b.behind.PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	if got := b.next(t, there); string(got.Data) != "hello\r\n" || got.Header.Get("K") != "v" || got.Reply != "back" {
		t.Errorf("there came %+v", got)
	}
	large := strings.Repeat("x", 1<<20)
	if err := b.aside.Publish("here", []byte(large)); err != nil {
		t.Fatal(err)
	}
	if got := b.next(t, here); string(got.Data) != large {
		t.Errorf("here came %d octets", len(got.Data))
	}
	b.await(t, tap.Sub, "here")
	if p := b.await(t, tap.Pub, "there"); string(p.Data) != "hello\r\n" || p.Header.Get("K") != "v" || p.Reply != "back" {
		t.Errorf("written down: %+v", p)
	}
	if d := b.await(t, tap.Msg, "here"); d.Size != 1<<20 || len(d.Data) >= 1<<20 {
		t.Errorf("written down: %d octets of %d", len(d.Data), d.Size)
	}
}

func TestDecisions(t *testing.T) {
	b := setup(t)
	sub := subscribe(t, b.aside, ">")
	release := make(chan struct{})
	b.Decide(func(m *tap.Message) tap.Decision {
		switch m.Subject {
		case "dropped":
			return tap.Decision{Drop: true}
		case "held":
			return tap.Decision{Until: release}
		case "changed":
			m.Data, m.Subject = []byte("other"), "changed.well"
			m.SetHeader("K", "v")
		case "beside":
			return tap.Decision{ToServer: []tap.Message{{Subject: "more", Data: []byte("1")}}}
		}
		return tap.Pass
	})
	for _, subject := range []string{"dropped", "held", "changed", "beside", "last"} {
		if err := b.behind.Publish(subject, []byte("data")); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range 4 {
		m := b.next(t, sub)
		got = append(got, m.Subject+"="+string(m.Data)+m.Header.Get("K"))
	}
	if want := "changed.well=otherv more=1 beside=data last=data"; strings.Join(got, " ") != want {
		t.Errorf("there came %v, want %s", got, want)
	}
	close(release)
	if m := b.next(t, sub); m.Subject != "held" {
		t.Errorf("there came %s", m.Subject)
	}
}

func TestBlockKeepsTheOrder(t *testing.T) {
	b := setup(t)
	sub := subscribe(t, b.aside, ">")
	release := make(chan struct{})
	b.Decide(func(m *tap.Message) tap.Decision {
		if m.Subject == "first" {
			return tap.Decision{Block: release}
		}
		return tap.Pass
	})
	for _, subject := range []string{"first", "second"} {
		if err := b.behind.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	b.await(t, tap.Pub, "first")
	if n, _, err := sub.Pending(); n != 0 || err != nil {
		t.Errorf("%d messages passed, %v", n, err)
	}
	close(release)
	for _, want := range []string{"first", "second"} {
		if m := b.next(t, sub); m.Subject != want {
			t.Errorf("there came %s, want %s", m.Subject, want)
		}
	}
}

func TestAnswersOfItsOwn(t *testing.T) {
	b := setup(t)
	b.Decide(func(m *tap.Message) tap.Decision {
		if m.Subject != "question" {
			return tap.Pass
		}
		return tap.Decision{Drop: true, ToClient: []tap.Message{{Subject: m.Reply, Data: []byte("42")}}}
	})
	m, err := b.behind.RequestWithContext(b.ctx, "question", nil)
	if err != nil || string(m.Data) != "42" {
		t.Errorf("got %v, %v", m, err)
	}
}

func TestCutAndDown(t *testing.T) {
	b := setup(t)
	states := b.behind.StatusChanged(nats.RECONNECTING, nats.CONNECTED)
	// The client says RECONNECTING once more whenever a try is broken off in the middle.
	becomes := func(want nats.Status) {
		t.Helper()
		for got := range states {
			if got == want {
				return
			}
			if got != nats.RECONNECTING {
				t.Fatalf("it is %v, want %v", got, want)
			}
		}
	}
	b.Cut()
	becomes(nats.RECONNECTING)
	becomes(nats.CONNECTED)
	b.Down()
	becomes(nats.RECONNECTING)
	if _, err := nats.Connect(b.URL()); err == nil {
		t.Error("a relay that is down lets a client connect")
	}
	b.Up()
	becomes(nats.CONNECTED)
}

func TestRefusedLogin(t *testing.T) {
	b := setup(t)
	var logins atomic.Int64
	b.Decide(func(m *tap.Message) tap.Decision {
		return tap.Decision{Refuse: m.Op == tap.Connect && logins.Add(1) == 1}
	})
	seen := make(chan tap.Message, 1000)
	b.Watch(func(m tap.Message) { seen <- m })
	if _, err := nats.Connect(b.URL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("the refused login gave %v", err)
	}
	connect(t, b.URL())
	for range 2 {
		if m := <-seen; m.Op != tap.Connect || !strings.Contains(string(m.Data), `"lang":"go"`) {
			t.Errorf("seen: %+v", m)
		}
	}
}

func TestBadURL(t *testing.T) {
	if _, err := tap.Start("nats://%zz"); err == nil {
		t.Error("no error")
	}
}
