package client

import (
	"context"
	"errors"
	"fmt"
	"net"
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
}

// A Client is a connection to Dagyo. Its methods may be called concurrently.
type Client struct {
	link    *broker.Link
	source  string
	user    string
	denials denials
	keys    keyStore
	closing sync.WaitGroup // feeds
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
	c := &Client{source: o.Source, user: o.User}
	c.link, err = broker.Connect(ctx, broker.Options{
		URL: o.URL, Access: o.Access, Credentials: o.Credentials, Name: "dagyo", Wait: connectWait,
		Extra: []nats.Option{nats.RetryOnFailedConnect(false), nats.ErrorHandler(c.denials.handle)},
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
