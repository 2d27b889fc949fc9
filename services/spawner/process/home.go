package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/tail"
)

// A home is the directory of one executor (see the package comment).
type home string

func (h home) instance() string      { return filepath.Join(string(h), "instance.json") }
func (h home) lock() string          { return filepath.Join(string(h), "lock") }
func (h home) claim() string         { return filepath.Join(string(h), "claim") }
func (h home) exit() string          { return filepath.Join(string(h), "exit.json") }
func (h home) log() string           { return filepath.Join(string(h), "log") }
func (h home) own() string           { return filepath.Join(string(h), "own") }
func (h home) supervisorLog() string { return filepath.Join(string(h), "supervisor.log") }

// abandoned is the content of a claim that was taken to keep anyone from starting the program.
const abandoned = "abandoned\n"

// errTaken means that another supervisor has, or had, the executor.
var errTaken = errors.New("another supervisor has this executor")

// takeLock takes the lock for the rest of the process's life, or returns errTaken. The caller must
// never open the lock file again: closing any of its descriptors would release the lock.
func (h home) takeLock() (*os.File, error) {
	f, err := os.OpenFile(h.lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	all := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &all)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, errTaken
	}
	return nil, fmt.Errorf("locking %s: %w", h.lock(), err)
}

// holder returns the holder of the lock, without taking it.
func (h home) holder() (pid int, held bool, err error) {
	f, err := os.OpenFile(h.lock(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	all := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &all); err != nil {
		return 0, false, fmt.Errorf("querying the lock %s: %w", h.lock(), err)
	}
	return int(all.Pid), all.Type != unix.F_UNLCK, nil
}

// takeClaim takes the permission to run the program, or returns errTaken. It is never given back.
func (h home) takeClaim(note string) error {
	f, err := os.OpenFile(h.claim(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return errTaken
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(note)
	return errors.Join(err, f.Close())
}

func (h home) claimed() (bool, error) {
	_, err := os.Stat(h.claim())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// gone reports whether the directory was removed while a supervisor held its lock.
func (h home) gone() bool {
	_, err := os.Stat(h.lock())
	return errors.Is(err, fs.ErrNotExist)
}

// idleFor returns how long nothing has been created in or removed from the directory.
func (h home) idleFor(now time.Time) (time.Duration, error) {
	info, err := os.Stat(string(h))
	if err != nil {
		return 0, err
	}
	return now.Sub(info.ModTime()), nil
}

// ended returns how the executor ended; ok is false if it is running, or was not started yet.
//
// The order of the checks matters. Once there is a claim, only its taker ever ran the program, and it
// took the lock before the claim. So a lock found free after that stays free, and the records written
// before are final.
func (h home) ended() (exit backend.Exit, ok bool, err error) {
	if claimed, err := h.claimed(); err != nil || !claimed {
		return exit, false, err
	}
	if _, held, err := h.holder(); err != nil || held {
		return exit, false, err
	}
	err = readJSON(h.exit(), &exit)
	if errors.Is(err, errLost) {
		return h.unexplained()
	}
	return exit, err == nil, err
}

// supervisorDied is the reason of an exit that its supervisor has not recorded.
const supervisorDied = "its supervisor died, so its exit status is unknown"

// unexplained is the exit of an executor whose supervisor recorded none.
func (h home) unexplained() (exit backend.Exit, ok bool, err error) {
	exit = backend.Exit{Code: -1, Reason: supervisorDied}
	if exit.Instance, err = h.identity(); err != nil {
		return exit, false, err
	}
	note, err := os.ReadFile(h.claim())
	if err != nil {
		return exit, false, err
	}
	if string(note) == abandoned {
		exit.Reason = "it was never started: the spawner exited while starting it"
		return exit, true, nil
	}
	log, err := h.readLog(contract.DetailLimit)
	exit.Detail = log.String()
	return exit, err == nil, err
}

// running reports whether the executor is running, and its identity.
func (h home) running() (instance backend.Instance, runs bool, err error) {
	if _, held, err := h.holder(); err != nil || !held {
		return instance, false, err
	}
	if _, err := os.Stat(h.exit()); !errors.Is(err, fs.ErrNotExist) {
		return instance, false, err
	}
	instance, err = h.identity()
	return instance, err == nil, err
}

// identity reads the executor's identity. Its id is the name of the directory, even if the record is lost.
func (h home) identity() (backend.Instance, error) {
	var instance backend.Instance
	err := readJSON(h.instance(), &instance)
	if errors.Is(err, errLost) {
		_, err = os.Stat(string(h)) // a forgotten home has no identity
	}
	instance.Executor = filepath.Base(string(h))
	return instance, err
}

// readLog returns the last limit bytes of the program's output.
func (h home) readLog(limit int) (*tail.Tail, error) {
	t := tail.New(limit)
	for _, path := range []string{previous(h.log()), h.log()} {
		if err := addFile(t, path); err != nil {
			return t, err
		}
	}
	return t, nil
}

// errLost means that a record is missing, or was truncated by a power failure.
var errLost = errors.New("lost")

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, errLost)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w: %w", path, errLost, err)
	}
	return nil
}

// writeJSON writes a file atomically. It does not sync: a power failure that loses the records also ends
// the processes that they describe.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(path, b)
}

// writeFile stores a file completely or not at all. Only its owner can read it.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".write-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
