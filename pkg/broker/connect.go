package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MinPayload is the smallest max_payload, in octets, with which Dagyo works: an edge's frame and a
// small flow's events must fit.
const MinPayload = 256 << 10

// How the connection notices that it is dead, without being told: a ping is sent each PingInterval, and when
// more than MaxPings are unanswered, after 12 to 15 seconds, the connection is replaced. A machine that is
// busy answers one of the pings in time. A write that a dead connection does not take holds up the pings;
// so it has WriteTimeout, as the server has by default for its writes to us.
const (
	PingInterval = 3 * time.Second
	MaxPings     = 4
	WriteTimeout = 10 * time.Second
	// DialTimeout bounds one attempt to connect, with the handshake.
	DialTimeout = 5 * time.Second
)

// Options say where NATS is and who we are there.
type Options struct {
	// URL is a NATS URL or a comma-separated list of them.
	URL string
	// Name shows in the server's connection list.
	Name string
	Access
	// Wait bounds the first connection attempt; 0 waits as long as the context.
	Wait time.Duration
	// Extra options for special cases, such as callbacks on disconnect.
	Extra []nats.Option
}

// A Link is a connection to NATS and its JetStream context.
type Link struct {
	*nats.Conn
	JS jetstream.JetStream
}

// Connect opens a connection that reconnects for ever, and refuses a server whose max_payload is
// below MinPayload. Close the returned link.
func Connect(ctx context.Context, o Options) (*Link, error) {
	if err := o.Access.Validate(); err != nil {
		return nil, err
	}
	nc, err := nats.Connect(o.URL, options(o)...)
	if bad := new(url.Error); errors.As(err, &bad) { // it has the URL in it, with the password
		return nil, fmt.Errorf("%s is not the URL of a NATS server, or a list of them: "+
			"in a password, %%, /, @ and others are written %%25, %%2F, %%40", Redact(o.URL))
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
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return &Link{Conn: nc, JS: js}, nil
}

func options(o Options) []nats.Option {
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
	return append(append(opts, o.Access.options()...), o.Extra...)
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
