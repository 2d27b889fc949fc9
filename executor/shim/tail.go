package shim

import (
	"io"
	"sync"

	"github.com/dagyo/dagyo/pkg/contract"
)

// tailLimit is how much of standard error is kept for a panic, in bytes. It is more than a panic contains: the beginning may
// be a part of a secret, and is left out.
const tailLimit = 2 * contract.DetailLimit

// A tail keeps the end of what is written to it, and copies everything to a log.
type tail struct {
	log io.Writer

	mu   sync.Mutex
	kept []byte
}

// Write implements io.Writer. A log that fails must not stop the command.
func (t *tail) Write(b []byte) (int, error) {
	_, _ = t.log.Write(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b[max(len(b)-tailLimit, 0):]...)
	if over := len(t.kept) - tailLimit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
