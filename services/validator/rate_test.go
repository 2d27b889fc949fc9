package validator

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// In no time are more submissions accepted than the burst and the rate allow, and none that a limit would allow is
// refused.
func TestRates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rates{
			Tenant: rapid.IntRange(0, 20).Draw(t, "tenant"), User: rapid.IntRange(0, 10).Draw(t, "user"),
			Burst: time.Duration(rapid.IntRange(1, 3000).Draw(t, "burst")) * time.Millisecond,
		}
		var m meter
		now := time.Unix(1_000_000, 0)
		accepted := make(map[string][]time.Time)
		// allowed reports whether one more submission stays within a limit, counted from each accepted one before.
		allowed := func(times []time.Time, rate int) bool {
			if rate == 0 {
				return true
			}
			each := time.Second / time.Duration(rate)
			for i, since := range times {
				if time.Duration(len(times)-i+1)*each > max(r.Burst, each)+now.Sub(since) {
					return false
				}
			}
			return true
		}
		for range 60 {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "pass")) * time.Millisecond)
			user := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "user")
			want := allowed(accepted[""], r.Tenant) && allowed(accepted[user], r.User)
			if got := len(m.take(r, user, now)) == 0; got != want {
				t.Fatalf("%+v: %s at %v: accepted is %v, want %v; accepted were %v", r, user, now, got, want, accepted)
			}
			if want {
				accepted[""], accepted[user] = append(accepted[""], now), append(accepted[user], now)
			}
		}
	})
}

// Buckets of users who submit nothing are dropped.
func TestFullBucketsAreDropped(t *testing.T) {
	var m meter
	now := time.Unix(1_000_000, 0)
	for i := range 100_000 {
		now = now.Add(time.Millisecond)
		m.take(Rates{User: 10, Burst: time.Second}, fmt.Sprint(i), now)
	}
	if len(m.Users) > 2*fewBuckets {
		t.Errorf("%d buckets are kept", len(m.Users))
	}
}
