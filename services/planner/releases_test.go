package planner

import (
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/wire"
)

func TestConsumed(t *testing.T) {
	enc := wire.NewEncoder(64<<10, 128<<10)
	enc.Append([]byte("a"))
	one := enc.Take(nil)
	enc.Append([]byte("b"))
	two := enc.Take(nil)
	for _, tt := range []struct {
		name          string
		frame, credit []byte
		want          bool
	}{
		{"unread", two, wire.Credit{Frame: 1}.Append(nil), false},
		{"read", two, wire.Credit{Frame: 2}.Append(nil), true},
		{"read directly beyond it", one, wire.Credit{Frame: 2}.Append(nil), true},
		{"closed", two, wire.Credit{Closed: true}.Append(nil), true},
		{"no credit", two, []byte("x"), false},
	} {
		if got := consumed(tt.frame, tt.credit); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestPausesGrow(t *testing.T) {
	l := release{pause: firstReleaseLook}
	now := time.Now()
	var waits []time.Duration
	for range 8 {
		l.wait(now)
		waits = append(waits, l.due.Sub(now))
	}
	if waits[0] != firstReleaseLook || waits[1] != 2*firstReleaseLook || waits[7] != lastReleaseLook {
		t.Errorf("got %v", waits)
	}
}
