package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/services/dagyo/conformance/journal"
	"github.com/dagyo/dagyo/services/dagyo/conformance/pace"
)

// timing is how a check measures and bounds its waits.
type timing struct {
	clock    *pace.Clock
	patience time.Duration
}

// errLate ends a wait whose time is over.
var errLate = errors.New("late")

// A slow is the error of an executor that did what is demanded, but later than that.
type slow struct {
	what          string
	within, after time.Duration
}

func (s *slow) Error() string {
	return fmt.Sprintf("%s came after %.1f s, not within %v: the executor, or the machine, is too slow",
		s.what, s.after.Seconds(), s.within)
}

// inTime waits for what has to happen within a time. If that passes it waits once more, as long as the patience
// allows: what comes then is slow, and only what does not come is missing.
func inTime[T any](
	ctx context.Context, t timing, within time.Duration, what string, wait func(context.Context) (T, error),
) (T, error) {
	from := time.Now()
	v, err := waitFor(ctx, t, within, wait)
	if !errors.Is(err, errLate) {
		return v, absent(what, err)
	}
	if v, err = waitFor(ctx, t, t.patience, wait); err == nil {
		return v, &slow{what: what, within: within, after: t.clock.Between(from, time.Now())}
	}
	if errors.Is(err, errLate) {
		return v, fmt.Errorf("no %s within %v%s", what, within, t.busy(from))
	}
	return v, absent(what, err)
}

// inTimeAfter waits for what must not happen before a moment, and has to happen within a time after it. The moment is
// one of the wall clock: it does not move when the load of the machine changes.
func inTimeAfter[T any](
	ctx context.Context, t timing, moment time.Time, within time.Duration, what string,
	wait func(context.Context) (T, error),
) (T, error) {
	before, cancel := context.WithDeadlineCause(ctx, moment, errLate)
	defer cancel()
	v, err := wait(before)
	switch {
	case err == nil:
		if early := time.Until(moment); early > 0 {
			return v, fmt.Errorf("%s came %.1f s too early", what, early.Seconds())
		}
		return v, nil
	case !errors.Is(err, errLate):
		return v, absent(what, err)
	}
	return inTime(ctx, t, within, what, wait)
}

func waitFor[T any](ctx context.Context, t timing, d time.Duration, wait func(context.Context) (T, error)) (T, error) {
	ctx, cancel := t.clock.Within(ctx, d, errLate)
	defer cancel()
	return wait(ctx)
}

// absent says that something did not happen, and why it will not.
func absent(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("no %s: %w", what, err)
}

// busy says how much longer a wait was than it would have been on an idle machine.
func (t timing) busy(from time.Time) string {
	now := time.Now()
	wall, paced := now.Sub(from), t.clock.Between(from, now)
	if wall < 2*paced {
		return ""
	}
	return fmt.Sprintf(" (the kit waited for %.0f s, because the machine is busy)", wall.Seconds())
}

// found is an entry of a journal, and where it is.
type found[T any] struct {
	entry T
	at    int
}

// awaitIn awaits an entry of a journal, behind the first n. what names it in errors.
func awaitIn[T any](
	ctx context.Context, t timing, within time.Duration, what string,
	j *journal.Journal[T], n int, matches func(T) bool,
) (T, int, error) {
	f, err := inTime(ctx, t, within, what, func(ctx context.Context) (found[T], error) {
		entry, at, err := j.Await(ctx, n, matches)
		return found[T]{entry, at}, err
	})
	return f.entry, f.at, err
}
