package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/broker"
)

// DefaultURL is where NATS listens by convention.
const DefaultURL = nats.DefaultURL

const (
	connectWait = 5 * time.Second        // bounds the first connection attempt
	askWait     = 10 * time.Second       // bounds every question
	absentWait  = 5 * time.Second        // how long a question waits for a service that nobody runs
	absentPause = 100 * time.Millisecond // between two tries
)

// Options say where NATS is and who we are.
type Options struct {
	URL string
	// Access holds the files with which NATS lets us in.
	Access broker.Access
	// Source is the CloudEvents source of what we publish, such as "/dagyo/cli/ada".
	Source string
}

// A Client is a connection to Dagyo. Its methods may be called concurrently.
type Client struct {
	link    *broker.Link
	source  string
	closing sync.WaitGroup // feeds that were closed
}

// Connect connects to a server that is there now; else the error is ErrNoServer. Once it was there,
// the connection outlives its restarts. Close the client.
func Connect(ctx context.Context, o Options) (*Client, error) {
	link, err := broker.Connect(ctx, broker.Options{
		URL: o.URL, Access: o.Access, Name: "dagyo", Wait: connectWait,
		Extra: []nats.Option{nats.RetryOnFailedConnect(false), nats.ErrorHandler(ignore)},
	})
	if errors.Is(err, nats.ErrNoServers) {
		return nil, fmt.Errorf("%w at %s", ErrNoServer, broker.Redact(o.URL))
	}
	if err != nil {
		return nil, connectError(err, broker.Redact(o.URL))
	}
	return &Client{link: link, source: o.Source}, nil
}

// connectError explains why a connection was not made.
func connectError(err error, url string) error {
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return fmt.Errorf("the server at %s does not answer: it is not NATS, or it hangs (%w)", url, err)
	}
	return err
}

// ignore drops asynchronous errors, which nats.go would print: whatever waits gets its own.
func ignore(*nats.Conn, *nats.Subscription, error) {}

// closeWait bounds the wait for what nats.go still has to end when its connection is closed.
const closeWait = 2 * time.Second

// Close closes the connection, which ends all questions to a server that does not answer. Close feeds before.
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

// URL is the address of the server that we are connected to.
func (c *Client) URL() string { return c.link.ConnectedUrlRedacted() }
