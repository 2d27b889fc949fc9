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
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/services/dagyo/client"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/process"
	"github.com/dagyo/dagyo/services/validator"
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
	// Services must be resolved.
	Services *settings.Services
	// Process configures the backend; its Dir, Logger and Isolation are set here.
	Process process.Config
	// Source is the CloudEvents source of events published on behalf of the user.
	Source string
	Log    zerolog.Logger
}

// A Local is a running Dagyo.
type Local struct {
	config   Config
	lock     *os.File
	keys     *keyring.Keyring
	person   []byte // the credentials of who started it
	server   *embedded.Server
	client   *client.Client
	services map[string]*running
	failed   chan error
	// isolation of the executors.
	isolation process.Isolation
}

// running is a running service.
type running struct {
	cancel context.CancelFunc
	link   *broker.Link
	done   chan struct{}
}

// Start starts everything, and returns when all services answer and the standard progdefs are in the catalogue.
// The caller must stop the returned Local. If Start fails, only executors of an earlier Local keep running.
func Start(ctx context.Context, c Config) (*Local, error) {
	lock, err := takeLock(c.Dir)
	if err != nil {
		return nil, err
	}
	l := &Local{
		config: c, lock: lock, services: make(map[string]*running), failed: make(chan error, 4),
	}
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.abandon())
	}
	return l, nil
}

func (l *Local) start(ctx context.Context) error {
	var err error
	if l.isolation, err = process.Probe(ctx, l.process()); err != nil {
		return err
	}
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
	l.server, err = embedded.Start(ctx, embedded.Options{
		Port: l.config.Port, Dir: l.storeDir(), Trust: trust, Log: l.config.Log,
	})
	if err != nil {
		return err
	}
	l.client, err = client.Connect(ctx, client.Options{URL: l.URL(), Credentials: l.person, Source: l.config.Source})
	if err != nil {
		return err
	}
	// A server that is shut down while it creates streams leaves goroutines behind (nats-server 2.15).
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := l.startServices(ctx); err != nil {
		return err
	}
	return l.applyStandard(ctx)
}

// executorsDir is the folder of the executors in the data directory.
const executorsDir = "executors"

// process is the configuration of the backend. Executors do not see what NATS stores.
func (l *Local) process() process.Config {
	p := l.config.Process
	p.Dir = filepath.Join(l.config.Dir, executorsDir)
	p.Hidden = append(slices.Clone(p.Hidden), l.storeDir())
	p.Logger = slog.New(zerolog.NewSlogHandler(l.config.Log))
	return p
}

// storeDir is the folder of the NATS server in the data directory.
func (l *Local) storeDir() string { return filepath.Join(l.config.Dir, "nats") }

// backend opens the backend.
func (l *Local) backend() (*process.Backend, error) {
	p := l.process()
	p.Isolation = &l.isolation
	return process.New(p)
}

// Isolation says how the executors are isolated.
func (l *Local) Isolation() process.Isolation { return l.isolation }

// Running reports whether executors are running in a data directory. No Local may use the directory.
func Running(ctx context.Context, dir string) (bool, error) {
	executors := filepath.Join(dir, executorsDir)
	if _, err := os.Stat(executors); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	b, err := process.New(process.Config{Dir: executors})
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
func (l *Local) URL() string { return l.server.ClientURL() }

// Failed delivers the error of a service that exited by itself. The caller must then stop the Local.
func (l *Local) Failed() <-chan error { return l.failed }

func (l *Local) startServices(ctx context.Context) error {
	s := l.config.Services
	s.Spawner.Queue, s.Spawner.Issue = l.URL(), l.issue
	open := func() (backend.Backend, error) {
		b, err := l.backend()
		if err != nil {
			return nil, err
		}
		return finisher{b}, nil
	}
	for name, run := range map[string]func(context.Context, *broker.Link) error{
		validator.Name: func(ctx context.Context, link *broker.Link) error {
			return validator.Run(ctx, link, s.Validator)
		},
		planner.Name: func(ctx context.Context, link *broker.Link) error {
			return planner.Run(ctx, link, s.Planner)
		},
		spawner.Name: func(ctx context.Context, link *broker.Link) error {
			return spawner.Run(ctx, link, open, s.Spawner)
		},
		aggregator.Name: func(ctx context.Context, link *broker.Link) error {
			return aggregator.Run(ctx, link, s.Aggregator)
		},
	} {
		if err := l.startService(ctx, name, run); err != nil {
			return err
		}
	}
	return l.awaitServices(ctx)
}

func (l *Local) startService(
	ctx context.Context, name string, run func(context.Context, *broker.Link) error,
) error {
	link, err := l.connect(ctx, access.Role(name))
	if err != nil {
		return fmt.Errorf("start the %s: %w", name, err)
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{cancel: cancel, link: link, done: make(chan struct{})}
	l.services[name] = r
	go func() {
		defer close(r.done)
		if err := run(serving, link); err != nil {
			l.failed <- err
		}
	}()
	return nil
}

// pingPause is the time between two pings: they are answered at once while no service is subscribed.
const pingPause = 5 * time.Millisecond

// awaitServices pings until each service has answered. It waits longer while services still read events: the first
// start of this version reads all events of the previous version.
func (l *Local) awaitServices(ctx context.Context) error {
	left := patience{limit: startTimeout, since: time.Now()}
	for {
		ask, done := context.WithTimeout(ctx, 50*time.Millisecond)
		found, err := l.client.Ping(ask)
		done()
		if err != nil {
			return err
		}
		missing := client.Missing(found)
		if len(missing) == 0 {
			return nil
		}
		select {
		case err := <-l.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("no answer from services %v: %w", missing, context.Cause(ctx))
		case <-time.After(pingPause):
		}
		if left.over(time.Now(), func() (uint64, error) { return l.client.Behind(ctx) }) {
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
