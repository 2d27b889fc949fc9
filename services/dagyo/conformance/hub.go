package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/conformance/journal"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
)

// A hub is a nats-server of the kit's own with Dagyo's streams, the kit's connections to it, and all that
// EVENTS has stored.
type hub struct {
	dir    string
	keys   *keys // nil: the server has no roles
	server *embedded.Server
	dial   dialer
	// inside is for what services do. outside is for the other ends of the executors' edges: it has the rights of a
	// user, so an executor on which the readers and writers of users cannot rely finds none here either.
	inside, outside *broker.Link
	events          journal.Journal[said]

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

// startHub starts a hub. On an open one there are no roles: everybody may do everything, in one account.
func startHub(ctx context.Context, open bool) (*hub, error) {
	dir, err := os.MkdirTemp("", "dagyo-conformance-") // nobody else may look into it
	if err != nil {
		return nil, fmt.Errorf("make a directory for NATS: %w", err)
	}
	h := &hub{dir: dir, cancel: func() {}}
	if !open {
		if h.keys, err = newKeys(); err != nil {
			return nil, errors.Join(err, h.close())
		}
	}
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
	if err := h.connect(ctx); err != nil {
		return err
	}
	if err := broker.Ensure(whole(ctx), h.inside, broker.DefaultConfig()); err != nil {
		return err
	}
	h.follow(ctx)
	return nil
}

func (h *hub) connect(ctx context.Context) (err error) {
	if h.keys == nil {
		h.inside, err = h.link(ctx, nil)
		h.outside = h.inside
		return err
	}
	master, err := h.keys.master()
	if err != nil {
		return err
	}
	user, err := h.keys.issue(access.User, kitName, "")
	if err != nil {
		return err
	}
	if h.inside, err = h.link(ctx, master); err == nil {
		h.outside, err = h.link(ctx, user)
	}
	return err
}

func (h *hub) link(ctx context.Context, credentials []byte) (*broker.Link, error) {
	return broker.Connect(ctx, broker.Options{
		URL: h.server.ClientURL(), Name: "conformance kit", Credentials: credentials,
		Extra: []nats.Option{
			nats.SetCustomDialer(&h.dial),
			// What the server refuses us is the fault of an executor that is judged for it.
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		},
	})
}

// credentials are those of an executor: their file, and the token in it. Both are "" without roles.
type credentials struct {
	path, token string
}

// credentials issues those of an executor, and stores them in the hub's directory.
func (h *hub) credentials(id, mailbox string) (c credentials, err error) {
	if h.keys == nil {
		return c, nil
	}
	content, err := h.keys.issue(access.Executor, id, mailbox)
	if err != nil {
		return c, err
	}
	if c.token, err = jwt.ParseDecoratedJWT(content); err != nil {
		return c, err
	}
	c.path = filepath.Join(h.dir, id+".creds")
	if err := os.WriteFile(c.path, content, 0o600); err != nil {
		return c, fmt.Errorf("write the credentials of executor %s: %w", id, err)
	}
	return c, nil
}

func (h *hub) startServer(ctx context.Context) error {
	options := embedded.Options{Port: embedded.RandomPort, Dir: h.dir, Log: zerolog.Nop()}
	if h.keys != nil {
		options.Trust = &h.keys.trust
	}
	server, err := embedded.Start(ctx, options)
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
		JS: h.inside.JS, Stream: contract.StreamEvents, Filters: []string{"job.>", "executor.>"},
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
	events, err := h.inside.JS.Stream(ctx, contract.StreamEvents)
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
	for _, link := range []*broker.Link{h.inside, h.outside} {
		if link != nil {
			link.Close()
		}
	}
	if h.server != nil {
		h.server.Shutdown()
	}
	return os.RemoveAll(h.dir)
}
