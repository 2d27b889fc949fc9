package executor

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

// While jobs come and go, each beats before its interval is over, and not much earlier.
func TestJobsBeatInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := &executor{}
		now := time.Unix(0, 0)
		last := make(map[*running]time.Time)
		for range rapid.IntRange(1, 100).Draw(t, "checks") {
			if rapid.Bool().Draw(t, "one begins") {
				interval := rapid.SampledFrom([]time.Duration{10, 150, 200, 250, 300, 1000, 2000}).Draw(t, "interval")
				r := &running{doc: contract.Job{HealthInterval: document.Duration(interval * time.Millisecond)}}
				r.beaten(now)
				x.enter(r)
				last[r] = now
			}
			if len(x.beats) > 0 && rapid.IntRange(0, 3).Draw(t, "one ends") == 0 {
				r := x.beats[rapid.IntRange(0, len(x.beats)-1).Draw(t, "which")]
				x.leave(r)
				delete(last, r)
			}
			now = now.Add(beatCheck)
			for _, r := range x.due(now) {
				if since := now.Sub(last[r]); last[r].IsZero() || since < r.doc.HealthInterval.D()-2*beatCheck {
					t.Fatalf("a beat after %v of %v", since, r.doc.HealthInterval)
				}
				last[r] = now
			}
			for r, at := range last {
				if next := now.Add(beatCheck).Sub(at); next > max(r.doc.HealthInterval.D(), 2*beatCheck) {
					t.Fatalf("no beat for %v until the next check; the interval is %v", next, r.doc.HealthInterval)
				}
			}
		}
	})
}
