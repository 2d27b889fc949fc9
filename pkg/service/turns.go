package service

import (
	"slices"
	"sync"
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
}

// A backlog counts waiting requests and their bytes.
type backlog struct{ requests, bytes int }

func (b *backlog) add(requests, bytes int) {
	b.requests += requests
	b.bytes += bytes
}

func newTurns() *turns { return &turns{lines: make(map[string]*line)} }

// add serves a request of the given size when it is its turn. It returns false if too many are waiting.
func (t *turns) add(sender string, size int, serve func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[sender]
	if l == nil {
		l = &line{sender: sender}
	}
	if t.closed || l.waiting.requests >= waitingOfSender || t.waiting.requests >= waitingOfAll ||
		l.waiting.bytes+size > waitingBytesOfSender || t.waiting.bytes+size > waitingBytesOfAll {
		return false
	}
	t.lines[sender] = l
	if len(l.queue) == 0 {
		t.order = append(t.order, l)
	}
	l.queue = append(l.queue, request{size, serve})
	l.waiting.add(1, size)
	t.waiting.add(1, size)
	t.start()
	return true
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

// close drops the waiting requests, and returns when the running ones have ended.
func (t *turns) close() {
	t.mu.Lock()
	t.closed, t.order = true, nil
	t.mu.Unlock()
	t.tasks.Wait()
}
