package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// ErrClosed is returned by methods of a Backend after Close.
var ErrClosed = errors.New("the Docker backend is closed")

// callTimeout limits each call of the daemon, except pulling images.
const callTimeout = 2 * time.Minute

// A Backend runs executors as containers of one Docker host; see the package comment. Its methods may
// be called concurrently.
type Backend struct {
	cfg    Config
	docker *client.Client
	cpus   int // of the host

	exits  chan backend.Exit
	outbox *queue[backend.Exit] // by executor: exits not yet received
	look   *queue[struct{}]     // by container id: something may have happened to it
	stop   context.CancelFunc
	work   sync.WaitGroup // goroutines, and calls under way

	renaming sync.Mutex

	mu     sync.Mutex
	closed bool
	pulls  map[string]*pull // by executor
}

var _ backend.Backend = (*Backend)(nil)

// New connects to a Docker daemon and starts to watch the place. The caller must receive from Exits,
// and Close the backend.
func New(ctx context.Context, cfg Config) (*Backend, error) {
	b, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("docker backend: %w", err)
	}
	background, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.work.Go(func() { b.follow(background) })
	b.work.Go(func() { (&watcher{Backend: b, charges: map[string]*charge{}}).watch(background) })
	b.work.Go(func() { b.deliver(background) })
	return b, nil
}

// open makes a Backend that does not watch yet.
func open(ctx context.Context, cfg Config) (*Backend, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	chosen := cfg.Place
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	docker, err := Connect(ctx, cfg.Host)
	if err != nil {
		return nil, err
	}
	b := &Backend{
		cfg:    cfg,
		docker: docker,
		exits:  make(chan backend.Exit),
		outbox: newQueue[backend.Exit](),
		look:   newQueue[struct{}](),
		pulls:  map[string]*pull{},
	}
	if err := b.survey(ctx, chosen); err != nil {
		return nil, errors.Join(err, docker.Close())
	}
	return b, nil
}

// survey finds the host's properties, and where on it this program runs. It keeps a configured place.
func (b *Backend) survey(ctx context.Context, place string) error {
	host, err := b.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return fmt.Errorf("asking for the host's properties: %w", err)
	}
	b.cpus = host.Info.NCPU
	for _, w := range host.Info.Warnings { // for instance, that it cannot limit memory
		b.cfg.Logger.Warn("warning of the Docker host", "warning", w)
	}
	own, inside, err := findOwn(ctx, b.docker)
	if err != nil {
		return err
	}
	if !inside {
		own.network = bridge
		b.cfg.ExtraHosts = append(slices.Clone(b.cfg.ExtraHosts), HostAlias+":host-gateway")
	}
	if b.cfg.Place = cmp.Or(place, own.project(), DefaultPlace); b.cfg.Tenant != "" {
		b.cfg.Place += "-" + b.cfg.Tenant
	}
	b.cfg.Labels = own.compose(b.cfg.Labels)
	if b.cfg.Network == "" {
		b.cfg.Network = own.network
		b.cfg.Logger.Info("found the network for executors", "network", own.network, "place", b.cfg.Place)
	}
	if _, err := b.docker.NetworkInspect(ctx, b.cfg.Network, client.NetworkInspectOptions{}); err != nil {
		return fmt.Errorf("the network for executors: %w", err)
	}
	if err := b.sweepCredentials(ctx); err != nil {
		b.cfg.Logger.Warn("cannot remove the credentials of removed executors", "error", err)
	}
	return nil
}

// begin counts a call, so that Close can wait for it.
func (b *Backend) begin() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	b.work.Add(1)
	return nil
}

// call performs an operation on one executor. Once begun it is completed even if ctx ends: it must not
// stop between a rename and the signal that the name announces.
func (b *Backend) call(
	ctx context.Context, doing, executor string, do func(ctx context.Context) error,
) error {
	if !document.ValidName(executor) {
		return fmt.Errorf("executor id %q is not a name (%s)", executor, document.NamePattern)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.begin(); err != nil {
		return err
	}
	defer b.work.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := do(ctx); err != nil {
		return fmt.Errorf("%s executor %s: %w", doing, executor, err)
	}
	return nil
}

// Exits implements [backend.Backend]. A Backend delivers each exit once. Exits that are not received
// wait, and the next Backend on the place delivers them again until Forget.
func (b *Backend) Exits() <-chan backend.Exit { return b.exits }

// deliver delivers exits until ctx ends.
func (b *Backend) deliver(ctx context.Context) {
	defer close(b.exits)
	for {
		var exits chan<- backend.Exit // nil: never ready
		executor, next, ok := b.outbox.first()
		if ok {
			exits = b.exits
		}
		select {
		case <-ctx.Done():
			return
		case exits <- next:
			b.outbox.drop(executor)
		case <-b.outbox.changed:
		}
	}
}

// Protect implements [backend.Backend]. It does nothing: containers do not move between Docker hosts.
func (b *Backend) Protect(context.Context, string, bool) error { return nil }

// List implements [backend.Backend].
func (b *Backend) List(ctx context.Context) ([]backend.Status, error) {
	if err := b.begin(); err != nil {
		return nil, err
	}
	defer b.work.Done()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out := b.waiting()
	found, err := b.containers(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing executors: %w", err)
	}
	for _, c := range found {
		runs, err := b.runs(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("listing executor %s: %w", c.Labels[labelExecutor], err)
		}
		if _, pulled := out[c.Labels[labelExecutor]]; runs && !pulled {
			out[c.Labels[labelExecutor]] = backend.Status{Instance: instanceOf(c.Labels)}
		}
	}
	return slices.AppendSeq(make([]backend.Status, 0, len(out)), maps.Values(out)), nil
}

// runs reports whether a container is running, or is about to.
func (b *Backend) runs(ctx context.Context, c container.Summary) (bool, error) {
	switch c.State {
	case container.StateCreated: // only an inspection shows whether the daemon failed to start it
		seen, err := b.inspect(ctx, c.ID)
		if cerrdefs.IsNotFound(err) {
			return false, nil
		}
		return err == nil && !ended(seen.State, b.nameOf(seen)), err
	case container.StateRunning, container.StatePaused, container.StateRestarting:
		return true, nil
	}
	return false, nil
}

// containers lists the place's containers with all of the labels given, as key, value, key, value.
func (b *Backend) containers(ctx context.Context, labels ...string) ([]container.Summary, error) {
	filters := b.ours()
	for i := 0; i < len(labels); i += 2 {
		filters.Add("label", labels[i]+"="+labels[i+1])
	}
	list, err := b.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	return list.Items, err
}

// ours selects the containers of the place.
func (b *Backend) ours() client.Filters {
	return client.Filters{}.Add("label", labelPlace+"="+b.cfg.Place)
}

func (b *Backend) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	result, err := b.docker.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	return result.Container, err
}

func instanceOf(labels map[string]string) backend.Instance {
	return backend.Instance{
		Executor: labels[labelExecutor],
		Progdef:  labels[labelProgdef],
		Revision: labels[labelRevision],
	}
}

func (b *Backend) nameOf(c container.InspectResponse) name {
	return parseName(b.cfg.Place, c.Config.Labels[labelExecutor], c.Name)
}

// errRuns explains why an executor cannot be forgotten.
var errRuns = errors.New("it is still running")

// Forget implements [backend.Backend]. Forgetting a running executor is an error; forgetting an unknown one
// is not.
func (b *Backend) Forget(ctx context.Context, executor string) error {
	return b.call(ctx, "forgetting", executor, func(ctx context.Context) error {
		if !b.forgetPull(executor) {
			return errRuns
		}
		found, err := b.containers(ctx, labelExecutor, executor)
		if err != nil {
			return err
		}
		for _, c := range found {
			if runs, err := b.runs(ctx, c); err != nil || runs {
				return errors.Join(err, errRuns)
			}
			if err := b.remove(ctx, c.ID); err != nil {
				return err
			}
		}
		b.outbox.drop(executor)
		return nil
	})
}

// remove removes a container that is not running, with its anonymous volumes.
func (b *Backend) remove(ctx context.Context, id string) error {
	_, err := b.docker.ContainerRemove(ctx, id, client.ContainerRemoveOptions{RemoveVolumes: true})
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Close implements [backend.Backend].
func (b *Backend) Close() error {
	b.mu.Lock()
	b.closed = true
	for _, p := range b.pulls {
		p.cancel()
	}
	b.mu.Unlock()
	b.stop()
	b.work.Wait()
	return b.docker.Close()
}
