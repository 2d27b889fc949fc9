package deliver

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limits limit how an event is tried.
type Limits struct {
	// First is the pause after the first failed attempt. It doubles with each further one, up to Longest.
	First, Longest time.Duration
	// GiveUp is the age of an event after which it is not tried again.
	GiveUp time.Duration
	// Timeout bounds one attempt.
	Timeout time.Duration
	// Pull is how long a request to NATS for the next event stays open.
	Pull time.Duration
}

// DefaultLimits are the documented defaults.
func DefaultLimits() Limits {
	return Limits{First: 5 * time.Second, Longest: 15 * time.Minute, GiveUp: 24 * time.Hour, Timeout: 10 * time.Second, Pull: 30 * time.Second}
}

// longestAsked bounds what a receiver may ask for by Retry-After.
const longestAsked = time.Hour

// A Result is how an attempt has ended.
type Result struct {
	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// RetryAfter is how long the receiver asks to wait, 0 if it does not.
	RetryAfter time.Duration
	// Error is why it failed, "" if it was delivered.
	Error string
	Took  time.Duration
}

// Delivered reports whether the receiver accepted the event.
func (r Result) Delivered() bool { return r.Status >= 200 && r.Status < 300 && r.Error == "" }

// An Action is what is done after an attempt.
type Action int

// The actions after an attempt.
const (
	Done      Action = iota // the event is delivered
	Retry                   // it is tried again
	GiveUp                  // it is not tried again
	SwitchOff               // nothing is sent to the webhook any more
)

// next decides what is done after an attempt of an event with an age. random is in [0, 1); it spreads the attempts that have
// failed at the same time.
func (l Limits) next(r Result, attempt int, age time.Duration, random float64) (Action, time.Duration) {
	switch {
	case r.Delivered():
		return Done, 0
	case r.Status == http.StatusGone:
		return SwitchOff, 0
	}
	pause := l.Longest
	if shift := max(attempt-1, 0); shift < 32 {
		pause = min(l.First<<shift, l.Longest)
	}
	pause = time.Duration(float64(pause) * (0.75 + random/2))
	pause = max(pause, min(r.RetryAfter, longestAsked))
	if age+pause > l.GiveUp {
		return GiveUp, 0
	}
	return Retry, pause
}

// retryAfter reads the header Retry-After: seconds, or a time.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, longestAsked)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(0, at.Sub(now)), longestAsked)
	}
	return 0
}
