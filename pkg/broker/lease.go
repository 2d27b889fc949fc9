package broker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/contract"
)

const (
	// leaseTime is how long a lease outlives its last renewal; a dead leader is replaced after that. The holder
	// counts it from before its request, the broker from the request.
	leaseTime = 3 * time.Second
	// leaseRenewal is the interval between renewals, leaseTry that between two tries to acquire, and
	// leaseWait limits the wait for the broker's answer.
	leaseRenewal = 500 * time.Millisecond
	leaseTry     = 250 * time.Millisecond
	leaseWait    = 500 * time.Millisecond
)

// A Lease is held by at most one replica of a service: one message with a time to live.
type Lease struct {
	js      jetstream.JetStream
	subject string
	// holder is the content that identifies our lease.
	holder string
	// until is when it expires unless it is renewed, or 0 while we do not hold it: nanoseconds since begin, on a
	// clock that also runs while the process is stopped.
	until atomic.Int64
	begin time.Time
	// renewed is when another holder has last renewed the lease, as far as seen, by the broker's clock.
	renewed time.Time
	// previous is renewed as of the last Acquire; held is true once there was one, again once there were two.
	previous    time.Time
	held, again bool
}

// NewLease returns the lease of a service. It is not held yet.
func NewLease(js jetstream.JetStream, service string) *Lease {
	return &Lease{js: js, subject: contract.LeaseSubject(service), holder: nuid.Next(), begin: time.Now()}
}

// Held reports whether we hold the lease now. Check it directly before any action that is reserved to the
// leader: a process that was stopped notices the end of a context too late.
func (l *Lease) Held() bool { return int64(time.Since(l.begin)) < l.until.Load() }

// Lapsed returns when the holder before us has last renewed the lease, if that was too long before now for a lease that was
// given back: the holder has crashed, or was cut off. If we were the last holder that was seen, the time is zero. It must be
// called between Acquire and release. Both times are the broker's.
func (l *Lease) Lapsed(now time.Time) (renewed time.Time, lapsed bool) {
	if l.previous.IsZero() {
		return l.previous, l.again
	}
	return l.previous, now.Sub(l.previous) >= leaseTime-leaseRenewal
}

// extend records a renewal that was requested at the given time.
func (l *Lease) extend(asked time.Time) { l.until.Store(int64(asked.Add(leaseTime).Sub(l.begin))) }

// Acquire waits until we hold the lease. The returned context ends when we no longer hold it; release gives
// it back, and must be called. An error means that the context has ended.
func (l *Lease) Acquire(ctx context.Context) (held context.Context, release func(), err error) {
	l.renewed = time.Time{}
	for {
		seq, err := l.take(ctx, 0)
		if err == nil {
			l.previous, l.held, l.again = l.renewed, true, l.held
			held, release = l.hold(ctx, seq)
			return held, release, nil
		}
		select {
		case <-time.After(leaseTry):
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("acquire %s: %w", l.subject, errors.Join(context.Cause(ctx), err))
		}
	}
}

// take stores the lease if its last message has sequence last, or is ours: the answer to an earlier try may have
// been lost. The lease stored then expires earlier, so it is stored again.
func (l *Lease) take(ctx context.Context, last uint64) (uint64, error) {
	asked := time.Now()
	seq, err := l.write(ctx, last)
	if SaidBefore(err) {
		if seq, err = l.ours(ctx); err != nil {
			return 0, err
		}
		asked = time.Now()
		seq, err = l.write(ctx, seq)
	}
	if err != nil {
		return 0, err
	}
	l.extend(asked)
	return seq, nil
}

// write stores the lease for leaseTime if its last message still has sequence last.
func (l *Lease) write(ctx context.Context, last uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	ack, err := l.js.PublishMsg(ctx, &nats.Msg{Subject: l.subject, Data: []byte(l.holder)},
		jetstream.WithMsgTTL(leaseTime), jetstream.WithExpectLastSequencePerSubject(last),
		jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func (l *Lease) hold(ctx context.Context, seq uint64) (context.Context, func()) {
	held, lose := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer lose()
		seq = l.renew(held, seq)
	}()
	return held, func() {
		lose()
		<-done
		l.until.Store(0)
		l.giveBack(context.WithoutCancel(ctx), seq)
	}
}

// renew renews the lease until another replica has it, it has expired, or the context ends. It returns the
// sequence of our last message.
func (l *Lease) renew(ctx context.Context, seq uint64) uint64 {
	t := time.NewTicker(leaseRenewal)
	defer t.Stop()
	for l.Held() {
		wait, cancel := context.WithTimeout(ctx, time.Duration(l.until.Load())-time.Since(l.begin))
		select {
		case <-t.C:
		case <-wait.Done():
			cancel()
			return seq
		}
		next, err := l.take(wait, seq)
		cancel()
		switch {
		case err == nil:
			seq = next
		case errors.Is(err, errNotOurs):
			l.until.Store(0)
			return seq
		}
	}
	return seq
}

var errNotOurs = errors.New("another replica holds the lease")

// ours returns the sequence of the stored lease if it is ours.
func (l *Lease) ours(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	m, err := leader(l.js).LeaderMessage(ctx, contract.StreamLeases, Query{Last: l.subject})
	if err == nil && string(m.Data) != l.holder {
		l.renewed, err = m.Time, errNotOurs
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = errNotOurs
	}
	if err != nil {
		return 0, err
	}
	return m.Sequence, nil
}

// giveBack lets another replica take over at once. If it fails, the lease expires by itself.
func (l *Lease) giveBack(ctx context.Context, seq uint64) {
	ctx, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	if s, err := l.js.Stream(ctx, contract.StreamLeases); err == nil {
		_ = s.DeleteMsg(ctx, seq)
	}
}
