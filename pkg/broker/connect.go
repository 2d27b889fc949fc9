package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/access"
)

// MinPayload is the smallest supported max_payload, in bytes: an edge's frame and the events of a small
// flow must fit.
const MinPayload = 256 << 10

// How the connection detects that it is dead without being closed: a ping is sent every PingInterval, and when
// more than MaxPings are unanswered, after 12 to 15 seconds, the connection is replaced. A busy machine answers
// one of the pings in time. A write that a dead connection does not accept delays the pings, so writes are
// limited to WriteTimeout, like the server's writes to us by default.
const (
	PingInterval = 3 * time.Second
	MaxPings     = 4
	WriteTimeout = 10 * time.Second
	// DialTimeout limits one attempt to connect, including the handshake.
	DialTimeout = 5 * time.Second
)

// Options are the address of NATS and the identity of the client.
type Options struct {
	// URL is a NATS URL or a comma-separated list of them.
	URL string
	// Name is shown in the server's connection list.
	Name string
	Access
	// Credentials is the content of a NATS credentials file, to be used instead of Access.Creds.
	Credentials []byte
	// Wait limits the first connection attempt; 0 waits until the context ends.
	Wait time.Duration
	// Extra options for special cases, such as callbacks on disconnect.
	Extra []nats.Option
}

// A Link is a connection to NATS and its JetStream context.
type Link struct {
	*nats.Conn
	JS jetstream.JetStream
}

// API returns the subject of a call of the JetStream API.
func (l *Link) API(call string) string {
	if prefix := l.JS.Options().APIPrefix; prefix != "" {
		return strings.TrimSuffix(prefix, ".") + "." + call
	}
	return access.API + call
}

// Connect opens a connection that reconnects forever. It rejects a server with a max_payload below
// MinPayload. The caller must close the returned link.
func Connect(ctx context.Context, o Options) (*Link, error) {
	if err := o.Access.Validate(); err != nil {
		return nil, err
	}
	set, err := options(o)
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(o.URL, set...)
	if bad := new(url.Error); errors.As(err, &bad) { // it contains the URL with the password
		return nil, fmt.Errorf("%s is not a NATS URL or a list of them: "+
			"in a password, write %%, / and @ as %%25, %%2F and %%40", Redact(o.URL))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) { // a port that Docker forwards is always open
		err = fmt.Errorf("the connection was closed before a greeting of NATS, which may be starting; try again: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", Redact(o.URL), err)
	}
	if err := awaitConnected(ctx, nc, o.Wait); err != nil {
		nc.Close()
		return nil, fmt.Errorf("connect to NATS at %s: %w", Redact(o.URL), err)
	}
	if got := nc.MaxPayload(); got < MinPayload {
		nc.Close()
		return nil, fmt.Errorf("NATS at %s has max_payload %d; Dagyo needs at least %d: raise it in "+
			"the server's configuration", Redact(o.URL), got, MinPayload)
	}
	js, err := openJetStream(nc, o)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return &Link{Conn: nc, JS: js}, nil
}

// openJetStream returns JetStream with the prefix of the account that the credentials are for.
func openJetStream(nc *nats.Conn, o Options) (jetstream.JetStream, error) {
	holder, ours, err := o.Access.Holder(o.Credentials)
	if err != nil {
		return nil, err
	}
	if ours && !holder.Service() {
		return jetstream.NewWithAPIPrefix(nc, strings.TrimSuffix(access.BridgedAPI, "."))
	}
	return jetstream.New(nc)
}

func options(o Options) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.PingInterval(PingInterval),
		nats.MaxPingsOutstanding(MaxPings),
		nats.FlusherTimeout(WriteTimeout),
		nats.Timeout(DialTimeout),
		nats.SetCustomDialer(&dialer{net.Dialer{Timeout: DialTimeout}}),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
	}
	own, err := o.Access.options(o.Credentials)
	return append(append(opts, own...), o.Extra...), err
}

var errNoServer = errors.New("no server answers")

func awaitConnected(ctx context.Context, nc *nats.Conn, wait time.Duration) error {
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, wait, errNoServer)
		defer cancel()
	}
	changed := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(changed)
	for !nc.IsConnected() {
		select {
		case <-changed:
			if nc.IsClosed() {
				return errors.Join(errNoServer, nc.LastError())
			}
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), nc.LastError())
		}
	}
	return nil
}
