package service

import (
	"slices"
	"sync"

	"github.com/dagyo/dagyo/pkg/contract"
)

const (
	// asksAtOnce is how many requests a service answers at the same time, asksOfSender how many of one sender.
	asksAtOnce   = 16
	asksOfSender = 4
	// Further requests wait: at most so many, and of so many bytes, of each sender and of all.
	waitingOfSender, waitingBytesOfSender = 256, 16 << 20
	waitingOfAll, waitingBytesOfAll       = 4096, 128 << 20
)

// turns serves requests. Senders with waiting requests have their turns one after the other, so that one with many requests
// does not keep the others waiting.
type turns struct {
	mu      sync.Mutex
	lines   map[string]*line // of the senders with waiting or running requests
	order   []*line          // those with waiting requests; the next turn is that of the first
	waiting backlog
	running int
	closed  bool
	tasks   sync.WaitGroup
}

// A line is the requests of one sender.
type line struct {
	sender  string
	queue   []request
	waiting backlog
	running int
}

type request struct {
	size  int
	serve func()
	drop  func(error) // instead of serve
}

// A backlog counts waiting requests and their bytes.
type backlog struct{ requests, bytes int }

func (b *backlog) add(requests, bytes int) {
	b.requests += requests
	b.bytes += bytes
}

func newTurns() *turns { return &turns{lines: make(map[string]*line)} }

// Why requests are dropped.
var (
	errCrowded = &AskError{Code: "429", Message: "too many questions are waiting for their answers: ask again when some are answered"}
	errLeaving = &AskError{Code: contract.CodeLeaving, Message: "the service is being stopped or started again: ask again"}
)

// add serves a request of the given size when it is its turn, or drops it: at once if too many are waiting, and in close.
func (t *turns) add(sender string, size int, serve func(), drop func(error)) {
	if err := t.put(sender, request{size, serve, drop}); err != nil {
		drop(err)
	}
}

func (t *turns) put(sender string, r request) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[sender]
	if l == nil {
		l = &line{sender: sender}
	}
	if t.closed {
		return errLeaving
	}
	if l.waiting.requests >= waitingOfSender || t.waiting.requests >= waitingOfAll ||
		l.waiting.bytes+r.size > waitingBytesOfSender || t.waiting.bytes+r.size > waitingBytesOfAll {
		return errCrowded
	}
	t.lines[sender] = l
	if len(l.queue) == 0 {
		t.order = append(t.order, l)
	}
	l.queue = append(l.queue, r)
	l.waiting.add(1, r.size)
	t.waiting.add(1, r.size)
	t.start()
	return nil
}

// start starts the requests whose turn it is. The caller must hold the lock.
func (t *turns) start() {
	for t.running < asksAtOnce {
		i := slices.IndexFunc(t.order, func(l *line) bool { return l.running < asksOfSender })
		if i < 0 {
			return
		}
		l := t.order[i]
		next := l.queue[0]
		l.queue[0] = request{}
		l.queue, t.order = l.queue[1:], slices.Delete(t.order, i, i+1)
		if len(l.queue) > 0 {
			t.order = append(t.order, l)
		}
		l.waiting.add(-1, -next.size)
		t.waiting.add(-1, -next.size)
		l.running++
		t.running++
		t.tasks.Go(func() {
			defer t.end(l)
			next.serve()
		})
	}
}

// end ends a request of a line.
func (t *turns) end(l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	if l.running--; l.running == 0 && len(l.queue) == 0 {
		delete(t.lines, l.sender)
	}
	t.start()
}

// waitingRequests counts the requests that wait for their turn.
func (t *turns) waitingRequests() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting.requests
}

// close drops the waiting requests, and returns when the running ones have ended.
func (t *turns) close() {
	t.mu.Lock()
	waiting := t.order
	t.closed, t.order = true, nil
	t.mu.Unlock()
	for _, l := range waiting {
		for _, r := range l.queue {
			r.drop(errLeaving)
		}
	}
	t.tasks.Wait()
}
