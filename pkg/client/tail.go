package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

const (
	// mostSubjects limits the subjects of a feed: each costs a request for each round.
	mostSubjects = 64
	// answerWait is how long to wait for an answer of the broker; retryPause is the pause after an error.
	answerWait = 2 * time.Second
	retryPause = 100 * time.Millisecond
)

// A tail reads the messages of EVENTS, or of LOGS, on some subjects, in order, each once, without a consumer (ADR 24): the
// right to create consumers is a right to publish.
//
// It reads in rounds. A round first asks the stream's leader for the number of the last message, then reads each
// subject up to there: so the subjects are in order. Only the leader says that a subject has no more messages, so a
// replica that is behind cannot hide one. With one subject, the first question is not needed.
type tail struct {
	nc      *broker.Link
	stream  string
	bell    *bell
	cursors []*cursor
	// newest is the number of the last message, when the leader was last asked for it.
	newest uint64
	// check is true if the next round asks for it although it need not.
	check bool
	// found are messages to deliver.
	found []*stored
	// failed is the error of the last round.
	failed error

	subs    []*nats.Subscription
	inbox   string // prefix of reply subjects: then the number of the request
	number  uint64 // of requests
	msgs    chan *nats.Msg
	changed chan nats.Status
	silence *time.Timer
}

// openTail subscribes. The caller must close the tail.
func openTail(nc *broker.Link, stream string, subjects []string) (*tail, error) {
	if len(subjects) > mostSubjects {
		return nil, fmt.Errorf("%d subjects; the limit is %d", len(subjects), mostSubjects)
	}
	t := &tail{
		nc: nc, stream: stream, bell: newBell(), inbox: nc.NewInbox() + ".",
		msgs:    make(chan *nats.Msg, len(subjects)*(batchMost+4)),
		changed: nc.StatusChanged(nats.RECONNECTING, nats.CONNECTED, nats.CLOSED),
		silence: time.NewTimer(answerWait),
	}
	if err := t.subscribe(subjects); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tail) subscribe(subjects []string) error {
	sub, err := t.nc.ChanSubscribe(t.inbox+"*", t.msgs)
	if err != nil {
		return err
	}
	t.subs = append(t.subs, sub)
	for _, s := range subjects {
		t.cursors = append(t.cursors, &cursor{subjects: s})
		for _, heard := range audible(s) {
			sub, err := t.nc.Subscribe(heard, t.bell.heard)
			if err != nil {
				return fmt.Errorf("subscribe to %s: %w", heard, err)
			}
			t.subs = append(t.subs, sub)
		}
	}
	return nil
}

// audible returns the subjects that announce new messages. Ticks are not worth a round.
func audible(subjects string) (out []string) {
	if subjects != allSubjects {
		return []string{subjects}
	}
	for _, e := range contract.Table {
		if e.Type != contract.TypeTick {
			out = append(out, e.Pattern())
		}
	}
	return out
}

const allSubjects = ">"

func (t *tail) close() {
	for _, s := range t.subs {
		_ = s.Unsubscribe() // an error means that it has ended
	}
	t.nc.RemoveStatusListener(t.changed)
	t.silence.Stop()
}

// begin finds the place of the start, and returns the number of messages that are stored from there on.
func (t *tail) begin(ctx context.Context, from Start) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	last, err := t.last(ctx)
	if err != nil {
		return 0, err
	}
	t.newest = last
	through, err := t.before(ctx, from, last)
	if err != nil {
		return 0, err
	}
	for _, c := range t.cursors {
		c.through = through
	}
	err = t.readTo(ctx, last, last)
	for errors.Is(err, errInterrupted) || errors.Is(err, nats.ErrTimeout) {
		if pause(ctx, retryPause); ctx.Err() != nil {
			return 0, ctx.Err()
		}
		err = t.readTo(ctx, last, last)
	}
	if err != nil {
		return 0, err
	}
	pending := uint64(0)
	for _, c := range t.cursors {
		pending += uint64(len(c.got))
		if c.done(last) {
			continue
		}
		more, err := t.count(ctx, broker.Query{Seq: c.through + 1, Next: c.subjects, Batch: 1})
		if err != nil {
			return 0, err
		}
		pending += more
	}
	t.found = ready(t.cursors)
	return pending, nil
}

// before returns the number of the message before the start; last is that of the last message.
func (t *tail) before(ctx context.Context, from Start, last uint64) (uint64, error) {
	switch {
	case from.New:
		return last, nil
	case from.Seq > 0:
		return from.Seq - 1, nil
	case from.Time.IsZero():
		return 0, nil
	}
	m, err := t.nc.LeaderMessage(ctx, t.stream, broker.Query{From: &from.Time, Next: allSubjects})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return last, nil
	}
	if err != nil {
		return 0, err
	}
	return m.Sequence - 1, nil
}

// last returns the number of the last message, or 0 if there is none.
func (t *tail) last(ctx context.Context) (uint64, error) {
	m, err := t.nc.LeaderMessage(ctx, t.stream, broker.Query{Last: allSubjects})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, nil
	case errors.Is(err, nats.ErrNoResponders):
		return 0, jetstream.ErrJetStreamNotEnabled
	case err != nil:
		return 0, err
	}
	return m.Sequence, nil
}

// count returns how many messages a query for one message selects, including those that follow it.
func (t *tail) count(ctx context.Context, q broker.Query) (uint64, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	m, err := t.nc.RequestWithContext(ctx, t.nc.ReplicaSubject(t.stream), body)
	if err != nil {
		return 0, err
	}
	a, err := broker.ReadReplicaAnswer(m)
	if err != nil || a.Message == nil {
		return 0, err
	}
	return a.Pending + 1, nil
}

// next waits for messages. The error is that of the context, or of a closed connection: all others are retried.
func (t *tail) next(ctx context.Context) ([]*stored, error) {
	for {
		if found := t.found; len(found) > 0 {
			t.found = nil
			t.bell.found(found)
			return found, nil
		}
		if err := t.recover(ctx); err != nil {
			return nil, err
		}
		if err := t.await(ctx); err != nil {
			return nil, err
		}
		last, err := t.round(ctx, t.bell.begin())
		t.found = ready(t.cursors)
		t.failed, t.check = err, err != nil
		if err != nil || unread(t.cursors, last) {
			t.bell.ring()
		}
		t.bell.ended(time.Now())
	}
}

// rest reads a part of what is stored now, and reports whether that is all. After an error, what was read is valid, and the
// next call continues.
func (t *tail) rest(ctx context.Context) (found []*stored, all bool, err error) {
	if err := t.recover(ctx); err != nil {
		return nil, false, err
	}
	t.check = true
	last, err := t.round(ctx, t.bell.begin())
	t.failed = err
	found = append(t.found, ready(t.cursors)...)
	t.found = nil
	return found, err == nil && !unread(t.cursors, last), err
}

// await returns when a round is due.
func (t *tail) await(ctx context.Context) error {
	for {
		wait := t.bell.due(time.Now())
		if wait == 0 {
			return ctx.Err()
		}
		t.silence.Reset(wait)
		select {
		case <-t.bell.wake:
		case <-t.changed: // something was missed
			t.check = true
			t.bell.ring()
		case <-t.msgs: // late
		case <-t.silence.C:
			t.check = t.check || wait == checkEvery
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// recover waits after a round that has failed.
func (t *tail) recover(ctx context.Context) error {
	switch {
	case t.failed == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case t.nc.IsClosed():
		return nats.ErrConnectionClosed
	}
	t.silence.Reset(retryPause)
	select {
	case <-t.silence.C:
	case <-t.changed:
	case <-ctx.Done():
	}
	t.failed = nil
	return ctx.Err()
}

var errInterrupted = errors.New("the connection was interrupted")

// round reads what is stored, and returns up to which number. What it has read is kept if it fails.
//
// With one subject it reads up to the message that was heard last, or to the end if that is none: its number is not
// trusted to skip anything.
func (t *tail) round(ctx context.Context, heard uint64) (last uint64, err error) {
	if len(t.cursors) == 1 && !t.check {
		if heard <= t.cursors[0].through {
			heard = math.MaxUint64
		}
		return heard, t.readTo(ctx, heard, 0)
	}
	if last, err = t.askLast(ctx); err != nil {
		return 0, err
	}
	if last < t.newest && last > 0 { // the stream was restored from a backup, or has lost its end
		for _, c := range t.cursors {
			c.rewind(last)
		}
	}
	if last > 0 {
		t.newest = last
	}
	return last, t.readTo(ctx, last, last)
}

// readTo reads each subject up to the number last. The leader has all messages up to known.
func (t *tail) readTo(ctx context.Context, last, known uint64) error {
	for _, c := range t.cursors {
		c.begin()
	}
	open := 0
	for _, c := range t.cursors {
		more, err := t.ask(c, last)
		if err != nil {
			return err
		}
		if more {
			open++
		}
	}
	for open > 0 {
		m, number, err := t.receive(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(t.cursors, func(c *cursor) bool { return c.request == number })
		if i < 0 {
			continue // to an earlier request
		}
		more, err := t.answered(t.cursors[i], m, last, known)
		if err != nil {
			return err
		}
		if !more {
			open--
		}
	}
	return nil
}

// askLast asks the leader for the number of the last message.
func (t *tail) askLast(ctx context.Context) (uint64, error) {
	asked, err := t.send(t.nc.LeaderSubject(t.stream), broker.Query{Last: allSubjects})
	for err == nil {
		var m *nats.Msg
		var number uint64
		if m, number, err = t.receive(ctx); err != nil || number != asked {
			continue
		}
		answer, err := broker.LeaderAnswer(m)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		return answer.Sequence, nil
	}
	return 0, err
}

// ask sends a cursor's next request in this round, if it has one.
func (t *tail) ask(c *cursor, last uint64) (more bool, err error) {
	q, more := c.query(last)
	if !more {
		return false, nil
	}
	to := t.nc.LeaderSubject(t.stream)
	if c.asks == aBatch {
		to = t.nc.ReplicaSubject(t.stream)
	}
	c.request, err = t.send(to, q)
	return true, err
}

func (t *tail) send(to string, q broker.Query) (number uint64, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	t.number++
	return t.number, t.nc.PublishRequest(to, t.inbox+strconv.FormatUint(t.number, 10), body)
}

// answered handles one message of the answer to a cursor's request, and reports whether more will follow in this round.
func (t *tail) answered(c *cursor, m *nats.Msg, last, known uint64) (more bool, err error) {
	if c.asks == theNext {
		found, err := broker.LeaderAnswer(m)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return false, err
		}
		if err := c.next(found, known); err != nil {
			return false, err
		}
		return t.ask(c, last)
	}
	a, err := broker.ReadReplicaAnswer(m)
	if err != nil {
		return false, err
	}
	if a.Message != nil {
		return true, c.batch(a)
	}
	return t.ask(c, last)
}

// receive waits for an answer, and returns the number of its request.
func (t *tail) receive(ctx context.Context) (*nats.Msg, uint64, error) {
	t.silence.Reset(answerWait)
	select {
	case m := <-t.msgs:
		number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, t.inbox), 10, 64)
		return m, number, err
	case <-t.changed:
		return nil, 0, errInterrupted
	case <-t.silence.C:
		return nil, 0, nats.ErrTimeout
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}
