package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/conformance/journal"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
)

// A hub is a nats-server of the kit's own with Dagyo's streams, the kit's connection to it, and all that
// EVENTS has stored.
type hub struct {
	dir    string
	server *embedded.Server
	dial   dialer
	link   *broker.Link
	events journal.Journal[said]

	cancel    context.CancelFunc
	following sync.WaitGroup
}

// said is an event that EVENTS has stored.
type said struct {
	subject string
	header  nats.Header
	data    []byte
}

// plain returns the subject without its sender.
func (s said) plain() string {
	_, plain := contract.SplitSender(s.subject)
	return plain
}

func startHub(ctx context.Context) (*hub, error) {
	dir, err := os.MkdirTemp("", "dagyo-conformance-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for NATS: %w", err)
	}
	h := &hub{dir: dir, cancel: func() {}}
	if err := h.begin(ctx); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func (h *hub) begin(ctx context.Context) error {
	err := h.startServer(ctx)
	if err != nil {
		return err
	}
	h.link, err = broker.Connect(ctx, broker.Options{
		URL: h.server.ClientURL(), Name: "conformance kit",
		Extra: []nats.Option{nats.SetCustomDialer(&h.dial)},
	})
	if err != nil {
		return err
	}
	if err := broker.Ensure(whole(ctx), h.link, broker.DefaultConfig()); err != nil {
		return err
	}
	h.follow(ctx)
	return nil
}

func (h *hub) startServer(ctx context.Context) error {
	server, err := embedded.Start(ctx, embedded.Options{
		Port: embedded.RandomPort, Dir: h.dir, Log: zerolog.Nop(),
	})
	if err != nil {
		return err
	}
	h.server = server
	u, err := url.Parse(server.ClientURL())
	if err != nil {
		return err
	}
	h.dial.to(u.Host)
	return nil
}

// A dialer connects to where the server is now: a restarted one has another port, since somebody may
// have taken the old one meanwhile.
type dialer struct {
	mu      sync.Mutex
	address string
}

func (d *dialer) to(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.address = address
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, _ string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return net.DialTimeout(network, d.address, time.Second)
}

// follow copies EVENTS into the hub's journal.
func (h *hub) follow(ctx context.Context) {
	ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	f := broker.Follower{
		JS: h.link.JS, Stream: contract.StreamEvents, Filters: []string{"job.>", "executor.>"},
		Handle: func(m *nats.Msg, _ *nats.MsgMetadata) {
			h.events.Add(said{m.Subject, m.Header, m.Data})
		},
		CaughtUp: func() {}, Interrupted: func(error) {},
	}
	// It ends with the context, or with the connection that close closes.
	h.following.Go(func() { _ = f.Run(ctx) })
}

// count returns how many messages EVENTS holds on a subject.
func (h *hub) count(ctx context.Context, subject string) (uint64, error) {
	events, err := h.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return 0, fmt.Errorf("count the events on %s: %w", subject, err)
	}
	info, err := events.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return 0, fmt.Errorf("count the events on %s: %w", subject, err)
	}
	return info.State.Subjects[subject], nil
}

// restart stops the server and starts it again with what it has stored. The executors' taps lead to it.
func (h *hub) restart(ctx context.Context, programs []*program) error {
	for _, p := range programs {
		p.tap.Down()
	}
	h.server.Shutdown()
	h.server = nil
	if err := h.startServer(ctx); err != nil {
		return err
	}
	for _, p := range programs {
		if err := p.tap.Redirect(h.server.ClientURL()); err != nil {
			return err
		}
		p.tap.Up()
	}
	return nil
}

func (h *hub) close() error {
	h.cancel()
	h.following.Wait()
	if h.link != nil {
		h.link.Close()
	}
	if h.server != nil {
		h.server.Shutdown()
	}
	return os.RemoveAll(h.dir)
}
