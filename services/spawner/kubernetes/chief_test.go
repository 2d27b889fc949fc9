package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// leases is as much of an API server as an election needs, in memory, so that its times can be simulated.
type leases struct {
	mu      sync.Mutex
	version int
	stored  map[string]*coordinationv1.Lease
}

func (l *leases) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := path.Base(r.URL.Path)
	var in coordinationv1.Lease
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		name = in.Name
	}
	stored := l.stored[name]
	switch {
	case r.Method == http.MethodPost && stored != nil:
		refuseLease(w, http.StatusConflict, metav1.StatusReasonAlreadyExists)
		return
	case r.Method != http.MethodPost && stored == nil:
		refuseLease(w, http.StatusNotFound, metav1.StatusReasonNotFound)
		return
	case r.Method == http.MethodPut && in.ResourceVersion != stored.ResourceVersion:
		refuseLease(w, http.StatusConflict, metav1.StatusReasonConflict)
		return
	case r.Method != http.MethodGet:
		l.version++
		in.ResourceVersion, in.UID = strconv.Itoa(l.version), "1"
		l.stored[name] = &in
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(l.stored[name])
}

func refuseLease(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Reason: reason, Code: int32(code),
	})
}

// A road is a process's way to the API server, which can be closed: requests fail, or wait for their time-outs.
type road struct {
	to     http.Handler
	mu     sync.Mutex
	closed bool
	mute   bool
}

func (r *road) set(closed, mute bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.mute = closed, mute
}

func (r *road) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	closed, mute := r.closed, r.mute
	r.mu.Unlock()
	if mute {
		<-request.Context().Done()
		return nil, request.Context().Err()
	}
	if closed {
		return nil, errors.New("connection refused")
	}
	out := httptest.NewRecorder()
	r.to.ServeHTTP(out, request)
	return out.Result(), nil
}

// An elector is one process of an election.
type elector struct {
	road  *road
	chief *Chief
	stop  context.CancelFunc
}

// elect starts processes. They end with the test.
func elect(t *testing.T, n int) []elector {
	server := &leases{stored: make(map[string]*coordinationv1.Lease)}
	out := make([]elector, n)
	var running sync.WaitGroup
	for i := range out {
		r := &road{to: server}
		config := &rest.Config{Host: "http://cluster", Transport: r}
		config.ContentType = "application/json"
		chief, err := NewChief(Config{REST: config, Namespace: "dagyo"}, fmt.Sprint("process-", i))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		out[i] = elector{road: r, chief: chief, stop: stop}
		running.Go(func() { chief.Run(ctx) })
	}
	t.Cleanup(func() {
		for _, e := range out {
			e.stop()
		}
		running.Wait()
	})
	return out
}

func (e elector) leads() bool {
	e.chief.mu.Lock()
	defer e.chief.mu.Unlock()
	return e.chief.elected != nil && e.chief.elected.Err() == nil
}

// leader returns the index of the only process that leads, or -1.
func leader(t *testing.T, all []elector) int {
	t.Helper()
	found := -1
	for i, e := range all {
		if e.leads() {
			if found >= 0 {
				t.Fatalf("processes %d and %d lead", found, i)
			}
			found = i
		}
	}
	return found
}

// step is how often a test looks who leads.
const step = 50 * time.Millisecond

// within waits until a condition is met, and checks that there is never more than one leader.
func within(t *testing.T, all []elector, limit time.Duration, what string, met func(leader int) bool) {
	t.Helper()
	for began := time.Now(); !met(leader(t, all)); time.Sleep(step) {
		if time.Since(began) > limit {
			t.Fatalf("after %s: not yet: %s", limit, what)
		}
	}
}

func TestElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := elect(t, 3)
		first := -1
		within(t, all, time.Second, "a first leader", func(l int) bool { first = l; return l >= 0 })
		for range 100 { // it stays
			time.Sleep(time.Second)
			if l := leader(t, all); l != first {
				t.Fatalf("process %d leads after %d", l, first)
			}
		}

		all[first].stop() // it gives the lease back
		second := -1
		within(t, all, 3*time.Second, "the next leader", func(l int) bool { second = l; return l >= 0 && l != first })

		for _, mute := range []bool{false, true} {
			all[second].road.set(true, mute)
			within(t, all, electionRenew+step, "the end of a term that cannot be renewed", func(l int) bool { return l != second })
			third := -1
			within(t, all, electionLease+2*electionRetry, "a leader after one is cut off", func(l int) bool { third = l; return l >= 0 })
			all[second].road.set(false, false)
			second = third
		}

		held, release, err := all[second].chief.Await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		all[second].stop()
		<-held.Done()
	})
}

// Whoever reaches the cluster or does not, at most one process leads, and one leads soon once all reach it.
func TestElectionsUnderOutages(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			all := elect(t, 3)
			random := rand.New(rand.NewPCG(seed, 0))
			for range 100 {
				all[random.IntN(len(all))].road.set(random.IntN(2) == 0, random.IntN(2) == 0)
				for wait := time.Duration(random.IntN(8000)) * time.Millisecond; wait > 0; wait -= step {
					time.Sleep(step)
					leader(t, all)
				}
			}
			for _, e := range all {
				e.road.set(false, false)
			}
			within(t, all, electionLease+2*electionRetry+electionRenew, "a leader", func(l int) bool { return l >= 0 })
		})
	}
}
