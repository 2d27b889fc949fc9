package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dagyo/dagyo/services/dagyo/conformance/journal"
	"github.com/dagyo/dagyo/services/dagyo/conformance/pace"
)

// awaited awaits an entry that comes after a time, if at all, on a machine with two processors.
func awaited(t *testing.T, runnable int, comes, within, patience time.Duration) error {
	t.Helper()
	clock := pace.Start(func() (int, int) { return runnable, 2 })
	defer clock.Close()
	var j journal.Journal[string]
	if comes > 0 {
		timer := time.AfterFunc(comes, func() { j.Add("word") })
		defer timer.Stop()
	}
	_, _, err := awaitIn(t.Context(), timing{clock, patience}, within, "word", &j, 0, func(string) bool { return true })
	return err
}

// TestTooSlowIsNotWrong: what comes late is slow, what never comes is missing, and a busy machine has time.
func TestTooSlowIsNotWrong(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		runnable int
		comes    time.Duration
		slow     bool
		says     string
	}{
		"in time":               {comes: 9 * s},
		"late":                  {comes: 12 * s, slow: true, says: "word came after 12.0 s, not within 10s"},
		"never":                 {says: "no word within 10s"},
		"in time, machine busy": {runnable: 30, comes: 140 * s},
		"never, machine busy":   {runnable: 30, says: "no word within 10s (the kit waited for 225 s, because the machine is busy)"},
	} {
		synctest.Test(t, func(t *testing.T) {
			err := awaited(t, tt.runnable, tt.comes, 10*s, 5*s)
			var late *slow
			switch {
			case tt.says == "" && err != nil, tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("%s: %v, want %q", name, err, tt.says)
			case errors.As(err, &late) != tt.slow:
				t.Errorf("%s: slow is %v", name, !tt.slow)
			}
		})
	}
}

// TestGraceIsWallTime: a grace that was chosen on a busy machine is not over sooner when the machine becomes idle.
func TestGraceIsWallTime(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		comes time.Duration
		says  string
	}{
		"in time": {comes: 41 * s},
		"early":   {comes: 38 * s, says: "word came 1.0 s too early"},
		"late":    {comes: 46 * s, says: "word came after 7.0 s, not within 5s"},
		"never":   {says: "no word within 5s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			clock := pace.Start(func() (int, int) {
				if time.Since(begin) < s {
					return 40, 2
				}
				return 2, 2
			})
			defer clock.Close()
			var j journal.Journal[string]
			if tt.comes > 0 {
				timer := time.AfterFunc(tt.comes, func() { j.Add("word") })
				defer timer.Stop()
			}
			_, err := inTimeAfter(t.Context(), timing{clock, 10 * s}, begin.Add(39*s), 5*s, "word",
				func(ctx context.Context) (int, error) {
					_, at, err := j.Await(ctx, 0, func(string) bool { return true })
					return at, err
				})
			if (tt.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v, want %q", name, err, tt.says)
			}
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	clock := pace.Start(pace.System)
	defer clock.Close()
	why := errors.New("the executor has ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	var j journal.Journal[string]
	_, _, err := awaitIn(ctx, timing{clock, time.Hour}, time.Hour, "word", &j, 0, func(string) bool { return true })
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
