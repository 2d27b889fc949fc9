package worker

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
)

func open(l Load, name string) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := connect(l, name)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	return nc, js, err
}

// edgeSend writes an edge with only package stream.
func edgeSend(_ context.Context, l Load) (prepared, error) {
	nc, js, err := open(l, "edge-send")
	if err != nil {
		return prepared{}, err
	}
	w, err := stream.NewWriter(js, l.Address)
	if err != nil {
		nc.Close()
		return prepared{}, err
	}
	return prepared{end: func() { w.Abort(); nc.Close() },
		run: func(ctx context.Context, _ *role.Session) (Result, error) {
			m, record := newMeter(l), newRecord(l)
			for !m.over() {
				stamp(l, record)
				if err := w.Send(ctx, record); err != nil {
					return Result{}, err
				}
				m.add(l.Size)
			}
			r := m.done()
			return r, w.Close(ctx)
		}}, nil
}

// edgeRecv reads an edge with only package stream.
func edgeRecv(_ context.Context, l Load) (prepared, error) {
	nc, js, err := open(l, "edge-recv")
	if err != nil {
		return prepared{}, err
	}
	in, err := stream.NewReader(js, l.Address)
	if err != nil {
		nc.Close()
		return prepared{}, err
	}
	return prepared{end: func() { in.Abort(); nc.Close() },
		run: func(ctx context.Context, _ *role.Session) (Result, error) {
			m := newMeter(l)
			for {
				record, err := in.Recv(ctx)
				if errors.Is(err, io.EOF) {
					return m.done(), nil
				}
				if err != nil {
					return Result{}, err
				}
				m.delay(record)
				m.add(len(record))
			}
		}}, nil
}

// stuckFor is how long a writer must be blocked to count as stuck.
const stuckFor = time.Second

// edgeFill writes until the window is full, and then replies. The edge stays as it is until the process exits.
func edgeFill(_ context.Context, l Load) (prepared, error) {
	nc, js, err := open(l, "edge-fill")
	if err != nil {
		return prepared{}, err
	}
	w, err := stream.NewWriter(js, l.Address)
	if err != nil {
		nc.Close()
		return prepared{}, err
	}
	return prepared{end: func() { w.Abort(); nc.Close() },
		run: func(ctx context.Context, s *role.Session) (Result, error) {
			m, record := newMeter(l), newRecord(l)
			for {
				attempt, cancel := context.WithTimeout(ctx, stuckFor)
				err := w.Send(attempt, record)
				cancel()
				if errors.Is(err, context.DeadlineExceeded) {
					break
				}
				if err != nil {
					return Result{}, err
				}
				m.add(l.Size)
			}
			if err := s.Reply(m.done()); err != nil {
				return Result{}, err
			}
			_, err := s.Expect(ctx, role.Stop)
			return Result{}, err
		}}, nil
}

// edgeStall reads one record of an edge and then stops reading.
func edgeStall(_ context.Context, l Load) (prepared, error) {
	nc, js, err := open(l, "edge-stall")
	if err != nil {
		return prepared{}, err
	}
	in, err := stream.NewReader(js, l.Address)
	if err != nil {
		nc.Close()
		return prepared{}, err
	}
	return prepared{end: func() { in.Abort(); nc.Close() },
		run: func(ctx context.Context, s *role.Session) (Result, error) {
			if _, err := in.Recv(ctx); err != nil {
				return Result{}, err
			}
			_, err := s.Expect(ctx, role.Stop)
			return Result{}, err
		}}, nil
}
