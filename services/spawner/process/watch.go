package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

const (
	// pollEvery is how soon the watcher sees the end of an executor that another Backend started. SIGCHLD
	// reports the end of its own at once.
	pollEvery = 100 * time.Millisecond
	// abandonAfter is how long a start may make no progress before its spawner is considered killed.
	abandonAfter = time.Minute
)

// A watcher is the state of the goroutine that checks the directory and delivers exits.
type watcher struct {
	*Backend
	reported map[string]bool // exits in or past pending, of executors not forgotten
	pending  []backend.Exit  // not yet received; at most one for each directory
	lastErr  string
	// empty is when the directory of all homes was last changed, if it had no entries; else zero.
	empty time.Time
}

// watch checks the directory whenever an executor may have ended, and delivers exits, until Close.
func (b *Backend) watch(childEnded <-chan os.Signal) {
	defer close(b.exits)
	w := &watcher{Backend: b, reported: map[string]bool{}}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	w.look()
	for {
		var exits chan<- backend.Exit // nil: never ready
		var next backend.Exit
		if len(w.pending) > 0 {
			exits, next = b.exits, w.pending[0]
		}
		select {
		case <-b.closing:
			return
		case exits <- next:
			w.pending = w.pending[1:]
		case <-tick.C:
			w.look()
		case <-childEnded:
			w.look()
		}
	}
}

// look finds new exits.
func (w *watcher) look() {
	busy := w.reap()
	if w.stillEmpty() {
		return
	}
	entries, err := os.ReadDir(w.executors)
	w.complain(err)
	if err != nil {
		return
	}
	w.noteEmpty(len(entries) == 0)
	present := make(map[string]bool, len(entries))
	for _, entry := range entries {
		id := entry.Name()
		present[id] = true
		if busy[id] || w.reported[id] {
			continue
		}
		w.complain(w.inspect(id))
	}
	w.dropForgotten(present)
}

// stillEmpty reports whether the directory had no entries and has not been changed since. Most tenants are idle.
func (w *watcher) stillEmpty() bool {
	if w.empty.IsZero() {
		return false
	}
	info, err := os.Stat(w.executors)
	return err == nil && info.ModTime().Equal(w.empty)
}

// settled is the age from which the time of a change tells it from later ones.
const settled = time.Second

// noteEmpty notes whether the directory has no entries, and when it was changed.
func (w *watcher) noteEmpty(empty bool) {
	w.empty = time.Time{}
	if info, err := os.Stat(w.executors); empty && err == nil && time.Since(info.ModTime()) > settled {
		w.empty = info.ModTime()
	}
}

// reap waits for exited supervisors, so that they do not remain zombies, and returns the executors that
// cannot have ended: those with a live supervisor, and those that are being started, whose result Start
// has yet to return.
func (w *watcher) reap() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	busy := make(map[string]bool, len(w.children)+len(w.starting))
	for pid, executor := range w.children {
		if alive(pid) {
			busy[executor] = true
		} else {
			delete(w.children, pid)
		}
	}
	for executor := range w.starting {
		busy[executor] = true
	}
	return busy
}

// alive reaps a child that has exited.
func alive(pid int) bool {
	var status syscall.WaitStatus
	got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
	return got == 0 && err == nil || errors.Is(err, syscall.EINTR)
}

// inspect checks one executor.
func (w *watcher) inspect(id string) error {
	h := home(filepath.Join(w.executors, id))
	exit, ok, err := h.ended()
	if err == nil && !ok {
		err = h.abandonIfIdle(time.Now())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // forgotten in the meantime
	}
	if ok && err == nil {
		if exit.Reason == supervisorDied {
			w.complain(killMarked(h.own()))
		}
		w.pending = append(w.pending, exit)
		w.reported[id] = true
	}
	return err
}

// abandonIfIdle makes sure that an executor whose start was interrupted, and was not tried again, never runs. Its exit
// gives that reason.
func (h home) abandonIfIdle(now time.Time) error {
	claimed, err := h.claimed()
	if err != nil || claimed {
		return err
	}
	idle, err := h.idleFor(now)
	if err != nil || idle < abandonAfter {
		return err
	}
	if err := h.takeClaim(abandoned); !errors.Is(err, errTaken) {
		return err
	}
	return nil // it was started
}

// dropForgotten drops executors that were forgotten through this Backend or another.
func (w *watcher) dropForgotten(present map[string]bool) {
	for id := range w.reported {
		if !present[id] {
			delete(w.reported, id)
		}
	}
	kept := w.pending[:0]
	for _, exit := range w.pending {
		if present[exit.Executor] {
			kept = append(kept, exit)
		}
	}
	w.pending = kept
}

// complain logs a failure when it first occurs, not ten times a second.
func (w *watcher) complain(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != w.lastErr && text != "" {
		w.cfg.Logger.Warn("cannot watch executors", "error", err)
	}
	w.lastErr = text
}
