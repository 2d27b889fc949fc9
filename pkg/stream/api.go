package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/singleflight"

	"github.com/dagyo/dagyo/pkg/wire"
)

// Pauses between retries of transient failures.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 2 * time.Second
)

// An answer that has not arrived by then was lost with a connection, or the broker is overloaded: each
// try waits longer.
const (
	firstAnswer = time.Second
	lastAnswer  = 8 * time.Second
)

// longer returns the pause after a pause of d; 0 means that there was none yet.
func longer(d time.Duration) time.Duration {
	return min(max(2*d, firstPause), lastPause)
}

// apiSubject returns a subject of the JetStream API under the prefix that js uses.
func apiSubject(js jetstream.JetStream, rest string) string {
	opts := js.Options()
	switch {
	case opts.Domain != "":
		return "$JS." + opts.Domain + ".API." + rest
	case opts.APIPrefix != "":
		return strings.TrimSuffix(opts.APIPrefix, ".") + "." + rest
	}
	return "$JS.API." + rest
}

// creditMessage returns a credit. A shard keeps the last one; in a flow's own stream it must delete earlier ones.
func (r *Reader) creditMessage(c wire.Credit) *nats.Msg {
	m := nats.NewMsg(r.addr.Credit + r.ends.own)
	if r.addr.Slots == 0 {
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	}
	m.Data, _ = r.ends.pack(m.Subject, c.Append(nil))
	return m
}

// status returns the status code of a message that carries one instead of a payload, else "".
func status(m *nats.Msg) string {
	if len(m.Data) > 0 || m.Header == nil {
		return ""
	}
	return m.Header.Get("Status")
}

// patiently asks the broker until it succeeds or fails with a lasting error.
func patiently(ctx context.Context, ask func(context.Context) error) error {
	pause := longer(0)
	for wait := firstAnswer; ; wait = min(2*wait, lastAnswer) {
		err := within(ctx, wait, ask)
		if err == nil {
			return nil
		}
		if err := lasting(ctx, err); err != nil {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = longer(pause)
	}
}

// within asks once.
func within(ctx context.Context, d time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return ask(ctx)
}

// sleep returns after d, or with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookups are the lookups of streams in this process, by connection and stream. Edges share them: when a broker has
// lost a stream of edges, all jobs look for it at the same time, and nats-server drops all requests when there are
// 10,000. That a stream does not exist is remembered for goneFor.
var (
	lookups singleflight.Group
	gone    sync.Map // by lostStream
)

const goneFor = time.Second

type lostStream struct {
	conn *nats.Conn
	name string
}

// checkStream returns ErrGone if the stream does not exist, an error of the context or of a closed
// connection, and nil if the stream exists or the broker does not answer now.
func checkStream(ctx context.Context, js jetstream.JetStream, name string) error {
	key := lostStream{js.Conn(), name}
	if _, is := gone.Load(key); is {
		return lasting(ctx, ErrGone)
	}
	found := lookups.DoChan(fmt.Sprintf("%p %s", key.conn, name), func() (any, error) {
		err := within(context.Background(), firstAnswer, func(ctx context.Context) error {
			return findStream(ctx, js, name)
		})
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			gone.Store(key, nil)
			time.AfterFunc(goneFor, func() { gone.Delete(key) })
		}
		return nil, err
	})
	select {
	case r := <-found:
		return lasting(ctx, r.Err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// findStream returns jetstream.ErrStreamNotFound if a stream does not exist. It asks for a consumer that no stream has: the
// right to that call, unlike the one to a stream's description, shows nothing of the stream.
func findStream(ctx context.Context, js jetstream.JetStream, stream string) error {
	m, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "CONSUMER.INFO."+stream+".none"), nil)
	if err != nil {
		return err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	err = json.Unmarshal(m.Data, &answer)
	switch {
	case err != nil:
		return fmt.Errorf("look for stream %s: %w", stream, err)
	case answer.Error == nil, answer.Error.ErrorCode == jetstream.JSErrCodeConsumerNotFound:
		return nil
	case answer.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return jetstream.ErrStreamNotFound
	}
	return answer.Error
}

// lasting returns the error for the edge after a failed request to the broker: nil if a retry may
// succeed.
func lasting(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, ErrGone):
		return ErrGone
	case ctx.Err() != nil:
		return ctx.Err()
	case Lasting(err):
		return err
	}
	return nil
}
