package local

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/platform"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/places"
	"github.com/dagyo/dagyo/services/spawner/process"
	"github.com/dagyo/dagyo/services/validator"
)

// standardName is the name of the host that keeps the standard progdefs of each tenant up to date.
const standardName = "standard progdefs"

// hostServices creates the hosts of the services. No tenant is served yet.
func (l *Local) hostServices() {
	limits := &l.config.Services.Spawner.Limits
	l.config.Services.Spawner.Queue = l.URL()
	l.places = places.NewArbiter(limits.Executors, limits.ReserveAfter)
	for name, run := range map[string]func(context.Context, tenancy.Tenant, *broker.Link) error{
		validator.Name: func(ctx context.Context, t tenancy.Tenant, link *broker.Link) error {
			return validator.Run(ctx, link, l.config.Services.For(t).Validator)
		},
		planner.Name: func(ctx context.Context, t tenancy.Tenant, link *broker.Link) error {
			return planner.Run(ctx, link, l.config.Services.For(t).Planner)
		},
		spawner.Name: func(ctx context.Context, t tenancy.Tenant, link *broker.Link) error {
			c := l.config.Services.For(t).Spawner
			c.Issue = func(executor, mailbox string) ([]byte, error) {
				secret, err := l.keys.Secret(access.Executor)
				if err != nil {
					return nil, err
				}
				return t.Issue(secret, access.Credential{
					Role: access.Executor, Name: executor, Mailbox: mailbox, Expires: time.Now().Add(spawner.CredentialsTime),
				})
			}
			c.Join = func() *places.Member { return l.places.Join(t.ID, t.Limits.Weight) }
			return spawner.Run(ctx, link, func() (backend.Backend, error) { return openBackend(l.backend(t)) }, c)
		},
		aggregator.Name: func(ctx context.Context, t tenancy.Tenant, link *broker.Link) error {
			return aggregator.Run(ctx, link, l.config.Services.For(t).Aggregator)
		},
	} {
		l.hosts[name] = l.host(name, func(ctx context.Context, t tenancy.Tenant) error {
			role := access.Role(name)
			secret, err := l.keys.Secret(role)
			if err != nil {
				return err
			}
			link, err := t.Connect(ctx, role, secret, broker.Options{
				URL: l.URL(), Wait: startTimeout, Access: l.files(),
				Extra: []nats.Option{service.LogErrors(l.config.Log.With().Str("service", name).Str("tenant", t.Name).Logger())},
			})
			if err != nil {
				return err
			}
			defer link.Close()
			return run(ctx, t, link)
		})
	}
	for _, name := range client.Services() {
		l.hosts[name].Began = func(t tenancy.Tenant) { l.tell(t.ID, access.TenantServed+" "+name) }
	}
	l.hosts[spawner.Name].Removed = func(ctx context.Context, t tenancy.Tenant) {
		for _, h := range l.hosts {
			if h.Ended(ctx, t.ID) != nil {
				return // the Local is stopped; the next start clears the location
			}
		}
		l.clearLocation(ctx, locationOf(t))
		l.places.Forget(t.ID)
	}
	l.hosts[standardName] = l.host(standardName, l.keepStandard)
}

func (l *Local) host(name string, run func(context.Context, tenancy.Tenant) error) *tenancy.Host {
	return &tenancy.Host{Service: name, Run: run, Failed: l.note, Log: l.config.Log}
}

// note keeps the first errors of the default tenant's services.
func (l *Local) note(t tenancy.Tenant, err error) {
	if t.Name != keyring.DefaultTenant {
		return
	}
	select {
	case l.failed <- err:
	default:
	}
}

// followTenants serves the tenants that the server knows, until the Local is stopped.
func (l *Local) followTenants(ctx context.Context) error {
	var err error
	if l.registry, err = ConnectSystem(ctx, l.keys, l.URL(), l.files(), access.Registry); err != nil {
		return fmt.Errorf("follow the tenants: %w", err)
	}
	l.background(func(ctx context.Context) {
		err := tenancy.Registry{Conn: l.registry.Conn, Log: l.config.Log}.Follow(ctx, func(all []tenancy.Tenant) {
			for _, name := range client.Services() {
				l.config.Monitor.Expect(name, tenancy.Names(all))
			}
			for _, name := range append(client.Services(), standardName) { // the last one waits for the others
				l.hosts[name].Set(all)
			}
		})
		if err != nil && ctx.Err() == nil {
			l.config.Log.Error().Err(err).Msg("stopped following tenants: changes are not applied until the next start")
		}
	})
	return nil
}

// tell publishes the state of a tenant in the system account. Only `dagyo tenant`, which waits for it, uses it.
func (l *Local) tell(id, what string) { _ = l.registry.Publish(access.SubjectTenant(id), []byte(what)) }

// keepStandard keeps the standard progdefs of a tenant, and its copies of those of the platform, and says when it is ready.
// Start applies the standard ones of the default tenant.
func (l *Local) keepStandard(ctx context.Context, t tenancy.Tenant) error {
	for _, name := range client.Services() {
		if err := l.hosts[name].Begun(ctx, t); err != nil {
			return err
		}
	}
	if t.Name == keyring.DefaultTenant {
		if err := l.writePerson(); err != nil { // the keys may have been replaced
			return err
		}
		if err := awaitServices(ctx, l.client, nil); err != nil {
			return err
		}
		l.tell(t.ID, access.TenantReady)
		return l.platform.Watch(ctx, l.client)
	}
	if err := l.applyStandardTo(ctx, t); err != nil {
		return err
	}
	k := platform.Keeper{
		Source: l.platform, Tenant: t, Log: l.config.Log.With().Str("tenant", t.Name).Logger(),
		Connect: func(ctx context.Context) (*client.Client, error) {
			return l.connectAs(ctx, t.Name, access.Credential{Role: access.Publisher, Name: platform.User})
		},
	}
	if err := k.Sync(ctx); err != nil {
		return err
	}
	l.tell(t.ID, access.TenantReady)
	return k.Keep(ctx)
}

func (l *Local) applyStandardTo(ctx context.Context, t tenancy.Tenant) error {
	c, err := l.connect(ctx, t.Name)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := awaitServices(ctx, c, nil); err != nil {
		return err
	}
	return l.applyStandard(ctx, c)
}

// locationOf returns the tenant as the backend knows it: the default tenant has its executors where they were before
// there were tenants.
func locationOf(t tenancy.Tenant) string {
	if t.Name == keyring.DefaultTenant {
		return ""
	}
	return t.ID
}

// backend is the configuration of the backend of a tenant.
func (l *Local) backend(t tenancy.Tenant) process.Config {
	c := l.process(locationOf(t))
	if sets := SetsOf(t, c.EnvDir); sets != c.EnvDir {
		c.Hidden, c.EnvDir = append(c.Hidden, c.EnvDir), sets
	}
	return c
}

func openBackend(c process.Config) (backend.Backend, error) {
	b, err := process.New(c)
	if err != nil {
		return nil, err
	}
	return finisher{b}, nil
}

// SetsOf returns the folder with the sets of variables for the progdefs of a tenant, in that of the installation. Those of
// the default tenant are where they were before there were tenants.
func SetsOf(t tenancy.Tenant, dir string) string {
	if dir == "" || t.Name == "" || t.Name == keyring.DefaultTenant {
		return dir
	}
	return filepath.Join(dir, "tenants", t.Name)
}

// clearLocation ends the executors of a tenant that was removed.
func (l *Local) clearLocation(ctx context.Context, location string) {
	if err := process.Clear(ctx, l.process(location)); err != nil {
		l.config.Log.Error().Err(err).Msg("executors of a removed tenant are left; the next start tries again")
		return
	}
	l.tell(location, access.TenantGone)
}

// clearLeft ends the executors of tenants that were removed while no Dagyo ran.
func (l *Local) clearLeft() error {
	left, err := process.Tenants(l.process("").Dir)
	if err != nil {
		return err
	}
	all, err := l.keys.Tenants()
	if err != nil {
		return err
	}
	for _, id := range left {
		if !slices.ContainsFunc(all, func(t keyring.Tenant) bool { return t.ID == id }) {
			l.background(func(ctx context.Context) { l.clearLocation(ctx, id) })
		}
	}
	return nil
}

// atOnce bounds the tenants that something is done for at the same time.
const atOnce = 8

// eachTenant calls do with a client for each tenant. An error of one does not stop the others: unless the context has
// ended, only that of the default tenant is returned.
func (l *Local) eachTenant(ctx context.Context, do func(*client.Client) error) error {
	all, err := l.keys.Tenants()
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, t := range all {
		g.Go(func() error {
			if t.Name == keyring.DefaultTenant {
				return do(l.client)
			}
			c, err := l.connect(ctx, t.Name)
			if err == nil {
				err = do(c)
				c.Close()
			}
			if err != nil && ctx.Err() == nil {
				l.config.Log.Warn().Err(err).Str("tenant", t.Name).Msg("a tenant does not answer")
				err = nil
			}
			return err
		})
	}
	return g.Wait()
}

// liveFlows counts the live flows of all tenants.
func (l *Local) liveFlows(ctx context.Context) (sum int, err error) {
	var mu sync.Mutex
	err = l.eachTenant(ctx, func(c *client.Client) error {
		n, err := c.LiveFlows(ctx)
		mu.Lock()
		defer mu.Unlock()
		sum += n
		return err
	})
	return sum, err
}

// awaitNoLiveFlows waits until no tenant has live flows.
func (l *Local) awaitNoLiveFlows(ctx context.Context) error {
	return l.eachTenant(ctx, func(c *client.Client) error { return c.AwaitNoLiveFlows(ctx) })
}
