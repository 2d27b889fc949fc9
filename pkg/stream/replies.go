package stream

import (
	"crypto/rand"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// Replies receive the answers to all readers and writers of a connection that are made with it, over one subscription.
// Without them, each one has its own: the server then compares a new wildcard subscription with all subjects that it has
// cached, and again when it ends.
type Replies struct {
	prefix string

	mu   sync.Mutex
	open map[string]chan<- *nats.Msg
}

// NewReplies subscribes until the connection is closed.
func NewReplies(nc *nats.Conn) (*Replies, error) {
	x := &Replies{prefix: secretInbox(nc), open: make(map[string]chan<- *nats.Msg)}
	sub, err := nc.Subscribe(x.prefix+">", x.deliver)
	if err != nil {
		return nil, err
	}
	return x, sub.SetPendingLimits(-1, -1) // requests in flight are bounded
}

// inbox returns a prefix of subjects whose messages are sent to msgs until end is called. Like the connection, it drops
// what does not fit into msgs. x may be nil.
func (x *Replies) inbox(nc *nats.Conn, msgs chan *nats.Msg) (prefix string, end func(), err error) {
	if x == nil {
		prefix = secretInbox(nc)
		sub, err := nc.ChanSubscribe(prefix+">", msgs)
		// An error means that the connection is closed, and the subscription with it.
		return prefix, func() { _ = sub.Unsubscribe() }, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	token := rand.Text() // nobody can guess it, and so send answers to requests
	x.open[token] = msgs
	return x.prefix + token + ".", func() { x.end(token) }, nil
}

// secretInbox returns the prefix of subjects that nobody can guess. Those of the connection's own inboxes follow from each
// other, and the ends of edges see one of them.
func secretInbox(nc *nats.Conn) string {
	inbox := nc.NewInbox()
	return inbox[:strings.LastIndexByte(inbox, '.')+1] + rand.Text() + "."
}

func (x *Replies) end(token string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.open, token)
}

func (x *Replies) deliver(m *nats.Msg) {
	token, _, _ := strings.Cut(m.Subject[len(x.prefix):], ".")
	x.mu.Lock()
	defer x.mu.Unlock()
	select {
	case x.open[token] <- m:
	default:
	}
}
