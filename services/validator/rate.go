package validator

import (
	"fmt"
	"maps"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Rates limit how many flows are submitted in a second; 0 is no limit.
type Rates struct {
	// Tenant is for all users of a tenant together, User for each user.
	Tenant, User int
	// Burst is the time for which the submissions may come at once.
	Burst time.Duration
}

// A meter is the token buckets of a tenant and its users. A bucket is stored as the time at which it is full again: it
// depends on the submissions and on the broker's time only, so that every replica has the same.
type meter struct {
	Tenant time.Time            `json:"tenant,omitzero"`
	Users  map[string]time.Time `json:"users,omitempty"`
	// swept is how many buckets there were after full ones were dropped.
	swept int
}

// clone returns a copy that shares nothing.
func (m meter) clone() meter {
	m.Users = maps.Clone(m.Users)
	return m
}

// take takes a token for a submission of a user from both buckets, or from none if one is empty. It then returns the
// limits that are exceeded.
func (m *meter) take(r Rates, user string, now time.Time) (exceeded problem.List) {
	tenant, problems := spend(m.Tenant, "tenant", r.Tenant, r.Burst, now)
	exceeded = append(exceeded, problems...)
	own, problems := spend(m.Users[user], "user", r.User, r.Burst, now)
	if exceeded = append(exceeded, problems...); len(exceeded) > 0 {
		return exceeded
	}
	if m.Tenant = tenant; r.User == 0 {
		m.Users = nil
		return nil
	}
	m.sweep(now)
	m.Users[user] = own
	return nil
}

// spend returns when a bucket is full again after one more token was taken from it, or why there is none.
func spend(full time.Time, of string, rate int, burst time.Duration, now time.Time) (time.Time, problem.List) {
	if rate == 0 {
		return time.Time{}, nil
	}
	each := time.Second / time.Duration(rate)
	burst = max(burst, each)
	if full.Before(now) {
		full = now
	}
	full = full.Add(each)
	if wait := full.Sub(now) - burst; wait > 0 {
		again := now.Add(wait + time.Millisecond - 1).UTC().Format("2006-01-02T15:04:05.000Z07:00")
		return full, problem.List{{
			Code: problem.RateLimited,
			Message: fmt.Sprintf("the %s has submitted too many flows; the limit of each %s is %s a second, and %d at once",
				of, of, document.Count(rate, "flow"), burst/each),
			Hint: "submit the flow again after " + again,
		}}
	}
	return full, nil
}

// fewBuckets is the number of buckets up to which full ones are not dropped.
const fewBuckets = 1000

// sweep drops full buckets once there are twice as many as after the last time.
func (m *meter) sweep(now time.Time) {
	if m.Users == nil {
		m.Users = make(map[string]time.Time)
	}
	if len(m.Users) < max(fewBuckets, 2*m.swept) {
		return
	}
	maps.DeleteFunc(m.Users, func(_ string, full time.Time) bool { return !full.After(now) })
	m.swept = len(m.Users)
}
