package places

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A spawner is what the spawner of a tenant does, at any time and in any order.
type spawner struct {
	*Member
	held, wants int
	known       Grant
}

// receive takes what the arbiter has told, if anything.
func (s *spawner) receive() {
	select {
	case s.known = <-s.Granted():
	default:
	}
}

func (s *spawner) start() {
	if n := min(s.wants, s.known.Executors-s.held); n > 0 {
		s.held += n
		s.wants -= n
	}
}

func (s *spawner) claim() {
	next := min(s.wants, 2)
	s.Claim(Claim{Held: s.held, Idle: s.held / 2, Next: next, More: s.wants - next, Seen: s.known.Number})
}

// However late spawners hear and say something, they never start more executors together than there are places.
func TestNeverMoreThanThereAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 10).Draw(t, "total")
		a := NewArbiter(total, time.Hour)
		all := make([]*spawner, rapid.IntRange(1, 4).Draw(t, "tenants"))
		for i := range all {
			all[i] = &spawner{Member: a.Join(fmt.Sprint(i), 1)}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			s := rapid.SampledFrom(all).Draw(t, "tenant")
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0, 1:
				s.receive()
			case 2:
				s.start()
			case 3:
				s.claim()
			case 4:
				s.wants += rapid.IntRange(1, 5).Draw(t, "wants")
			case 5:
				s.held -= rapid.IntRange(0, s.held).Draw(t, "ends")
			case 6: // it no longer leads, and leads again
				s.Leave()
				s.Member = a.Join(s.tenant.ID, 1)
			}
			sum := 0
			for _, s := range all {
				sum += s.held
			}
			if sum > total {
				t.Fatalf("%d executors, %d places", sum, total)
			}
		}
		// At last everybody has heard everything: who wants something gets it, if it is free.
		for range 20 {
			for _, s := range all {
				s.receive()
				s.start()
				s.claim()
			}
		}
		sum, wanted := 0, false
		for _, s := range all {
			sum += s.held
			wanted = wanted || s.wants > 0 && s.wants <= total-s.held
		}
		if wanted && sum < total-1 { // a flow of two may not fit into one place
			t.Fatalf("%d executors, %d places, and somebody waits", sum, total)
		}
	})
}
