package stream

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
)

const (
	// directShare is the part of the window that may be in flight directly: a quarter. Writer and
	// reader may each have as much in memory.
	directShare = 4
	// maxDirectFrames is the maximum number of frames in flight directly.
	maxDirectFrames = 64

	// processWindow is what all writers of a process together may have in flight directly, as long as each
	// of them has minDirectWindow: more would only exceed the processor's caches.
	processWindow   = 16 << 20
	minDirectWindow = 2 * DefaultFrameTarget
)

// sending is the number of writers of this process with frames in flight directly.
var sending atomic.Int64

// How long a reader may consume nothing before the frames in flight to it are stored.
const (
	patienceIdle = 2 * time.Second        // the frames may be lost
	patienceFull = 150 * time.Millisecond // the writer has to wait
	patienceEnd  = 50 * time.Millisecond  // the writer's job has nothing else to do
)

func directWindow(addr contract.Address) int64 { return addr.Window / directShare }

func directFrames(addr contract.Address) int { return int(min(addr.Frames, maxDirectFrames)) }

// direct is the state of sending directly.
type direct struct {
	on       bool
	token    uint64 // of the reader's subject; 0 if there was none yet
	subject  string
	busy     bool      // an echo is in flight
	progress time.Time // when the reader last consumed something, or was sent something to consume
	window   int64     // bytes that may be in flight if no other writer is sending
	counted  bool      // in sending
	frames   int       // likewise
}

func (s *sender) fitsDirectly(n int) bool {
	window := min(s.direct.window, max(minDirectWindow, processWindow/max(1, sending.Load())))
	room := s.octets+int64(n) <= window && len(s.held) < s.direct.frames
	return s.win.fits(n) && (room || len(s.held) == 0)
}

// count keeps sending up to date.
func (d *direct) count(sends bool) {
	switch {
	case sends && !d.counted:
		sending.Add(1)
	case !sends && d.counted:
		sending.Add(-1)
	}
	d.counted = sends
}

// sendNext sends the next frame directly: a full one at once, any if the connection is idle.
func (s *sender) sendNext() (sent bool, err error) {
	idle := len(s.held) == 0
	sent, err = s.takeUp(s.fitsDirectly, !s.direct.busy)
	switch {
	case err != nil:
		return false, err
	case !sent:
		s.watch()
		return false, nil
	case idle:
		s.direct.progress = time.Now()
	}
	return true, s.sendFrame(s.held[len(s.held)-1])
}

// sendFrame sends a frame directly, followed by an echo that shows when the broker has received it.
func (s *sender) sendFrame(f heldFrame) error {
	if err := s.send(f.octets); err != nil || s.direct.busy {
		return err
	}
	s.direct.busy = true
	return unlessPassing(s.nc.Publish(s.credits+replyEcho, nil))
}

// heard records the token in a credit. A new token requests everything that was not consumed.
func (s *sender) heard(token uint64, news bool) error {
	switch {
	case token > s.direct.token:
		s.direct.token = token
		s.direct.subject = s.addr.Direct + "." + strconv.FormatUint(token, 10)
		if s.claims {
			s.asking = false
			return nil
		}
		return s.sendDirectly()
	case news && token > 0 && !s.direct.on:
		return s.sendDirectly()
	}
	s.store.hinted = false
	return nil
}

// sendDirectly starts to send directly: first a hint about stored frames, then all held frames.
func (s *sender) sendDirectly() error {
	s.asking = false
	s.leave()
	s.direct.on, s.direct.busy, s.direct.progress = true, false, time.Now()
	if s.store.last > s.win.consumed {
		if err := s.hint(); err != nil {
			return err
		}
	}
	for _, f := range s.held {
		if err := s.sendFrame(f); err != nil {
			return err
		}
	}
	return nil
}

// hint tells an attached reader which frames the stream holds.
func (s *sender) hint() error {
	s.store.hinted = true
	return s.send(wire.Hint(s.store.last))
}

func (s *sender) patience() time.Duration {
	switch {
	case s.ended:
		return patienceEnd
	case s.full:
		return patienceFull
	}
	return patienceIdle
}

// watch sets the timer to when the reader will have been silent for too long.
func (s *sender) watch() {
	if len(s.held) > 0 {
		s.timer.Reset(s.patience() - time.Since(s.direct.progress))
	}
}

// silence is called when the timer fires. Unless the reader has responded in the meantime, the frames that it
// has not consumed are stored.
func (s *sender) silence() {
	s.direct.busy = false
	if len(s.held) > 0 && time.Since(s.direct.progress) >= s.patience() {
		s.direct.on = false
	}
}
