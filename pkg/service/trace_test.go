package service

import (
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/trace"
)

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
