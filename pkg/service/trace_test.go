package service

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/service/core"
	"github.com/dagyo/dagyo/pkg/trace"
)

type nowhere struct{}

func (nowhere) Export([]trace.Span) {}

// A service that panics while it traces an event does not stop: it would panic again after each restart.
func TestTracingPanics(t *testing.T) {
	var log bytes.Buffer
	r := &Runtime[int]{core: &core.Core[int]{}, log: zerolog.New(&log)}
	r.config.Traces = trace.To(nowhere{})
	r.service.Trace = func(int, contract.Event) []trace.Span { panic("no") }
	m := event.NewStored(event.Place{Seq: 1}, "flow.completed")
	m.Event.Type, m.Event.Subject = contract.TypeFlowCompleted, "f"
	r.export(m)
	if !strings.Contains(log.String(), `"flow":"f"`) || !strings.Contains(log.String(), "cannot measure or trace an event: no") {
		t.Errorf("logged %q", log.String())
	}
}

// What is kept for a leader that crashes is bounded by time and number.
func TestRecentSpansAreBounded(t *testing.T) {
	var k recent
	at := time.Unix(1000, 0)
	for range 100 {
		k.add(traced{at, make([]trace.Span, 1000)})
	}
	if k.spans != 16000 || len(k.events) != 16 {
		t.Errorf("%d spans of %d events", k.spans, len(k.events))
	}
	k.add(traced{at.Add(recentFor + 1), make([]trace.Span, 5)})
	if k.spans != 5 || len(k.events) != 1 {
		t.Errorf("%d spans of %d events", k.spans, len(k.events))
	}
	k.add(traced{at.Add(recentFor + 1), make([]trace.Span, mostRecent+1)})
	if k.spans != 0 || len(k.events) != 0 {
		t.Errorf("%d spans of %d events", k.spans, len(k.events))
	}
}
