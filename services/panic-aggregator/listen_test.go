package aggregator

import (
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// On a quiet installation only a tick tells since when heartbeats are received: it must be folded.
func TestATickTellsSinceWhenWeListen(t *testing.T) {
	if !slices.Contains(Logic().Folds, contract.TypeTick) {
		t.Error("ticks are not folded")
	}
	s := NewState(DefaultLimits())
	Evolve(s, Listening())
	at := time.Unix(1_000_000, 0)
	if keys := Evolve(s, contract.Event{Type: contract.TypeTick, Subject: Name, Seq: 7, Time: at}); len(keys) > 0 {
		t.Errorf("a tick touches %q", keys)
	}
	if !s.ears.since.Equal(at) {
		t.Errorf("since %v, want %v", s.ears.since, at)
	}
}
