package cli

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/monitor"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/kubernetes"
	"github.com/dagyo/dagyo/services/spawner/places"
)

// A host is a service that runs by itself, for one tenant or for all.
type host struct {
	*app
	name string
	role access.Role
	// file has the keys of the service's role and a credential for the registry, if it serves all tenants.
	file string
	log  zerolog.Logger
	// monitor is nil if nothing is measured.
	monitor *monitor.Monitor
	// removed is called when a tenant was removed and is not served any more.
	removed func(context.Context, tenancy.Tenant) error
	unwatch []func()
}

func (h *host) close() {
	for _, end := range h.unwatch {
		end()
	}
}

// openPolicy reads the policy, and follows its file until close.
func (h *host) openPolicy(ctx context.Context, s *settings.Services, local bool) error {
	rules, unwatch, err := h.app.openPolicy(ctx, local, h.log)
	if err != nil {
		return err
	}
	h.unwatch = append(h.unwatch, unwatch)
	s.SetPolicy(rules)
	return nil
}

// serveOne serves the tenant of the service's own credentials, or a server without accounts.
func (h *host) serveOne(ctx context.Context, run runner) error {
	h.monitor.Expect(h.name, []string{""})
	h.log.Info().Str("service", h.name).Str("server", broker.Redact(h.server)).Msg("connecting")
	link, err := broker.Connect(ctx, broker.Options{
		URL: h.server, Name: h.name, Access: h.access, Extra: []nats.Option{service.LogErrors(h.log)},
	})
	if err != nil {
		return err
	}
	defer link.Close()
	return run(ctx, link, tenancy.Tenant{})
}

// serveAll serves all tenants, and follows which ones there are.
func (h *host) serveAll(ctx context.Context, serve func(context.Context, tenancy.Tenant) error) error {
	keys, err := h.keys()
	if err != nil {
		return usage(err)
	}
	h.log.Info().Str("service", h.name).Str("server", broker.Redact(h.server)).Msg("connecting to serve all tenants")
	registry, err := tenancy.ConnectSystem(ctx, access.Registry, []byte(keys.Registry), h.options())
	if err != nil {
		return err
	}
	defer registry.Close()
	tell := func(t tenancy.Tenant, what string) { _ = registry.Publish(access.SubjectTenant(t.ID), []byte(what)) }
	all := &tenancy.Host{
		Service: h.name, Log: h.log, Run: serve,
		Began: func(t tenancy.Tenant) { tell(t, access.TenantServed+" "+h.name) },
	}
	if h.removed != nil {
		all.Removed = func(ctx context.Context, t tenancy.Tenant) {
			if err := h.removed(ctx, t); err != nil {
				h.log.Error().Err(err).Str("tenant", t.Name).Msg("executors of a removed tenant are left; the next start tries again")
				return
			}
			tell(t, access.TenantGone)
		}
	}
	defer all.Close()
	return tenancy.Registry{Conn: registry.Conn, Log: h.log}.Follow(ctx, func(tenants []tenancy.Tenant) {
		h.monitor.Expect(h.name, tenancy.Names(tenants))
		all.Set(tenants)
	})
}

// serveTenant serves a tenant with a connection of its own.
func (h *host) serveTenant(ctx context.Context, t tenancy.Tenant, run runner) error {
	keys, err := h.keys() // they may have been replaced
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !fresh(keys, t) { // the file follows, on Kubernetes within a minute or two; the previous keys are valid until then
		var waiting sync.WaitGroup
		defer waiting.Wait()
		defer cancel()
		waiting.Go(func() { h.awaitKeys(ctx, t, cancel) })
	}
	o := h.options()
	o.Extra = []nats.Option{service.LogErrors(h.log.With().Str("tenant", t.Name).Logger())}
	link, err := t.Connect(ctx, keys.Role, access.Secret(keys.Secret), o)
	if err != nil {
		return err
	}
	defer link.Close()
	return run(ctx, link, t)
}

// fresh reports whether keys are those that sign the credentials of their role now.
func fresh(keys *keyring.Issuer, t tenancy.Tenant) bool {
	key, err := access.Secret(keys.Secret).PublicSigner(t.ID)
	return err == nil && (t.Signers[keys.Role] == "" || t.Signers[keys.Role] == key)
}

// keysPause is the time between two looks at a file with keys that were replaced.
const keysPause = 2 * time.Second

// awaitKeys calls found once the file has the keys that are valid now.
func (h *host) awaitKeys(ctx context.Context, t tenancy.Tenant, found func()) {
	look := time.NewTicker(keysPause)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		if keys, err := h.keys(); err == nil && fresh(keys, t) {
			h.log.Info().Str("tenant", t.Name).Msg("the keys were replaced; connecting with the new ones")
			found()
			return
		}
	}
}

// options are how to connect, but for credentials.
func (h *host) options() broker.Options {
	files := h.access
	files.Creds = ""
	return broker.Options{URL: h.server, Access: files}
}

func (h *host) keys() (*keyring.Issuer, error) {
	return readKeys("--tenants", h.file, h.role, true)
}

// readKeys reads the keys of a role, with a credential for the registry or without.
func readKeys(flag, path string, r access.Role, registry bool) (*keyring.Issuer, error) {
	i, err := keyring.ReadIssuer(path)
	if err == nil && i.Role != r {
		err = fmt.Errorf("%s has keys for the role %s, not for %s", path, i.Role, r)
	}
	if err == nil && registry && i.Registry == "" {
		err = fmt.Errorf("%s has no credential for the registry of tenants: it must be a tenants.json", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return i, nil
}

// spawnAll returns what runs the spawner for each tenant. The tenants share the places for executors.
func (h *host) spawnAll(ctx context.Context, s *settings.Services, b *backendFlags, open opener) (runner, error) {
	limits := s.Spawner.Limits
	arbiter := places.NewArbiter(limits.Executors, limits.ReserveAfter)
	h.removed = func(ctx context.Context, t tenancy.Tenant) error {
		err := b.clear(ctx, t, open)
		if err == nil {
			arbiter.Forget(t.ID)
		}
		return err
	}
	mayLead, err := h.elect(ctx, b)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, link *broker.Link, t tenancy.Tenant) error {
		c := s.For(t).Spawner
		c.MayLead = mayLead
		c.Issue, c.Signer = b.issuer(t), b.signer(t)
		c.NoSets = b.noSets(t)
		c.Join = func() *places.Member { return arbiter.Join(t.ID, t.Limits.Weight) }
		return spawner.Run(ctx, link, func() (backend.Backend, error) { return open(ctx, t) }, c)
	}, nil
}

// elect takes part in the election of the spawner that leads all tenants, and so divides the places for executors. On other
// backends than Kubernetes there must be one spawner.
func (h *host) elect(ctx context.Context, b *backendFlags) (mayLead func(context.Context) (context.Context, func(), error), err error) {
	if b.name != backendKubernetes {
		return nil, nil
	}
	c := b.kubernetes
	c.Place = b.place
	chief, err := kubernetes.NewChief(c, nuid.Next())
	if err != nil {
		return nil, fmt.Errorf("elect the leading spawner: %w", err)
	}
	ctx, resign := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { chief.Run(ctx) })
	h.unwatch = append(h.unwatch, func() {
		resign()
		running.Wait()
	})
	return chief.Await, nil
}
