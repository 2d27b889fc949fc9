package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/envset"
	"github.com/dagyo/dagyo/services/spawner/tail"
)

// Start implements [backend.Backend]. It returns when the program is running, or when another call has
// started it or is starting it. After a transient error, and after ctx has ended, the executor may or may
// not be running: call Start again, or wait for its exit.
//
// An id is remembered until it is forgotten.
func (b *Backend) Start(ctx context.Context, spec backend.Spec) error {
	h, err := b.home(spec.Executor)
	if err != nil {
		return err
	}
	if err := b.beginStart(spec.Executor); err != nil {
		return err
	}
	defer b.endStart(spec.Executor)
	// Before the environment is read, which may have changed since the executor was started.
	if claimed, err := h.claimed(); err != nil || claimed {
		return err
	}
	p, err := b.cfg.resolve(spec, h, b.isolation())
	if err != nil {
		return err
	}
	if err := b.start(ctx, h, p); err != nil {
		return fmt.Errorf("starting executor %s: %w", spec.Executor, err)
	}
	return nil
}

func (b *Backend) beginStart(executor string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	b.starting[executor]++
	return nil
}

func (b *Backend) endStart(executor string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.starting[executor]--; b.starting[executor] == 0 {
		delete(b.starting, executor)
	}
}

func (b *Backend) start(ctx context.Context, h home, p plan) error {
	if err := b.makeHome(h, p); err != nil {
		return err
	}
	o := p.order
	var err error
	if o.Enclosure.UID, err = b.owner(h); err != nil {
		return err
	}
	answers, err := b.launch(h, o)
	if err != nil {
		return err
	}
	defer answers.Close()
	a, err := b.await(ctx, answers)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("its supervisor died: %s", h.complaints())
	}
	if err != nil {
		return fmt.Errorf("waiting for its supervisor: %w", err)
	}
	return b.conclude(h, o, a)
}

// makeHome creates an executor's directory atomically. It may already exist: an earlier call got no
// further, or another one is in progress.
func (b *Backend) makeHome(h home, p plan) error {
	in, err := os.MkdirTemp(b.scrap, "in-*") // mode 0700
	if err != nil {
		return err
	}
	err = writeJSON(home(in).instance(), p.Instance)
	if err == nil {
		err = b.makeOwn(home(in), p.credentials)
	}
	if err == nil {
		err = b.settle(in, h)
	}
	if err != nil {
		_ = os.RemoveAll(in)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// makeOwn creates the executor's own directory in the future home in, with its credentials.
func (b *Backend) makeOwn(in home, files map[string][]byte) error {
	for _, dir := range []string{in.own(), filepath.Join(in.own(), tmp), filepath.Join(in.own(), credentials)} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(in.own(), credentials, name), content, 0o400); err != nil {
			return err
		}
	}
	return nil
}

// settle gives a new home its place, and its own directory a user that no other executor has.
func (b *Backend) settle(in string, h home) error {
	if !b.isolation().Foreign {
		return os.Rename(in, string(h)) // fails on a directory that is not empty
	}
	unlock, err := b.lockUIDs()
	if err != nil {
		return err
	}
	defer unlock()
	taken, err := b.takenUIDs()
	if err != nil {
		return err
	}
	id, err := b.cfg.UIDs.choose(filepath.Base(string(h)), taken)
	if err != nil {
		return err
	}
	err = filepath.WalkDir(home(in).own(), func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, int(id), int(id)))
	})
	if err != nil {
		return err
	}
	return os.Rename(in, string(h))
}

// lockUIDs lets one Backend at a time choose a user id.
func (b *Backend) lockUIDs() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(b.cfg.Dir, "uids.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil
}

// takenUIDs are the users of the executors of all tenants that are not forgotten.
func (b *Backend) takenUIDs() (map[uint32]bool, error) {
	tenants, err := Tenants(b.cfg.Dir)
	if err != nil {
		return nil, err
	}
	taken := make(map[uint32]bool)
	for _, tenant := range append(tenants, "") {
		executors := filepath.Join(place(b.cfg.Dir, tenant), homes)
		entries, err := os.ReadDir(executors)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a new tenant has no folder yet
			return nil, err
		}
		for _, entry := range entries {
			if id, err := b.owner(home(filepath.Join(executors, entry.Name()))); err == nil {
				taken[id] = true
			}
		}
	}
	return taken, nil
}

// owner returns the user of an executor, or 0 if it has none of its own.
func (b *Backend) owner(h home) (uint32, error) {
	if !b.isolation().Foreign {
		return 0, nil
	}
	info, err := os.Stat(h.own())
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 {
		return 0, fmt.Errorf("%s belongs to root: remove it", h.own())
	}
	return stat.Uid, nil
}

// launch starts a supervisor in its own session, and returns the read end of the pipe for its answer.
func (b *Backend) launch(h home, o order) (answers *os.File, err error) {
	files, closeAll, err := supervisorFiles(h, o)
	defer closeAll()
	if err != nil {
		return nil, err
	}
	answers, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	// Only what it needs to start: the spawner's own environment may contain secrets.
	env := envset.Vars{}
	env.Add(b.cfg.SelfEnv)
	args := append(append([]string{b.cfg.Self}, b.cfg.SelfArgs...), "supervise", string(h))
	files = append(files, w) // answerFD
	if b.cfg.Leash != nil {
		files = append(files, b.cfg.Leash) // leashFD
	}
	p, err := os.StartProcess(b.cfg.Self, args, &os.ProcAttr{
		Env:   env.List(),
		Files: files,
		Sys:   supervisorAttr(o.Enclosure.Enclosed),
	})
	if err != nil {
		_ = answers.Close()
		return nil, err
	}
	b.adopt(p, o.Instance.Executor)
	return answers, nil
}

// adopt hands a supervisor to the watcher, which reaps it.
func (b *Backend) adopt(p *os.Process, executor string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.children[p.Pid] = executor
	_ = p.Release()
}

// supervisorFiles opens a supervisor's standard files: the order, the null device, supervisor.log.
func supervisorFiles(h home, o order) (files []*os.File, closeAll func(), err error) {
	closeAll = func() {
		for _, f := range files {
			_ = f.Close()
		}
	}
	for _, open := range []func() (*os.File, error){
		func() (*os.File, error) { return o.open(string(h)) },
		func() (*os.File, error) { return os.OpenFile(os.DevNull, os.O_WRONLY, 0) },
		func() (*os.File, error) {
			return os.OpenFile(h.supervisorLog(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		},
	} {
		f, err := open()
		if err != nil {
			return files, closeAll, err
		}
		files = append(files, f)
	}
	return files, closeAll, nil
}

// await reads a supervisor's answer, or returns io.EOF if it died without one.
func (b *Backend) await(ctx context.Context, answers *os.File) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.StartTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = answers.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = json.NewDecoder(io.LimitReader(answers, answerLimit)).Decode(&a)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = context.Cause(ctx)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = io.EOF
	}
	return a, err
}

// conclude turns a supervisor's answer into the result of Start.
func (b *Backend) conclude(h home, o order, a answer) error {
	switch {
	case a.Verdict == started || a.Verdict == taken:
		return nil
	case a.Verdict == unfit && permanent(a.Errno):
		return errors.Join(refused(cannotStart(o.Args[0], a.Errno)), b.remove(h))
	case a.Verdict == unfit:
		return nil // the exit reports it
	}
	return errors.New(a.Message)
}

// complaints is the content of the executor's supervisor log.
func (h home) complaints() string {
	t := tail.New(1 << 10)
	if err := addFile(t, h.supervisorLog()); err != nil {
		return err.Error()
	}
	return filepath.Base(h.supervisorLog()) + ": " + t.String()
}
