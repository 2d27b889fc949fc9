package service

import (
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/eventlog"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// measured holds what is measured of each folded message. It needs no lock.
type measured struct {
	lag, folded, nanoseconds atomic.Int64
	// saved is the newest snapshot that this replica has written or started from, nil if there is none.
	saved atomic.Pointer[saved]
}

// A saved is a stored snapshot.
type saved struct {
	place event.Place
	bytes int
}

// fold notes that a message was folded, how many were behind it, and how long that took.
func (m *measured) fold(behind uint64, took time.Duration) {
	m.lag.Store(int64(behind))
	m.folded.Add(1)
	m.nanoseconds.Add(int64(took))
}

// export counts what a message means, and exports the spans that end with it. If the service panics, that is logged and the
// message is folded all the same. It must be called in a step, before the message is folded.
func (r *Runtime[S]) export(m *event.Stored) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error().EmbedObject(eventlog.About(m.Event)).Bytes("stack", debug.Stack()).Msgf("cannot measure or trace an event: %v", p)
		}
	}()
	r.count(m)
	r.trace(m)
}

// count counts what a message means if this replica leads, so that it counts once. A replica that was paused is not sure
// to lead any more once its lease has expired; what is folded between two leaders does not count.
func (r *Runtime[S]) count(m *event.Stored) {
	if r.service.Count == nil || !r.metrics.On() || len(m.Problems) > 0 || !r.leads() {
		return
	}
	e := m.Event
	e.Time = m.At
	r.service.Count(r.metrics, r.core.State, e)
}

// leads reports whether the replica leads. The caller must hold the lock.
func (r *Runtime[S]) leads() bool { return r.core.Leading && r.term.lease.Held() }

// measure observes what is measured of a replica. The core may not be read before the state is current.
func (r *Runtime[S]) measure(observe metrics.Observe) {
	observe(metrics.NATSConnected, metrics.Bool(r.link.IsConnected()))
	observe(metrics.NATSReconnects, float64(r.link.Stats().Reconnects))
	observe(metrics.ServiceLag, float64(r.measured.lag.Load()))
	observe(metrics.ServiceFolded, float64(r.measured.folded.Load()))
	observe(metrics.ServiceFoldSeconds, time.Duration(r.measured.nanoseconds.Load()).Seconds())
	select {
	case <-r.current:
	default:
		observe(metrics.ServiceCurrent, 0)
		observe(metrics.ServiceLeader, 0)
		return
	}
	observe(metrics.ServiceCurrent, 1)
	r.view(func(c *core.Core[S]) {
		observe(metrics.ServiceEffects, float64(c.Stats.Effects))
		observe(metrics.ServiceRetries, float64(c.Stats.Retries))
		leads := r.leads()
		observe(metrics.ServiceLeader, metrics.Bool(leads))
		if leads {
			r.measureLeader(c, observe)
		}
	})
}

// measureLeader observes what only the leader exports.
func (r *Runtime[S]) measureLeader(c *core.Core[S], observe metrics.Observe) {
	now := r.clock.estimate(time.Now())
	if s := r.measured.saved.Load(); s != nil {
		age := time.Duration(0)
		if c.Last.Seq > s.place.Seq {
			age = max(0, now.Sub(s.place.At))
		}
		observe(metrics.SnapshotBytes, float64(s.bytes))
		observe(metrics.SnapshotAge, age.Seconds())
	}
	if r.service.Gauges != nil {
		r.service.Gauges(c.State, now, observe)
	}
}
