package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	followBatch = 1000
	followWait  = 30 * time.Second
	followBeat  = time.Second
	// followStatuses is the room for status messages behind a batch that is not handled yet.
	followStatuses = 64
	// followKeep is how long the server keeps the consumer of a follower that has disappeared.
	followKeep = time.Minute
	// followPause is the pause between two tries while the broker is unreachable.
	followPause = 100 * time.Millisecond
	// Timeouts for creating a consumer: the first one, and the longest one after timeouts.
	leastPatience = 500 * time.Millisecond
	mostPatience  = 8 * time.Second
)

// MetadataService is the key, in a consumer's metadata, of the service that owns it.
const MetadataService = "dagyo.service"

// A Follower reads a stream with limits retention from a given message on, and continues with new messages.
type Follower struct {
	JS     jetstream.JetStream
	Stream string
	// From is the sequence of the first message to read; 0 means the first of the stream.
	From uint64
	// Name and Metadata identify the consumer's owner to operators: Name is a prefix of the consumer's name.
	Name     string
	Metadata map[string]string
	// Filters are the subjects to read; none means all.
	Filters []string
	// Whole requests ErrCut if messages after the first one were deleted before they were read.
	Whole bool
	// HeadersOnly leaves the bodies on the server.
	HeadersOnly bool
	// Handle is called with every matching message, once and in order.
	Handle func(m *nats.Msg, meta *nats.MsgMetadata)
	// CaughtUp is called whenever all stored messages have been handled; Interrupted is called when it is no
	// longer known whether that is so.
	CaughtUp    func()
	Interrupted func(error)
}

// ErrRewound means that the broker has lost the end of the stream: known sequences are assigned again, and
// what was derived from them is no longer true.
var ErrRewound = errors.New("the stream ends before the last message that was read; it was restored from a backup or lost its end")

// ErrCut means that messages were deleted before they were read: the reader was away for too long.
var ErrCut = errors.New("messages of the stream were deleted before they were read")

var (
	errGap    = errors.New("a message was lost in transit")
	errSilent = errors.New("the server has lost the request for messages")
)

// Run follows until the context ends. Reconnects and restarts of the broker only delay it: it then creates its
// consumer again after the last message that it handled.
//
// It replaces nats.go's ordered consumer because that can take five seconds to stop, and as long to notice a
// restart.
func (f Follower) Run(ctx context.Context) error {
	next := max(f.From, 1)
	patience := leastPatience
	for ctx.Err() == nil {
		err := f.from(ctx, &next, patience)
		f.Interrupted(err)
		if lasting(err) {
			return fmt.Errorf("follow %s: %w", f.Stream, err)
		}
		// A request that is lost in a restart is never answered; a busy broker answers late.
		if errors.Is(err, context.DeadlineExceeded) {
			patience = min(2*patience, mostPatience)
		} else {
			patience = leastPatience
		}
		select {
		case <-time.After(followPause):
		case <-ctx.Done():
		}
	}
	return nil
}

// lasting reports whether a retry is of no use.
func lasting(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, ErrRewound) || errors.Is(err, ErrCut)
}

// from creates a consumer at *next and reads until an error occurs.
func (f Follower) from(ctx context.Context, next *uint64, patience time.Duration) error {
	made, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	config := passing(f.Filters, *next)
	config.Metadata = f.Metadata
	if f.Name != "" {
		config.Name = f.Name + "-" + nuid.Next()
	}
	config.HeadersOnly = f.HeadersOnly
	cons, err := f.JS.CreateConsumer(made, f.Stream, config)
	if err != nil {
		return err
	}
	stream, err := f.JS.Stream(made, f.Stream)
	if err != nil {
		return err
	}
	if stream.CachedInfo().State.LastSeq+1 < *next {
		return ErrRewound
	}
	defer drop(ctx, f.JS, f.Stream, cons)
	if cons.CachedInfo().NumPending == 0 {
		f.CaughtUp()
	}
	for delivered := uint64(0); ; {
		if err := f.batch(ctx, cons, next, &delivered); err != nil {
			return err
		}
	}
}

// passing configures a temporary consumer of a stream, from a sequence on.
func passing(filters []string, from uint64) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: followKeep,
	}
}

// drop deletes a temporary consumer. If that fails, the server deletes it after followKeep.
func drop(ctx context.Context, js jetstream.JetStream, stream string, cons jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = js.DeleteConsumer(ctx, stream, cons.CachedInfo().Name)
}

// batch requests messages and handles them. It replaces Fetch, which passes each message on to another goroutine, and
// makes a timer for it.
func (f Follower) batch(ctx context.Context, cons jetstream.Consumer, next, delivered *uint64) error {
	nc := f.JS.Conn()
	changed := nc.StatusChanged(nats.RECONNECTING, nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(changed)
	inbox, msgs := nc.NewInbox(), make(chan *nats.Msg, followBatch+followStatuses)
	sub, err := nc.ChanSubscribe(inbox, msgs)
	if err != nil {
		return err
	}
	// An error means that the connection is closed, and the subscription with it.
	defer func() { _ = sub.Unsubscribe() }()
	request := Pull{Batch: followBatch, Expires: followWait, Heartbeat: followBeat}
	if err := request.Send(leader(f.JS), f.Stream, cons.CachedInfo().Name, inbox); err != nil {
		return err
	}
	silence := time.NewTimer(2 * followBeat)
	defer silence.Stop()
	for got := 0; got < followBatch; {
		select {
		case m := <-msgs:
			silence.Reset(2 * followBeat)
			if m.Reply == "" {
				if over, err := PullOver(m); over {
					return err
				}
				continue
			}
			got++
			if err := f.message(ctx, m, next, delivered); err != nil {
				return err
			}
		case <-silence.C:
			if len(msgs) == 0 { // else Handle took long
				return errSilent
			}
		case <-changed:
			return ErrInterrupted
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// message handles one message.
func (f Follower) message(ctx context.Context, m *nats.Msg, next, delivered *uint64) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	if *delivered++; meta.Sequence.Consumer != *delivered {
		return errGap
	}
	if err := f.whole(ctx, *next, meta.Sequence.Stream); err != nil {
		return err
	}
	*next = meta.Sequence.Stream + 1
	f.Handle(m, meta)
	if meta.NumPending == 0 {
		f.CaughtUp()
	}
	return nil
}

// whole returns ErrCut if the messages between the expected one and the received one were trimmed. Single ones may be
// missing: operators may delete any message.
func (f Follower) whole(ctx context.Context, want, got uint64) error {
	if !f.Whole || got == want || want == max(f.From, 1) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, mostPatience)
	defer cancel()
	stream, err := f.JS.Stream(ctx, f.Stream)
	if err == nil && stream.CachedInfo().State.FirstSeq > want {
		err = ErrCut
	}
	return err
}
