package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/contract"
)

const (
	// leaseTime is how long a lease outlives its last renewal; a dead leader is replaced after it.
	leaseTime = 3 * time.Second
	// leaseRenewal is the time between two renewals, and between two tries to acquire.
	leaseRenewal = 500 * time.Millisecond
)

// A Lease is held by at most one replica of a service: one message with a time to live.
type Lease struct {
	js      jetstream.JetStream
	subject string
	// holder is what we write into it, to know our own.
	holder string
}

// NewLease returns the lease of a service. It is not held yet.
func NewLease(js jetstream.JetStream, service string) *Lease {
	return &Lease{js: js, subject: contract.LeaseSubject(service), holder: nuid.Next()}
}

// Acquire waits until the lease is ours. The returned context ends when it no longer is; release gives
// it back, and must be called. An error means that the context has ended.
func (l *Lease) Acquire(ctx context.Context) (held context.Context, release func(), err error) {
	for {
		asked := time.Now()
		seq, err := l.write(ctx, 0)
		if err == nil {
			held, release = l.hold(ctx, seq, asked)
			return held, release, nil
		}
		select {
		case <-time.After(leaseRenewal):
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("acquire %s: %w", l.subject, errors.Join(context.Cause(ctx), err))
		}
	}
}

// write stores the lease for leaseTime if its last message is still number last.
func (l *Lease) write(ctx context.Context, last uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenewal)
	defer cancel()
	ack, err := l.js.PublishMsg(ctx, &nats.Msg{Subject: l.subject, Data: []byte(l.holder)},
		jetstream.WithMsgTTL(leaseTime), jetstream.WithExpectLastSequencePerSubject(last),
		jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func (l *Lease) hold(ctx context.Context, seq uint64, since time.Time) (context.Context, func()) {
	held, lose := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer lose()
		seq = l.renew(held, seq, since)
	}()
	return held, func() {
		lose()
		<-done
		l.giveBack(context.WithoutCancel(ctx), seq)
	}
}

// renew renews the lease until somebody else has it, it has run out, or the context ends. It returns
// the number of the last message that was ours.
func (l *Lease) renew(ctx context.Context, seq uint64, since time.Time) uint64 {
	t := time.NewTicker(leaseRenewal)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return seq
		}
		asked := time.Now()
		next, err := l.write(ctx, seq)
		if SaidBefore(err) {
			next, err = l.ours(ctx)
		}
		switch {
		case err == nil:
			seq, since = next, asked
		case errors.Is(err, errNotOurs), time.Since(since) > leaseTime-leaseRenewal:
			return seq
		}
	}
}

var errNotOurs = errors.New("another replica holds the lease")

// ours returns the number of the stored lease if it is ours: the answer to a renewal may have been lost
// on its way.
func (l *Lease) ours(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenewal)
	defer cancel()
	s, err := l.js.Stream(ctx, contract.StreamLeases)
	if err != nil {
		return 0, err
	}
	m, err := s.GetLastMsgForSubject(ctx, l.subject)
	if err == nil && string(m.Data) != l.holder || errors.Is(err, jetstream.ErrMsgNotFound) {
		err = errNotOurs
	}
	if err != nil {
		return 0, err
	}
	return m.Sequence, nil
}

// giveBack lets another replica take over at once. If it fails the lease runs out by itself.
func (l *Lease) giveBack(ctx context.Context, seq uint64) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenewal)
	defer cancel()
	if s, err := l.js.Stream(ctx, contract.StreamLeases); err == nil {
		_ = s.DeleteMsg(ctx, seq)
	}
}
