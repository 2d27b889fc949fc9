package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

// DefaultURL is the default address of NATS.
const DefaultURL = nats.DefaultURL

const (
	connectWait = 5 * time.Second        // bounds the first connection attempt
	askWait     = 10 * time.Second       // bounds every request
	absentWait  = 5 * time.Second        // bounds the wait for a service that does not run
	absentPause = 100 * time.Millisecond // between two tries
)

// Options configure a client.
type Options struct {
	URL string
	// Access holds the files with the NATS credentials.
	Access broker.Access
	// Credentials is the content of a NATS credentials file, to be used instead of Access.Creds.
	Credentials []byte
	// Source is the CloudEvents source of published events, such as "/dagyo/cli/ada".
	Source string
	// User is the name under which the NATS server lets this client publish: it publishes on subjects that end in
	// ".by.<User>". It is "" on a server that does not tell users apart.
	User string
	// Persist keeps the client connecting when the server refuses its credentials: their file will be replaced.
	Persist bool
}

// A Client is a connection to Dagyo. Its methods may be called concurrently.
type Client struct {
	link    *broker.Link
	source  string
	user    string
	denials denials
	keys    keyStore
	closing sync.WaitGroup // feeds
	// lost is closed when the connection is, for why.
	lost chan struct{}
	why  error
	// known is the sequence number of the last event of a flow or job that the user of the client knows of: what is asked
	// about flows from then on includes it.
	known atomic.Uint64
	// ahead is by how much the server's clock is ahead of ours, nil until a service has answered.
	ahead atomic.Pointer[time.Duration]
}

// Connect connects to a server, or returns ErrNoServer if none answers. Once established, the connection
// survives restarts of the server. The caller must close the client.
func Connect(ctx context.Context, o Options) (*Client, error) {
	holder, ok, err := o.Access.Holder(o.Credentials)
	if err != nil {
		return nil, err
	}
	if ok && o.User == "" {
		o.User = holder.Name
	}
	if o.User != "" && !document.ValidName(o.User) {
		return nil, fmt.Errorf("the user %s is not a name: it must match %s", document.Quote(o.User), document.NamePattern)
	}
	c := &Client{source: o.Source, user: o.User, lost: make(chan struct{})}
	c.link, err = broker.Connect(ctx, broker.Options{
		URL: o.URL, Access: o.Access, Credentials: o.Credentials, Name: "dagyo", Wait: connectWait,
		Extra: []nats.Option{nats.RetryOnFailedConnect(false), nats.ErrorHandler(c.denials.handle), endWhenRefused(o), nats.ClosedHandler(c.lose)},
	})
	if errors.Is(err, nats.ErrNoServers) {
		return nil, fmt.Errorf("%w at %s", ErrNoServer, broker.Redact(o.URL))
	}
	if err != nil {
		return nil, connectError(err, broker.Redact(o.URL))
	}
	return c, nil
}

// connectError explains why a connection was not made.
func connectError(err error, url string) error {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
		return fmt.Errorf("the server at %s does not accept these credentials, or requires some (%w): name a context with "+
			"--context, or a credentials file with --creds; `dagyo context ls` lists the contexts", url, err)
	}
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return fmt.Errorf("the server at %s does not answer: it is not NATS, or it hangs (%w)", url, err)
	}
	return err
}

// endWhenRefused closes the connection when the server has refused its credentials twice in a row: they were revoked, or have
// expired. Services go on trying, because the file of theirs is replaced in time.
func endWhenRefused(o Options) nats.Option {
	return func(set *nats.Options) error {
		set.IgnoreAuthErrorAbort = o.Persist
		return nil
	}
}

// ErrRefused is the cause of a context of Alive when the server does not accept the credentials any more.
var ErrRefused = errors.New("the server does not accept these credentials any more")

// refusals are the errors of a connection whose credentials the server does not accept.
var refusals = []error{
	nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrMaxAccountConnectionsExceeded,
}

func (c *Client) lose(nc *nats.Conn) {
	c.why = nats.ErrConnectionClosed
	if err := nc.LastError(); slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) }) {
		c.why = fmt.Errorf("%w (%w)", ErrRefused, err)
	}
	close(c.lost)
}

// Lost returns why the connection has ended for good, nil if it has not.
func (c *Client) Lost() error {
	select {
	case <-c.lost:
		return c.why
	default:
		return nil
	}
}

// Alive returns a context that ends when the connection has ended for good, which is its cause.
func (c *Client) Alive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-c.lost:
			cancel(c.why)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
	}
}

// closeWait bounds the wait for the goroutines of nats.go when the connection is closed.
const closeWait = 2 * time.Second

// Close closes the connection, which ends all requests to a server that does not answer. Feeds must be closed before.
func (c *Client) Close() {
	c.link.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.closing.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(closeWait):
	}
}

// on returns the subject on which this client publishes what has a plain subject.
func (c *Client) on(subject string) string { return contract.Sender{Name: c.user}.On(subject) }

// User returns the name under which this client publishes, or "".
func (c *Client) User() string { return c.user }

// URL returns the address of the connected server.
func (c *Client) URL() string { return c.link.ConnectedUrlRedacted() }
