package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// A record is what a Host did, in order.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// take returns what was added since the last call, sorted.
func (r *record) take() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Sorted(slices.Values(r.lines))
	r.lines = nil
	return out
}

func (r *record) want(t *testing.T, lines ...string) {
	t.Helper()
	if got := r.take(); !slices.Equal(got, lines) {
		t.Errorf("got %q, want %q", got, lines)
	}
}

// newHost returns a host whose service records its runs, and fails at once for tenants called "broken".
func newHost(r *record) *Host {
	return &Host{
		Service: "s", Log: zerolog.Nop(),
		Run: func(ctx context.Context, t Tenant) error {
			r.add("run %s %d", t.ID, t.Limits.Flows)
			if t.Name == "broken" {
				return errors.New("broken")
			}
			<-ctx.Done()
			r.add("end %s", t.ID)
			return ctx.Err()
		},
		Removed: func(_ context.Context, t Tenant) { r.add("removed %s", t.ID) },
	}
}

func TestEachTenantIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		h := newHost(&r)
		a, b := Tenant{Name: "a", ID: "1"}, Tenant{Name: "b", ID: "2"}
		h.Set([]Tenant{a, b})
		r.want(t, "run 1 0", "run 2 0")
		h.Set([]Tenant{a, b}) // nothing has changed
		r.want(t)
		a.Limits.Flows = 7
		h.Set([]Tenant{a, b})
		if err := h.Begun(t.Context(), a); err != nil {
			t.Error(err)
		}
		r.want(t, "end 1", "run 1 7")
		again := Tenant{Name: "b", ID: "3"} // removed, and added again under its name
		b.Removed = true
		h.Set([]Tenant{a, b, again})
		if err := h.Ended(t.Context(), b.ID); err != nil {
			t.Error(err)
		}
		r.want(t, "end 2", "removed 2", "run 3 0")
		h.Set([]Tenant{a, again})
		r.want(t)
		h.Set([]Tenant{again}) // unknown now, but not said to be removed
		r.want(t, "end 1")
		h.Close()
		r.want(t, "end 3")
		h.Set([]Tenant{a})
		r.want(t)
	})
}

func TestFailuresStopNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		h := newHost(&r)
		defer h.Close()
		var failed int
		h.Failed = func(Tenant, error) { failed++ }
		broken := Tenant{Name: "broken", ID: "1"}
		h.Set([]Tenant{broken, {Name: "b", ID: "2"}})
		r.want(t, "run 1 0", "run 2 0")
		time.Sleep(firstPause)
		r.want(t, "run 1 0")
		time.Sleep(firstPause) // the second pause is longer
		r.want(t)
		time.Sleep(time.Hour)
		runs := len(r.take())
		if most := int(time.Hour/longestPause) + 10; runs < 50 || runs > most || failed < runs {
			t.Errorf("%d runs in an hour, %d failures", runs, failed)
		}
		broken.Name = "mended"
		h.Set([]Tenant{broken, {Name: "b", ID: "2"}}) // a change ends the pause
		r.want(t, "run 1 0")
	})
}

func TestRemovedAtFirstSight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		h := newHost(&r)
		h.Set([]Tenant{{Name: "a", ID: "1", Removed: true}})
		r.want(t, "removed 1")
		h.Close()
	})
}

func TestClaimsDescribeATenant(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"tenant": "a", "id": "Ab1"}`: true, `{"tenant": "A b", "id": "1"}`: false, `{"tenant": "a", "id": "../x"}`: false,
		`{"tenant": "a"}`: false, `[]`: false, ``: false,
	} {
		got, err := parse(text)
		if (err == nil) != ok {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestLimitsAreChecked(t *testing.T) {
	if err := (Limits{Storage: DefaultStorage, Executors: 3}).Validate(); err != nil {
		t.Error(err)
	}
	err := Limits{Storage: 1, Flows: -1, Weight: -2}.Validate()
	const want = "the limit of flows is -1: it must be 0 (no limit) or more\n" +
		"the limit of storage is 1 bytes: a tenant needs at least 67108864 (64Mi)\n" +
		"the limit of weight is -2: it must be 0 (no limit) or more"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
