package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

// A display shows how a flow comes along. Its methods are called by one goroutine, but around.
type display interface {
	event(e contract.Event)
	consumed(creditSubject string, records uint64)
	tick(now time.Time)
	// around calls write with the display out of its way.
	around(write func())
	// close takes away what was only for the time being.
	close()
}

// Kinds of display, as the flag --progress names them.
const (
	progressAuto   = "auto"
	progressStatus = "status"
	progressLines  = "lines"
	progressNone   = "none"
)

// newDisplay returns the display that suits standard error, or that the user asks for.
func (a *app) newDisplay(kind, flow string) (display, error) {
	switch kind {
	case progressAuto:
		if isTerminal(a.Err) {
			return newStatus(a.Err, flow), nil
		}
		return &lines{w: a.Err}, nil
	case progressStatus:
		return newStatus(a.Err, flow), nil
	case progressLines:
		return &lines{w: a.Err}, nil
	case progressNone:
		return silence{}, nil
	}
	return nil, usage(fmt.Errorf("--progress is %q: it must be %s, %s, %s or %s", kind,
		progressAuto, progressStatus, progressLines, progressNone))
}

// silence shows nothing.
type silence struct{}

func (silence) event(contract.Event)    {}
func (silence) consumed(string, uint64) {}
func (silence) tick(time.Time)          {}
func (silence) around(write func())     { write() }
func (silence) close()                  {}

// lines shows a line for each event.
type lines struct{ w io.Writer }

func (l *lines) event(e contract.Event) { fmt.Fprintln(l.w, eventLine(e)) }
func (*lines) consumed(string, uint64)  {}
func (*lines) tick(time.Time)           {}
func (*lines) around(write func())      { write() }
func (*lines) close()                   {}

// eventLine is an event with its time, type and subject.
func eventLine(e contract.Event) string {
	s := fmt.Sprintf("%s %-17s %s", e.Time.Local().Format("15:04:05.000"), e.Type, e.Subject)
	if text := report.Line(e); text != "" {
		s += "  " + text
	}
	return strings.TrimRight(s, " ")
}

// status shows the flow as it stands, in place.
type status struct {
	w        io.Writer
	width    int
	progress *report.Progress
	sampled  time.Time

	mu    sync.Mutex
	shown int // lines on the screen
}

func newStatus(w io.Writer, flow string) *status {
	s := &status{w: w, width: 80, progress: report.NewProgress(flow, time.Now())}
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			s.width = width
		}
	}
	return s
}

func (s *status) event(e contract.Event) { s.progress.Apply(e) }

func (s *status) consumed(subject string, records uint64) { s.progress.Consumed(subject, records) }

// sampleEvery is the time over which records per second are measured: credits come once a second.
const sampleEvery = 2 * time.Second

func (s *status) tick(now time.Time) {
	if now.Sub(s.sampled) >= sampleEvery {
		s.progress.Sample(now)
		s.sampled = now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	for _, line := range s.progress.Lines(now) {
		fmt.Fprintln(s.w, truncate(line, s.width))
		s.shown++
	}
}

func (s *status) around(write func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	write()
}

func (s *status) close() { s.around(func() {}) }

// erase moves the cursor up to the first line of the status and clears the rest of the screen.
func (s *status) erase() {
	if s.shown > 0 {
		fmt.Fprintf(s.w, "\x1b[%dA\x1b[J", s.shown)
		s.shown = 0
	}
}

// truncate keeps a line from wrapping.
func truncate(line string, width int) string {
	if runes := []rune(line); len(runes) >= width && width > 1 {
		return string(runes[:width-2]) + "…"
	}
	return line
}
