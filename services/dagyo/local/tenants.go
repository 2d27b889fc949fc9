package local

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/client"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
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
				return t.Issue(l.keys.Secret(access.Executor), access.Credential{Role: access.Executor, Name: executor, Mailbox: mailbox})
			}
			c.Join = func() *places.Member { return l.places.Join(t.ID, t.Limits.Weight) }
			return spawner.Run(ctx, link, func() (backend.Backend, error) { return l.openPlace(placeOf(t)) }, c)
		},
		aggregator.Name: func(ctx context.Context, t tenancy.Tenant, link *broker.Link) error {
			return aggregator.Run(ctx, link, l.config.Services.For(t).Aggregator)
		},
	} {
		l.hosts[name] = l.host(name, func(ctx context.Context, t tenancy.Tenant) error {
			role := access.Role(name)
			link, err := t.Connect(ctx, role, l.keys.Secret(role), broker.Options{
				URL: l.URL(), Wait: startTimeout,
				Extra: []nats.Option{service.LogErrors(l.config.Log.With().Str("service", name).Str("tenant", t.Name).Logger())},
			})
			if err != nil {
				return err
			}
			defer link.Close()
			return run(ctx, t, link)
		})
	}
	l.hosts[spawner.Name].Removed = func(ctx context.Context, t tenancy.Tenant) {
		for _, h := range l.hosts {
			if h.Ended(ctx, t.ID) != nil {
				return // the Local is stopped; the next start clears the place
			}
		}
		l.clearPlace(ctx, placeOf(t))
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
	if l.registry, err = connectSystem(ctx, l.keys, l.URL(), access.Registry); err != nil {
		return fmt.Errorf("follow the tenants: %w", err)
	}
	l.background(func(ctx context.Context) {
		err := tenancy.Registry{Conn: l.registry.Conn, Log: l.config.Log}.Follow(ctx, func(all []tenancy.Tenant) {
			for _, name := range append(client.Services(), standardName) { // the last one waits for the others
				l.hosts[name].Set(all)
			}
		})
		if err != nil && ctx.Err() == nil {
			l.config.Log.Error().Err(err).Msg("tenants that are added or removed are not noticed any more")
		}
	})
	return nil
}

// tell says in the server's own account what has become of a tenant. Nothing depends on it but the patience of a command.
func (l *Local) tell(id, what string) { _ = l.registry.Publish(access.SubjectTenant(id), []byte(what)) }

// keepStandard applies the standard progdefs to a tenant, and says when it is ready. Start applies those of the default
// tenant.
func (l *Local) keepStandard(ctx context.Context, t tenancy.Tenant) error {
	for _, name := range client.Services() {
		if err := l.hosts[name].Begun(ctx, t); err != nil {
			return err
		}
	}
	l.tell(t.ID, access.TenantServed)
	if t.Name != keyring.DefaultTenant {
		if err := l.applyStandardTo(ctx, t); err != nil {
			return err
		}
	}
	l.tell(t.ID, access.TenantReady)
	<-ctx.Done()
	return nil
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

// placeOf returns the tenant as the backend knows it: the default tenant has its executors where they were before there
// were tenants.
func placeOf(t tenancy.Tenant) string {
	if t.Name == keyring.DefaultTenant {
		return ""
	}
	return t.ID
}

// openPlace opens the backend of a tenant.
func (l *Local) openPlace(place string) (backend.Backend, error) {
	b, err := process.New(l.process(place))
	if err != nil {
		return nil, err
	}
	return finisher{b}, nil
}

// clearPlace ends the executors of a tenant that was removed.
func (l *Local) clearPlace(ctx context.Context, place string) {
	if err := process.Clear(ctx, l.process(place)); err != nil {
		l.config.Log.Error().Err(err).Msg("executors of a removed tenant are left; the next start tries again")
		return
	}
	l.tell(place, access.TenantGone)
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
			l.background(func(ctx context.Context) { l.clearPlace(ctx, id) })
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
