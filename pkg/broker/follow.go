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
	// followKeep is how long the server keeps the consumer of a follower that has vanished.
	followKeep = time.Minute
	// followPause is the time between two tries while the broker is away.
	followPause = 100 * time.Millisecond
	// The broker has this long to make a consumer: the first time, and after time-outs.
	leastPatience = 500 * time.Millisecond
	mostPatience  = 8 * time.Second
)

// MetadataService is the key, in a consumer's metadata, of the service that folds EVENTS by it.
const MetadataService = "dagyo.service"

// A Follower reads a stream with limits retention from a message on, and goes on with what is added.
type Follower struct {
	JS     jetstream.JetStream
	Stream string
	// From is the number of the first message to read; 0 stands for the first of the stream.
	From uint64
	// Name and Metadata tell an operator whose consumer it is: the name is the beginning of the consumer's.
	Name     string
	Metadata map[string]string
	// Filters are the subjects to read; none stands for all of them.
	Filters []string
	// Whole asks for ErrCut where messages behind the first one are gone before they were read.
	Whole bool
	// HeadersOnly leaves the bodies on the server.
	HeadersOnly bool
	// Handle gets every message that matches, in order and once.
	Handle func(m jetstream.Msg, meta *jetstream.MsgMetadata)
	// CaughtUp is called whenever nothing that was stored before is left to handle, Interrupted when
	// that can no longer be told.
	CaughtUp    func()
	Interrupted func(error)
}

// ErrRewound says that the broker has lost the end of the stream: numbers that we know are given again,
// and what was made of them is not true any more.
var ErrRewound = errors.New("the stream ends before what was read of it; it was restored or lost its end")

// ErrCut says that the stream was cut beyond what was read of it: whoever was away for so long lacks messages.
var ErrCut = errors.New("the stream was cut beyond what was read of it")

var errGap = errors.New("a message was lost on its way")

// Run follows until the context ends. Reconnects and restarts of the broker only delay it: it makes its
// consumer anew behind the last message that it has handled.
//
// It stands in for nats.go's ordered consumer because that can take five seconds to stop, and as
// many to notice a restart.
func (f Follower) Run(ctx context.Context) error {
	next := max(f.From, 1)
	patience := leastPatience
	for ctx.Err() == nil {
		err := f.from(ctx, &next, patience)
		f.Interrupted(err)
		if lasting(err) {
			return fmt.Errorf("follow %s: %w", f.Stream, err)
		}
		// A request that was lost in a restart is never answered; a busy broker answers late.
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

// lasting reports whether trying again is of no use.
func lasting(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, ErrRewound) || errors.Is(err, ErrCut)
}

// from makes a consumer at *next and reads until something goes wrong.
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

// passing is a consumer for one look at a stream, from a number on.
func passing(filters []string, from uint64) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: followKeep,
	}
}

// drop deletes a passing consumer; what cannot be deleted goes by itself after followKeep.
func drop(ctx context.Context, js jetstream.JetStream, stream string, cons jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = js.DeleteConsumer(ctx, stream, cons.CachedInfo().Name)
}

func (f Follower) batch(ctx context.Context, cons jetstream.Consumer, next, delivered *uint64) error {
	wait, cancel := context.WithTimeout(ctx, followWait)
	defer cancel()
	changed := f.JS.Conn().StatusChanged(nats.RECONNECTING, nats.CONNECTED, nats.CLOSED)
	defer f.JS.Conn().RemoveStatusListener(changed)
	batch, err := cons.Fetch(followBatch, jetstream.FetchContext(wait), jetstream.FetchHeartbeat(followBeat))
	if err != nil {
		return err
	}
	for {
		select {
		case m, more := <-batch.Messages():
			if !more {
				return f.over(ctx, batch.Error())
			}
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
		case <-changed:
			return errors.New("the connection was interrupted")
		}
	}
}

// whole returns ErrCut if the messages between the one that was to come and the one that came were cut off. Single
// ones may be missing: operators delete what they like.
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

// over tells a batch that has simply ended from one that failed.
func (f Follower) over(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoMessages):
		return nil
	default:
		return err
	}
}
