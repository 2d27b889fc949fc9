package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// logTail is the maximum size of Log's result, in bytes.
const logTail = 64 << 10

// ErrClosed is returned by Start after Close.
var ErrClosed = errors.New("the process backend is closed")

// A Backend runs executors as processes of this machine; see the package comment. Its methods may
// be called concurrently.
type Backend struct {
	cfg       Config
	executors string // the folder of all homes, of this tenant
	scrap     string // the folder of directories being created or removed

	exits    chan backend.Exit
	closing  chan struct{}
	watching sync.WaitGroup
	// isolation probes once, when it is first needed.
	isolation func() Isolation

	mu       sync.Mutex
	closed   bool
	children map[int]string // executor by process id of its supervisor, not yet reaped
	starting map[string]int // calls of Start by executor
}

var _ backend.Backend = (*Backend)(nil)

// New opens the state directory, which it creates if missing, and starts to watch it. The caller
// must receive from Exits, and Close the backend.
func New(cfg Config) (*Backend, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("process backend: %w", err)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("process backend: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("process backend: %w", err)
	}
	// Executors get paths in it: these must be the same for everyone.
	if cfg.Dir, err = filepath.EvalSymlinks(cfg.Dir); err != nil {
		return nil, fmt.Errorf("process backend: %w", err)
	}
	b := &Backend{
		cfg:       cfg,
		executors: filepath.Join(place(cfg.Dir, cfg.Tenant), homes),
		scrap:     filepath.Join(place(cfg.Dir, cfg.Tenant), "scrap"),
		exits:     make(chan backend.Exit),
		closing:   make(chan struct{}),
		children:  map[int]string{},
		starting:  map[string]int{},
	}
	for _, dir := range []string{b.executors, b.scrap} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("process backend: %w", err)
		}
	}
	b.sweepScrap()
	b.isolation = sync.OnceValue(func() Isolation {
		if cfg.Isolation != nil {
			return *cfg.Isolation
		}
		return cfg.probe(context.Background())
	})
	childEnded := make(chan os.Signal, 1)
	signal.Notify(childEnded, syscall.SIGCHLD)
	b.watching.Go(func() {
		defer signal.Stop(childEnded)
		b.watch(childEnded)
	})
	return b, nil
}

// sweepScrap removes directories that killed Backends left in scrap. Young ones may still be in use by a
// live Backend.
func (b *Backend) sweepScrap() {
	entries, err := os.ReadDir(b.scrap)
	if err != nil {
		b.cfg.Logger.Warn("cannot read the scrap folder", "error", err)
		return
	}
	for _, entry := range entries {
		h := home(filepath.Join(b.scrap, entry.Name()))
		if idle, err := h.idleFor(time.Now()); err == nil && idle > abandonAfter {
			_ = os.RemoveAll(string(h))
		}
	}
}

// home returns an executor's directory. The id must be a name: it becomes part of a path.
func (b *Backend) home(executor string) (home, error) {
	if !document.ValidName(executor) {
		return "", fmt.Errorf("executor id %q is not a name (%s)", executor, document.NamePattern)
	}
	return home(filepath.Join(b.executors, executor)), nil
}

// Exits implements [backend.Backend]. A Backend delivers each exit once. Exits that are not
// received wait, and the next Backend on the directory delivers them again until Forget.
func (b *Backend) Exits() <-chan backend.Exit { return b.exits }

// List implements [backend.Backend].
func (b *Backend) List(ctx context.Context) ([]backend.Status, error) {
	entries, err := os.ReadDir(b.executors)
	if err != nil {
		return nil, fmt.Errorf("listing executors: %w", err)
	}
	running := []backend.Status{}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		instance, runs, err := home(filepath.Join(b.executors, entry.Name())).running()
		if errors.Is(err, fs.ErrNotExist) {
			continue // forgotten in the meantime
		}
		if err != nil {
			return nil, fmt.Errorf("listing executor %s: %w", entry.Name(), err)
		}
		if runs {
			running = append(running, backend.Status{Instance: instance})
		}
	}
	return running, nil
}

// Drain implements [backend.Backend].
func (b *Backend) Drain(ctx context.Context, executor string) error {
	return b.signal(ctx, executor, syscall.SIGTERM, "draining")
}

// GiveUp implements [backend.Backend].
func (b *Backend) GiveUp(ctx context.Context, executor string) error {
	return b.signal(ctx, executor, syscall.SIGQUIT, "giving up")
}

// Renew implements [backend.Backend]. The directory belongs to the executor, which may have put anything there.
func (b *Backend) Renew(_ context.Context, executor string, content []byte) (err error) {
	h, err := b.home(executor)
	if err != nil {
		return err
	}
	defer func() {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // it was forgotten, or has no credentials of its own
		} else if err != nil {
			err = fmt.Errorf("renewing the credentials of executor %s: %w", executor, err)
		}
	}()
	uid, err := b.owner(h)
	if err != nil {
		return err
	}
	own, err := os.OpenRoot(h.own())
	if err != nil {
		return err
	}
	defer own.Close()
	path := filepath.Join(credentials, credentialFiles[contract.EnvCreds])
	if _, err := own.Lstat(path); err != nil {
		return err
	}
	next := path + ".new"
	if err := own.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := own.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if uid != 0 {
		err = errors.Join(err, f.Chown(int(uid), int(uid)))
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = own.Rename(next, path)
	}
	if err != nil {
		err = errors.Join(err, own.Remove(next))
	}
	return err
}

// Protect implements [backend.Backend]. It does nothing: processes are not moved.
func (b *Backend) Protect(context.Context, string, bool) error { return nil }

// signal sends a signal to an executor's supervisor.
func (b *Backend) signal(
	ctx context.Context, executor string, sig syscall.Signal, doing string,
) error {
	h, err := b.home(executor)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	pid, held, err := h.holder()
	switch {
	case err != nil:
		return fmt.Errorf("%s executor %s: %w", doing, executor, err)
	case !held:
		return nil
	case pid <= 0:
		return fmt.Errorf("%s executor %s: its supervisor is in another pid namespace",
			doing, executor)
	}
	err = syscall.Kill(pid, sig)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s executor %s: signalling its supervisor: %w", doing, executor, err)
	}
	return nil
}

// Forget implements [backend.Backend]. Forgetting a running executor is an error; forgetting an unknown one
// is not.
func (b *Backend) Forget(ctx context.Context, executor string) error {
	h, err := b.home(executor)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.remove(h); err != nil {
		return fmt.Errorf("forgetting executor %s: %w", executor, err)
	}
	return nil
}

var errRuns = errors.New("it is still running")

// remove removes an executor's directory in one step, then deletes it.
func (b *Backend) remove(h home) error {
	// The program must not be started from here on.
	err := h.takeClaim(abandoned)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil && !errors.Is(err, errTaken) {
		return err
	}
	_, held, err := h.holder()
	if err != nil {
		return err
	}
	if held {
		return errRuns
	}
	if err := b.cfg.cgroup(filepath.Base(string(h))).remove(); err != nil { // if its supervisor could not
		return err
	}
	out, err := os.MkdirTemp(b.scrap, "out-*")
	if err != nil {
		return err
	}
	err = os.Rename(string(h), filepath.Join(out, "home"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // another call was faster
	}
	return errors.Join(err, os.RemoveAll(out))
}

// Log returns the end of an executor's output, standard output and error together, at most 64 KiB.
// It is empty for an unknown executor.
func (b *Backend) Log(executor string) ([]byte, error) {
	h, err := b.home(executor)
	if err != nil {
		return nil, err
	}
	log, err := h.readLog(logTail)
	if err != nil {
		return nil, fmt.Errorf("log of executor %s: %w", executor, err)
	}
	return log.Bytes(), nil
}

// Close implements [backend.Backend].
func (b *Backend) Close() error {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.closing)
	}
	b.mu.Unlock()
	b.watching.Wait()
	return nil
}
