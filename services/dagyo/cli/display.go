package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

// A display shows the progress of a flow. Its methods must be called by one goroutine.
type display interface {
	event(e contract.Event)
	consumed(creditSubject string, records uint64)
	tick(now time.Time)
	// close removes temporary text.
	close()
}

// Kinds of display: the values of --progress.
const (
	progressAuto   = "auto"
	progressStatus = "status"
	progressLines  = "lines"
	progressNone   = "none"
)

// newDisplay returns the display that the user selected; by default, the one that suits standard error.
func (a *app) newDisplay(kind, flow string) (display, error) {
	switch kind {
	case progressAuto:
		if isTerminal(a.Err) {
			return newStatus(a.stderr, flow), nil
		}
		return &lines{w: a.Err}, nil
	case progressStatus:
		return newStatus(a.stderr, flow), nil
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
func (silence) close()                  {}

// lines prints a line for each event.
type lines struct{ w io.Writer }

func (l *lines) event(e contract.Event) { fmt.Fprintln(l.w, eventLine(e)) }
func (*lines) consumed(string, uint64)  {}
func (*lines) tick(time.Time)           {}
func (*lines) close()                   {}

// eventLine formats an event as one line with its time, type and subject.
func eventLine(e contract.Event) string {
	s := fmt.Sprintf("%s %-17s %s", e.Time.Local().Format("15:04:05.000"), e.Type, e.Subject)
	if text := report.Line(e); text != "" {
		s += "  " + text
	}
	return strings.TrimRight(s, " ")
}

// status shows the current status of the flow in place.
type status struct {
	outlet   *outlet
	screen   *screen
	progress *report.Progress
	sampled  time.Time
}

func newStatus(w *sink, flow string) *status {
	return &status{
		outlet: w.outlet, screen: &screen{w: w.w}, progress: report.NewProgress(flow, time.Now()),
	}
}

func (s *status) event(e contract.Event) { s.progress.Apply(e) }

func (s *status) consumed(subject string, records uint64) { s.progress.Consumed(subject, records) }

// sampleEvery is the interval for measuring records per second: credits arrive once per second.
const sampleEvery = 2 * time.Second

func (s *status) tick(now time.Time) {
	if now.Sub(s.sampled) >= sampleEvery {
		s.progress.Sample(now)
		s.sampled = now
	}
	size := sizeOf(s.screen.w)
	s.outlet.show(s.screen, size.fit(s.progress.Lines(now, size.columns, size.lines-1)))
}

func (s *status) close() { s.outlet.show(s.screen, nil) }
