package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/monitor"
	"github.com/dagyo/dagyo/services/dagyo/platform"
	"github.com/dagyo/dagyo/services/dagyo/provision"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/places"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// ErrInUse is returned if another process uses the data directory.
var ErrInUse = errors.New("the data directory is in use")

// startTimeout bounds the start of the services while they make no progress in reading events.
const startTimeout = time.Minute

// Config is the configuration of a Local.
type Config struct {
	// Dir is the data directory; it is created if it does not exist.
	Dir string
	// Port is embedded.DefaultPort if 0, and embedded.RandomPort for a free one.
	Port int
	// Listen says where NATS listens; by default on the loopback interface, without TLS.
	Listen provision.Listener
	// Services must be resolved.
	Services *settings.Services
	// Process configures the backend; its Dir, Logger and Isolation are set here.
	Process process.Config
	// Source is the CloudEvents source of events published on behalf of the user.
	Source string
	Log    zerolog.Logger
	// Monitor is told which tenants there are; nil if nothing is measured.
	Monitor *monitor.Monitor
}

// A Local is a running Dagyo.
type Local struct {
	config Config
	lock   *os.File
	keys   *keyring.Keyring
	server *embedded.Server
	// name is what the server is called on this machine, if it has a certificate.
	name     string
	registry *broker.Link // to the server's own account
	client   *client.Client
	platform *platform.Source
	hosts    map[string]*tenancy.Host // of the services
	places   *places.Arbiter          // for the executors of all tenants
	failed   chan error
	// isolation of the executors.
	isolation *process.Isolation
	// stopping ends when the Local is stopped, and with it what working counts.
	stopping context.Context
	stop     context.CancelFunc
	working  sync.WaitGroup
}

// Start starts everything, and returns when all services answer and the standard progdefs are in the catalogue.
// The caller must stop the returned Local. If Start fails, only executors of an earlier Local keep running.
func Start(ctx context.Context, c Config) (*Local, error) {
	lock, err := takeLock(c.Dir)
	if err != nil {
		return nil, err
	}
	removeAddress(c.Dir) // of a Dagyo that was killed
	l := &Local{
		config: c, lock: lock, hosts: make(map[string]*tenancy.Host), failed: make(chan error, 4),
	}
	l.stopping, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.abandon())
	}
	return l, nil
}

func (l *Local) start(ctx context.Context) error {
	found, err := process.Probe(ctx, l.process(""))
	if err != nil {
		return err
	}
	l.isolation = &found
	trust, err := l.openKeys()
	if err != nil {
		return err
	}
	accounts, err := l.keys.Accounts(keyring.DefaultTenant)
	if err != nil {
		return err
	}
	if err := MoveStreams(l.storeDir(), accounts[access.Inside]); err != nil {
		return err
	}
	encrypted, name, err := l.config.Listen.Serve(l.config.Dir)
	if err != nil {
		return err
	}
	l.name = name
	if path := l.files().CA; path != "" {
		if l.config.Services.Spawner.CA, err = os.ReadFile(path); err != nil {
			return err
		}
	}
	l.server, err = embedded.Start(ctx, embedded.Options{
		Host: l.config.Listen.Host, TLS: encrypted, Port: l.config.Port, Dir: l.storeDir(), Trust: trust, Log: l.config.Log,
	})
	if err != nil {
		return err
	}
	// A command that adds a tenant from now on tells the server; what it has stored before is published here.
	if err := writeAddress(l.config.Dir, l.URL()); err != nil {
		return err
	}
	if err := l.publishTenants(ctx); err != nil {
		return err
	}
	if l.client, err = client.Connect(ctx, client.Options{
		URL: l.URL(), Access: l.Access(), Source: l.config.Source, Persist: true,
	}); err != nil {
		return err
	}
	l.platform = platform.NewSource(nil)
	// A server that is shut down while it creates streams leaves goroutines behind (nats-server 2.15).
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.hostServices()
	if err := l.followTenants(ctx); err != nil {
		return err
	}
	if err := l.clearLeft(); err != nil {
		return err
	}
	if err := awaitServices(ctx, l.client, l.failed); err != nil {
		return err
	}
	return l.applyStandard(ctx, l.client)
}

// background runs something until it returns, at the latest when the Local is stopped.
func (l *Local) background(run func(context.Context)) {
	l.working.Go(func() { run(l.stopping) })
}

// executorsDir is the folder of the executors in the data directory.
const executorsDir = "executors"

// process is the configuration of the backend of a tenant. Executors see neither what NATS stores nor the keys.
func (l *Local) process(location string) process.Config {
	p := l.config.Process
	p.Dir, p.Tenant = filepath.Join(l.config.Dir, executorsDir), location
	p.Hidden = append(slices.Clone(p.Hidden), l.storeDir(), keyring.In(l.config.Dir))
	p.Logger = slog.New(zerolog.NewSlogHandler(l.config.Log))
	p.Isolation = l.isolation
	return p
}

// storeDir is the folder of the NATS server in the data directory.
func (l *Local) storeDir() string { return filepath.Join(l.config.Dir, "nats") }

// Isolation says how the executors are isolated.
func (l *Local) Isolation() process.Isolation { return *l.isolation }

// Running reports whether executors are running in a data directory. No Local may use the directory.
func Running(ctx context.Context, dir string) (bool, error) {
	executors := filepath.Join(dir, executorsDir)
	if _, err := os.Stat(executors); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	ids, err := process.Tenants(executors)
	if err != nil {
		return false, err
	}
	for _, id := range append(ids, "") {
		if found, err := runningIn(ctx, process.Config{Dir: executors, Tenant: id}); err != nil || found {
			return found, err
		}
	}
	return false, nil
}

func runningIn(ctx context.Context, c process.Config) (bool, error) {
	b, err := process.New(c)
	if err != nil {
		return false, err
	}
	defer b.Close()
	all, err := b.List(ctx)
	return len(all) > 0, err
}

// A finisher completes every start of an executor, so that no executor can start after the spawner has stopped and
// the running executors were counted. The backend bounds the time.
type finisher struct{ backend.Backend }

func (f finisher) Start(ctx context.Context, spec backend.Spec) error {
	return f.Backend.Start(context.WithoutCancel(ctx), spec)
}

// URL returns the address of the embedded NATS server.
func (l *Local) URL() string {
	if l.name != "" {
		return l.server.URL(l.name)
	}
	return l.server.ClientURL()
}

// files say how to verify the server.
func (l *Local) files() broker.Access {
	return broker.Access{CA: provision.AuthorityFile(l.config.Dir)}
}

// Access is how who started Dagyo connects to it.
func (l *Local) Access() broker.Access {
	out := l.files()
	out.Creds = l.Credentials()
	return out
}

// Failed delivers the first errors of the default tenant's services. A service that fails is started again.
func (l *Local) Failed() <-chan error { return l.failed }

// The first pause between two pings, which are answered at once while no service is subscribed, and the longest.
const (
	pingPause   = 5 * time.Millisecond
	longestPing = 100 * time.Millisecond
)

// awaitServices pings until each service of a tenant has answered, or one has failed. It waits longer while services still
// read events: the first start of this version reads all events of the previous version.
func awaitServices(ctx context.Context, c *client.Client, failed <-chan error) error {
	left := patience{limit: startTimeout, since: time.Now()}
	for pause := pingPause; ; pause = min(pause*5/4, longestPing) {
		ask, done := context.WithTimeout(ctx, 50*time.Millisecond)
		found, err := c.Ping(ask)
		done()
		if err != nil {
			return err
		}
		missing := client.Missing(found)
		if len(missing) == 0 {
			return nil
		}
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("no answer from services %v: %w", missing, context.Cause(ctx))
		case <-time.After(pause):
		}
		if left.over(time.Now(), func() (uint64, error) { return c.Behind(ctx) }) {
			return fmt.Errorf("no answer within %v from services %v", startTimeout, missing)
		}
	}
}

// patience expires if a backlog has not shrunk for the limit.
type patience struct {
	limit time.Duration
	// since is the time of the smallest backlog, looked the time of the last check.
	since, looked time.Time
	least         uint64
	known         bool
}

// lookEvery is the time between two checks of the backlog.
const lookEvery = time.Second

func (p *patience) over(now time.Time, backlog func() (uint64, error)) bool {
	if now.Sub(p.looked) >= lookEvery {
		p.looked = now
		if n, err := backlog(); err == nil && (!p.known || n < p.least) {
			p.least, p.known, p.since = n, true, now
		}
	}
	return now.Sub(p.since) >= p.limit
}
