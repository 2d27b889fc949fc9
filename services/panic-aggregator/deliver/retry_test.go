package deliver

import (
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	l := DefaultLimits()
	for name, c := range map[string]struct {
		r       Result
		attempt int
		age     time.Duration
		random  float64
		want    Action
		pause   time.Duration
	}{
		"delivered":                {Result{Status: 204}, 1, 0, 0, Done, 0},
		"delivered late":           {Result{Status: 200}, 90, 25 * time.Hour, 0, Done, 0},
		"the first failure":        {Result{Status: 500, Error: "x"}, 1, 0, .5, Retry, 5 * time.Second},
		"the earliest":             {Result{Status: 500, Error: "x"}, 1, 0, 0, Retry, 3750 * time.Millisecond},
		"no attempt is known":      {Result{Error: "x"}, 0, 0, .5, Retry, 5 * time.Second},
		"the fourth":               {Result{Error: "x"}, 4, time.Minute, .5, Retry, 40 * time.Second},
		"the longest":              {Result{Error: "x"}, 40, time.Hour, .5, Retry, 15 * time.Minute},
		"beyond every shift":       {Result{Error: "x"}, 1000, time.Hour, .5, Retry, 15 * time.Minute},
		"asked to wait":            {Result{Status: 503, Error: "x", RetryAfter: time.Minute}, 1, 0, .5, Retry, time.Minute},
		"asked to wait too long":   {Result{Status: 429, Error: "x", RetryAfter: 9 * time.Hour}, 1, 0, .5, Retry, time.Hour},
		"asked to wait less":       {Result{Status: 429, Error: "x", RetryAfter: time.Second}, 3, 0, .5, Retry, 20 * time.Second},
		"too old":                  {Result{Error: "x"}, 3, 24 * time.Hour, .5, GiveUp, 0},
		"too old until the next":   {Result{Error: "x"}, 3, 24*time.Hour - 10*time.Second, .5, GiveUp, 0},
		"a redirect":               {Result{Status: 302, Error: "x"}, 1, 0, .5, Retry, 5 * time.Second},
		"a client error":           {Result{Status: 404, Error: "x"}, 1, 0, .5, Retry, 5 * time.Second},
		"gone":                     {Result{Status: 410, Error: "x"}, 1, 0, .5, SwitchOff, 0},
		"gone, and too old anyway": {Result{Status: 410, Error: "x"}, 1, 48 * time.Hour, .5, SwitchOff, 0},
	} {
		if did, pause := l.next(c.r, c.attempt, c.age, c.random); did != c.want || pause != c.pause {
			t.Errorf("%s: %v after %v, want %v after %v", name, did, pause, c.want, c.pause)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-7": 0, "7.5": 0, "soon": 0, "4000000000": time.Hour, "99999999999999999999": 0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0, "Sun, 01 Mar 2099 12:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
