package process

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/dagyo/dagyo/services/spawner/tail"
)

// addFile adds the content of a file to a tail; a missing file adds nothing.
func addFile(t *tail.Tail, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t, f)
	return err
}

// logLimit limits each of the two log files, in bytes.
const logLimit = 1 << 20

// previous is the name of the log file that was filled before the current one.
func previous(path string) string { return path + ".1" }

// A rotating log is a file that is restarted when it is full; one full file is kept. It may be
// used concurrently. A full disk must not affect the program, so a rotating log never reports an error.
type rotating struct {
	path  string
	limit int

	mu   sync.Mutex
	file *os.File
	size int
}

func (r *rotating) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil || r.size+len(p) > r.limit {
		r.rotate()
	}
	if r.file != nil {
		n, _ := r.file.Write(p)
		r.size += n
	}
	return len(p), nil
}

func (r *rotating) rotate() {
	if r.file != nil {
		_ = r.file.Close()
		_ = os.Rename(r.path, previous(r.path))
	}
	r.size = 0
	// On failure the file is nil, and the next write tries again.
	r.file, _ = os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (r *rotating) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// lastWords is how long the output of an exited program may stay open: a process that left its process
// group may hold it forever.
const lastWords = time.Second

// An output reads a program's output: it copies all of it to the log, and standard error also to the tail.
type output struct {
	log     *rotating
	errors  *tail.Tail
	readers []*os.File
	copying sync.WaitGroup
}

func newOutput(h home, limit int) *output {
	return &output{
		log:    &rotating{path: h.log(), limit: logLimit},
		errors: tail.New(limit),
	}
}

// stdout and stderr return the files to pass to the program; the caller closes its copies once the
// program is started.
func (o *output) stdout() (*os.File, error) { return o.pipe(o.log) }
func (o *output) stderr() (*os.File, error) { return o.pipe(io.MultiWriter(o.errors, o.log)) }

func (o *output) pipe(to io.Writer) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o.readers = append(o.readers, r)
	o.copying.Go(func() { _, _ = io.Copy(to, r) })
	return w, nil
}

// finish waits for the rest of the output and returns the end of standard error.
func (o *output) finish() string {
	for _, r := range o.readers {
		_ = r.SetReadDeadline(time.Now().Add(lastWords))
	}
	o.copying.Wait()
	for _, r := range o.readers {
		_ = r.Close()
	}
	_ = o.log.Close()
	return o.errors.String()
}
