package client_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
)

// A log is a server with EVENTS, and a connection that publishes to it.
type log struct {
	server *embedded.Server
	link   *broker.Link
	dir    string
	port   int
}

func newLog(t testing.TB) *log {
	t.Helper()
	l := &log{dir: t.TempDir(), port: embedded.RandomPort}
	l.start(t)
	t.Cleanup(func() { l.server.Shutdown() })
	var err error
	if l.link, err = broker.Connect(t.Context(), broker.Options{URL: l.server.ClientURL()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.link.Close)
	if err := broker.Ensure(t.Context(), l.link, broker.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *log) start(t testing.TB) {
	t.Helper()
	var err error
	l.server, err = embedded.Start(t.Context(), embedded.Options{Port: l.port, Dir: l.dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(l.server.ClientURL())
	if err == nil {
		l.port, err = strconv.Atoi(u.Port())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// publish stores a message, however often the connection is lost.
func (l *log) publish(t testing.TB, subject string, data ...byte) uint64 {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		ack, err := l.link.JS.Publish(ctx, subject, data)
		cancel()
		if err == nil {
			return ack.Sequence
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// content lists the numbers of the stored messages on some subjects, without ticks.
func (l *log) content(t testing.TB, subjects ...string) (out []uint64) {
	t.Helper()
	c, err := l.link.JS.OrderedConsumer(t.Context(), contract.StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: subjects, HeadersOnly: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	n := int(c.CachedInfo().NumPending)
	if n == 0 {
		return nil
	}
	batch, err := c.FetchNoWait(n)
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject() != "tick" {
			out = append(out, meta.Sequence.Stream)
		}
	}
	if err := batch.Error(); err != nil {
		t.Fatal(err)
	}
	return out
}

// collect reads the numbers of n events of a feed.
func collect(t testing.TB, feed *client.Feed, n int) (got []uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range n {
		e, err := feed.Next(ctx)
		if err != nil {
			t.Errorf("after %d of %d events: %v", len(got), n, err)
			return got
		}
		got = append(got, e.Seq)
	}
	return got
}

func same(t testing.TB, what string, got, want []uint64) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Errorf("%s: %d events, want %d; they differ from the one at %d on: %v, want %v",
		what, len(got), len(want), i, got[i:min(i+5, len(got))], want[i:min(i+5, len(want))])
}

// A wire forwards connections to a server until they are cut.
type wire struct {
	net.Listener
	to string
	mu sync.Mutex
	on map[net.Conn]bool
	wg sync.WaitGroup
}

func newWire(t testing.TB, server string) *wire {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: u.Host, on: make(map[net.Conn]bool)}
	w.wg.Go(w.serve)
	t.Cleanup(func() { _ = l.Close(); w.cut(); w.wg.Wait() })
	return w
}

func (w *wire) serve() {
	for {
		in, err := w.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		for from, to := range map[net.Conn]net.Conn{in: out, out: in} {
			w.mu.Lock()
			w.on[from] = true
			w.mu.Unlock()
			w.wg.Go(func() {
				_, _ = io.Copy(to, from)
				_, _ = in.Close(), out.Close()
				w.mu.Lock()
				defer w.mu.Unlock()
				delete(w.on, from)
			})
		}
	}
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.on {
		_ = c.Close()
	}
}

func (w *wire) url() string { return "nats://" + w.Addr().String() }

// Feeds with one, several and all subjects deliver what is stored, in its order and once, while events are published at
// full speed, connections are cut and the server restarts.
func TestFeedDeliversTheStream(t *testing.T) {
	l := newLog(t)
	w := newWire(t, l.server.ClientURL())
	c := connect(t, w.url())
	want := [][]string{{"flow.*.f1"}, {"flow.*.f1", "job.*.f1.*"}, {"job.>", "flow.>", "deadletter"}, {">"}}
	feeds := make([]*client.Feed, 0, len(want))
	for _, subjects := range want {
		if subjects[0] == ">" {
			subjects = nil
		}
		feed, err := c.Follow(t.Context(), client.Start{}, subjects...)
		if err != nil {
			t.Fatal(err)
		}
		defer feed.Close()
		feeds = append(feeds, feed)
	}
	var publishing sync.WaitGroup
	stop := make(chan struct{})
	for p := range 4 {
		publishing.Go(func() { l.storm(t, rand.New(rand.NewPCG(uint64(p), 1)), stop) })
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 12 {
		time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
		w.cut()
		if i == 6 {
			l.server.Shutdown()
			l.start(t)
		}
	}
	close(stop)
	publishing.Wait()
	for i, subjects := range want {
		content := l.content(t, subjects...)
		same(t, fmt.Sprint(subjects), collect(t, feeds[i], len(content)), content)
	}
	t.Logf("%d events", len(l.content(t, ">")))
}

// storm publishes events on many subjects. Those of services are republished; EVENTS refuses some others.
func (l *log) storm(t testing.TB, random *rand.Rand, stop chan struct{}) {
	for n := 0; ; n++ {
		flow := fmt.Sprintf("f%d", random.IntN(3))
		switch random.IntN(6) {
		case 0:
			l.publish(t, "events.flow.queued."+flow, '{', '}')
		case 1:
			l.publish(t, "events.flow.planned."+flow)
		case 2:
			l.publish(t, "job.started."+flow+".a", make([]byte, random.IntN(20_000))...)
		case 3:
			l.publish(t, "deadletter")
		case 4:
			l.publish(t, "tick")
		case 5: // heard, and not stored
			m := &nats.Msg{Subject: "job.done." + flow + ".a", Header: nats.Header{}}
			m.Header.Set(nats.ExpectedLastSubjSeqHdr, "999999")
			_ = l.link.PublishMsg(m)
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// A feed starts from the first event, from a number, from a time, or with the next event.
func TestFeedStarts(t *testing.T) {
	for name, tt := range map[string]struct {
		from   func(middle time.Time) client.Start
		stored uint64
		want   []uint64
	}{
		"first":        {func(time.Time) client.Start { return client.Start{} }, 3, []uint64{1, 3, 4, 5}},
		"number":       {func(time.Time) client.Start { return client.Start{Seq: 4} }, 1, []uint64{4, 5}},
		"future":       {func(time.Time) client.Start { return client.Start{Seq: 5} }, 0, []uint64{5}},
		"time":         {func(middle time.Time) client.Start { return client.Start{Time: middle} }, 2, []uint64{3, 4, 5}},
		"time to come": {func(middle time.Time) client.Start { return client.Start{Time: middle.Add(time.Hour)} }, 0, []uint64{5}},
		"new":          {func(time.Time) client.Start { return client.Start{New: true} }, 0, []uint64{5}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t)
			c := connect(t, l.server.ClientURL())
			l.publish(t, "job.done.f.a")
			l.publish(t, "tick")
			time.Sleep(2 * time.Millisecond)
			middle := time.Now()
			l.publish(t, "events.flow.planned.f")
			l.publish(t, "job.done.f.b")
			feed, err := c.Follow(t.Context(), tt.from(middle), client.FlowSubjects("f")...)
			if err != nil {
				t.Fatal(err)
			}
			defer feed.Close()
			if feed.Stored != tt.stored {
				t.Errorf("%d events are stored, want %d", feed.Stored, tt.stored)
			}
			if seq := l.publish(t, "events.flow.completed.f"); seq != 5 {
				t.Fatal("event", seq)
			}
			same(t, "feed", collect(t, feed, len(tt.want)), tt.want)
		})
	}
}

// A slow reader gets everything. Its feed holds little of it.
func TestFeedOfASlowReader(t *testing.T) {
	l := newLog(t)
	c := connect(t, l.server.ClientURL())
	feed, err := c.Follow(t.Context(), client.Start{}, "job.>")
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	for range 3000 {
		l.publish(t, "job.done.f.a", make([]byte, 1000)...)
	}
	content := l.content(t, "job.>")
	same(t, "feed", collect(t, feed, len(content)), content)
}

// Nothing that a hostile client stores stops a feed: headers that look like the broker's, and malformed ones.
func TestFeedOfHostileMessages(t *testing.T) {
	l := newLog(t)
	c := connect(t, l.server.ClientURL())
	feed, err := c.Follow(t.Context(), client.Start{}, "job.>", "deadletter")
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	raw, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", l.port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	send := func(subject, header string) {
		fmt.Fprintf(raw, "HPUB %s %d %d\r\n%s\r\n", subject, len(header), len(header), header)
	}
	fmt.Fprint(raw, "CONNECT {\"headers\":true,\"verbose\":false}\r\n")
	hostile := []string{
		"NATS/1.0 404 Message Not Found\r\n\r\n", "NATS/1.0 503\r\n\r\n", "NATS/1.0 408 no\r\n\r\n",
		"NATS/1.0\r\nNats-Sequence: 99999999999\r\nNats-Last-Sequence: 7\r\n\r\n",
		"NATS/1.0\r\nNats-Sequence: x\r\nNats-Num-Pending: -\r\n\r\n",
		"NATS/1.0\r\nno header\r\n\r\n", "\x00\x01garbage\r\n\r\n",
	}
	for _, h := range hostile { // several in a row, so that some are read in batches
		for range 3 {
			send("job.done.f.a", h)
			send("deadletter", h)
		}
	}
	fmt.Fprint(raw, "PING\r\n")
	for answer := make([]byte, 4096); ; {
		n, err := raw.Read(answer)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains([]string{"PONG\r\n"}, string(answer[max(0, n-6):n])) {
			break
		}
	}
	l.publish(t, "job.done.f.b")
	content := l.content(t, "job.>", "deadletter")
	if len(content) < len(hostile) {
		t.Fatalf("only %d messages are stored: the test is meaningless", len(content))
	}
	same(t, "feed", collect(t, feed, len(content)), content)
}

// A feed that hears nothing asks for nothing, except once in some seconds. What is published under its subjects and
// never stored makes it read only now and then.
func TestFeedIsCheap(t *testing.T) {
	l := newLog(t)
	c := connect(t, l.server.ClientURL())
	feed, err := c.Follow(t.Context(), client.Start{}, "flow.*.f", "job.*.f.*")
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	l.publish(t, "events.flow.planned.f")
	collect(t, feed, 1)
	asked, err := l.link.SubscribeSync("$JS.API.>")
	if err == nil {
		err = l.link.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	requests := func(d time.Duration) (n int) {
		for end := time.Now().Add(d); ; n++ {
			if _, err := asked.NextMsg(time.Until(end)); err != nil {
				return n
			}
		}
	}
	if n := requests(time.Second); n > 6 {
		t.Errorf("%d requests in a second without an event", n)
	}
	const flood = 20_000
	for range flood {
		if err := l.link.Publish("flow.planned.f", nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := requests(2 * time.Second); n > 300 {
		t.Errorf("%d requests for %d messages that are not stored", n, flood)
	}
	l.publish(t, "events.flow.completed.f")
	collect(t, feed, 1)
}
