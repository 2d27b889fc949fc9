package tenancy

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// A Host runs a service for each tenant.
type Host struct {
	// Service is its name, for logs.
	Service string
	// Run serves a tenant until the context ends. If it returns before, it is called again after a pause.
	Run func(context.Context, Tenant) error
	// Began, if not nil, is called with each call of Run.
	Began func(Tenant)
	// Removed, if not nil, is called when a tenant was removed and its Run has returned.
	Removed func(context.Context, Tenant)
	// Failed, if not nil, is called with each error of Run.
	Failed func(Tenant, error)
	Log    zerolog.Logger

	mu      sync.Mutex
	members map[string]*member // by id
	ctx     context.Context    // until the host is closed
	close   context.CancelFunc
	running sync.WaitGroup
}

// The pause after the first failure in a row, and the longest. A service that has run for steady has not failed in a row.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = time.Minute
	steady       = time.Minute
)

// A member is a tenant of a Host.
type member struct {
	host *Host
	log  zerolog.Logger

	ctx   context.Context // until it is removed or the host is closed
	stop  context.CancelFunc
	ended chan struct{} // closed when Run has returned for the last time

	mu     sync.Mutex
	tenant Tenant
	cancel context.CancelFunc // of its current run
	served Tenant             // by its current run
	began  chan struct{}      // closed by the next run
}

// Set sets the tenants to serve. It stops those that are not among them, restarts those that have changed, and does not
// wait for either.
func (h *Host) Set(tenants []Tenant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open()
	if h.ctx.Err() != nil {
		return
	}
	known := make(map[string]bool)
	for _, t := range tenants {
		known[t.ID] = true
		m := h.members[t.ID]
		if m == nil {
			m = h.start(t)
			h.members[t.ID] = m
		}
		m.change(t)
	}
	for id, m := range h.members {
		if !known[id] {
			delete(h.members, id)
			m.stop()
		}
	}
}

// Close stops all, and waits for them. Set has no effect any more.
func (h *Host) Close() {
	h.mu.Lock()
	h.open()
	h.close()
	h.mu.Unlock()
	h.running.Wait()
}

func (h *Host) open() {
	if h.members == nil {
		h.members = make(map[string]*member)
		h.ctx, h.close = context.WithCancel(context.Background())
	}
}

func (h *Host) start(t Tenant) *member {
	m := &member{
		host: h, tenant: t, began: make(chan struct{}), ended: make(chan struct{}),
		log: h.Log.With().Str("service", h.Service).Str("tenant", t.Name).Logger(),
	}
	m.ctx, m.stop = context.WithCancel(h.ctx)
	if t.Removed {
		m.stop()
	}
	h.running.Go(m.serve)
	return m
}

// change sets a new version of the tenant, and restarts its service if it differs.
func (m *member) change(t Tenant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if reflect.DeepEqual(m.tenant, t) {
		return
	}
	m.tenant = t
	if t.Removed {
		m.stop()
	} else if m.cancel != nil {
		m.cancel()
	}
}

// begin returns the tenant to serve and the context of this run.
func (m *member) begin() (Tenant, context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithCancel(m.ctx)
	m.cancel, m.served = cancel, m.tenant
	close(m.began)
	m.began = make(chan struct{})
	return m.tenant, ctx
}

// Begun waits until Run was called for this version of a tenant. What it did for the one before has ended then.
func (h *Host) Begun(ctx context.Context, t Tenant) error {
	for {
		began := h.next(t)
		if began == nil {
			return nil
		}
		select {
		case <-began:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Ended waits until Run is not called any more for a tenant that was removed.
func (h *Host) Ended(ctx context.Context, id string) error {
	h.mu.Lock()
	m := h.members[id]
	h.mu.Unlock()
	if m == nil {
		return nil
	}
	select {
	case <-m.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// next returns what is closed by the next call of Run for a tenant, nil if this version of the tenant is being served, or
// the tenant is not known.
func (h *Host) next(t Tenant) <-chan struct{} {
	h.mu.Lock()
	m := h.members[t.ID]
	h.mu.Unlock()
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil || reflect.DeepEqual(m.served, t) {
		return nil
	}
	return m.began
}

// serve runs the service again and again, until the tenant is removed or the host is closed.
func (m *member) serve() {
	defer m.stop()
	pause := firstPause
	for m.ctx.Err() == nil {
		t, ctx := m.begin()
		if m.host.Began != nil {
			m.host.Began(t)
		}
		began := time.Now()
		err := m.host.Run(ctx, t)
		if time.Since(began) > steady {
			pause = firstPause
		}
		if ctx.Err() == nil { // neither stopped nor changed
			m.fail(t, err, pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, longestPause)
		}
		m.cancel()
	}
	close(m.ended)
	m.mu.Lock()
	t := m.tenant
	m.mu.Unlock()
	if ctx := m.host.ctx; t.Removed && ctx.Err() == nil && m.host.Removed != nil {
		m.host.Removed(ctx, t)
	}
}

var errReturned = errors.New("the service has returned")

func (m *member) fail(t Tenant, err error, pause time.Duration) {
	if err == nil {
		err = errReturned
	}
	m.log.Error().Err(err).Stringer("pause", pause).Msg("the service failed for this tenant; restarting it after a pause")
	if m.host.Failed != nil {
		m.host.Failed(t, err)
	}
}
