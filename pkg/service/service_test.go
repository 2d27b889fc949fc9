package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

func TestOnceSaysOnce(t *testing.T) {
	var r recent
	var calls atomic.Int32
	failing := errors.New("not yet")
	if err := r.once(t.Context(), "id", func() error { return failing }); !errors.Is(err, failing) {
		t.Fatalf("once: %v, want the failure", err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := r.once(t.Context(), "id", func() error { calls.Add(1); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if calls.Load() != 1 {
		t.Errorf("said %d times, want once", calls.Load())
	}
}

func TestOnceWaitsNoLongerThanItsContext(t *testing.T) {
	var r recent
	busy, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = r.once(t.Context(), "id", func() error { close(busy); <-release; return nil })
	})
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.once(ctx, "id", func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("once: %v, want context.Canceled", err)
	}
	close(release)
	wg.Wait()
}

func TestRecentIsBounded(t *testing.T) {
	var r recent
	for i := range 5 * recentGeneration {
		_ = r.once(t.Context(), fmt.Sprint(i), func() error { return nil })
	}
	if n := len(r.now) + len(r.old); n > 2*recentGeneration {
		t.Errorf("%d ids are remembered", n)
	}
	if !r.has(fmt.Sprint(5*recentGeneration - 1)) {
		t.Error("the last id is forgotten")
	}
}

func TestTriesAreSpaced(t *testing.T) {
	var tr tries
	now := time.Unix(1000, 0)
	if !tr.due("id", now) {
		t.Error("the first try is not due")
	}
	if n := tr.note("id", errors.New("no"), now); n != 1 || tr.due("id", now) {
		t.Errorf("after %d failures the next try is due at once", n)
	}
	if n := tr.note("id", errors.New("no"), now); n != 2 || !tr.due("id", now.Add(10*time.Second)) {
		t.Errorf("%d failures, want 2, and a try after ten seconds", n)
	}
	if tr.note("id", nil, now); !tr.due("id", now) || len(tr.failed) != 0 {
		t.Error("a success is not forgotten")
	}
}

func TestEffectsAreGroupedBeforeTheirFlow(t *testing.T) {
	effect := func(t contract.Type, subject string) contract.Event { return contract.Event{Type: t, Subject: subject} }
	groups := grouped([]contract.Event{
		effect(contract.TypeExecutorStarted, "x1"), effect(contract.TypeExecutorStarted, "x2"),
		effect(contract.TypeFlowSpawned, "f"), effect(contract.TypeFlowQueued, "g"),
		effect(contract.TypeExecutorDraining, "x3"), effect("act.give-up", "x4"),
	})
	var got []string
	for _, g := range groups {
		var names []string
		for _, e := range g {
			names = append(names, e.Subject)
		}
		got = append(got, strings.Join(names, "+"))
	}
	if s := strings.Join(got, " "); s != "x1+x2+f g x3 x4" {
		t.Errorf("groups %q", s)
	}
}

// Two workers come to the same grants: neither waits for what the other is at, unless it is its own flow.
func TestEffectsOfOtherFlowsAreLeftToWhoIsAtThem(t *testing.T) {
	busy, release := make(chan struct{}), make(chan struct{})
	failed := errors.New("performed")
	r := newRuntime(nil, Service[int]{Perform: func(_ context.Context, e contract.Event) error {
		if e.Subject == "f" {
			close(busy)
			<-release
		}
		return fmt.Errorf("%w: %s", failed, e.Subject)
	}}, DefaultConfig(), 0)
	grants := []contract.Event{
		{Type: contract.TypeFlowSpawned, Subject: "f"}, {Type: contract.TypeFlowSpawned, Subject: "g"},
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = r.carryOutFor(t.Context(), "f", grants) })
	<-busy
	if _, err := r.carryOutFor(t.Context(), "g", grants); !errors.Is(err, failed) || !strings.Contains(err.Error(), "g") {
		t.Errorf("carry out for g: %v, want that g was performed", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := r.carryOutFor(ctx, "f", grants); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("carry out for f: %v, want it to wait for the other worker", err)
	}
	close(release)
	wg.Wait()
}

func TestConfigReportsEverything(t *testing.T) {
	err := Config{}.Validate()
	for _, what := range []string{"workers", "fold wait", "max attempts"} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v does not name %s", err, what)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}
