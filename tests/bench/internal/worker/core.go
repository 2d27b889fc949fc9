package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/tests/bench/internal/role"
)

// patience is how long a worker waits for the next record, or for space in the window.
const patience = 20 * time.Second

// creditEvery is the number of bytes that a receiver on core NATS takes between two credits.
const creditEvery = 1 << 20

var errPatience = errors.New("nothing arrived for too long")

func connect(l Load, name string) (*nats.Conn, error) {
	nc, err := nats.Connect(l.URL, nats.Name(name))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return nc, nil
}

// coreSend sends one message per record over core NATS. It keeps a window, since plain NATS drops what a slow reader
// does not take.
func coreSend(_ context.Context, l Load) (prepared, error) {
	nc, err := connect(l, "core-send")
	if err != nil {
		return prepared{}, err
	}
	credits := make(chan *nats.Msg, 1024)
	if _, err := nc.ChanSubscribe(l.Subject+".credit", credits); err != nil {
		nc.Close()
		return prepared{}, err
	}
	return prepared{end: nc.Close, run: func(ctx context.Context, _ *role.Session) (Result, error) {
		m, record := newMeter(l), newRecord(l)
		room := l.Window
		for !m.over() {
			for room < int64(l.Size) {
				if err := awaitCredit(ctx, nc, credits); err != nil {
					return Result{}, err
				}
				room += creditEvery
			}
			stamp(l, record)
			if err := nc.Publish(l.Subject, record); err != nil {
				return Result{}, err
			}
			room -= int64(l.Size)
			m.add(l.Size)
		}
		r := m.done()
		if err := nc.Publish(l.Subject, nil); err != nil { // the end
			return Result{}, err
		}
		return r, nc.FlushTimeout(patience)
	}}, nil
}

func awaitCredit(ctx context.Context, nc *nats.Conn, credits <-chan *nats.Msg) error {
	select {
	case <-credits:
		return nil
	default:
	}
	if err := nc.FlushTimeout(patience); err != nil {
		return err
	}
	return await(ctx, credits, nil)
}

// await waits for the next message, and passes it to take unless that is nil.
func await(ctx context.Context, from <-chan *nats.Msg, take func(*nats.Msg)) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case m := <-from:
		if take != nil {
			take(m)
		}
		return nil
	case <-timer.C:
		return errPatience
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// coreRecv receives them in the connection's own callback.
func coreRecv(_ context.Context, l Load) (prepared, error) {
	nc, err := connect(l, "core-recv")
	if err != nil {
		return prepared{}, err
	}
	m := newMeter(l)
	done := make(chan Result, 1)
	taken := 0
	sub, err := nc.Subscribe(l.Subject, func(msg *nats.Msg) {
		if len(msg.Data) == 0 {
			done <- m.done()
			return
		}
		m.delay(msg.Data)
		m.add(len(msg.Data))
		if taken += len(msg.Data); taken >= creditEvery {
			taken -= creditEvery
			_ = nc.Publish(l.Subject+".credit", nil) // a closed connection also ends the run
		}
	})
	if err == nil {
		err = errors.Join(sub.SetPendingLimits(-1, -1), nc.FlushTimeout(patience))
	}
	if err != nil {
		nc.Close()
		return prepared{}, err
	}
	return prepared{end: nc.Close, run: ending(l, done)}, nil
}

// ending waits for the counts of a callback.
func ending(
	l Load, done <-chan Result,
) func(context.Context, *role.Session) (Result, error) {
	return func(ctx context.Context, _ *role.Session) (Result, error) {
		select {
		case r := <-done:
			return r, nil
		case <-time.After(l.For + patience):
			return Result{}, errPatience
		case <-ctx.Done():
			return Result{}, context.Cause(ctx)
		}
	}
}
