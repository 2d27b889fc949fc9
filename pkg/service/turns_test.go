package service

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A sender with many slow requests does not keep others waiting.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTurns()
		var mu sync.Mutex
		var order []string
		serve := func(name string) func() {
			return func() {
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			}
		}
		refused := func(err error) { t.Error(err) }
		began := time.Now()
		for i := range 100 {
			q.add("eve", 1000, serve(fmt.Sprint("eve ", i)), refused)
		}
		q.add("ada", 10, func() {}, refused)
		synctest.Wait()
		if time.Since(began) > 0 || q.lines["ada"] != nil {
			t.Error("ada waits for eve")
		}
		for i := range 8 { // all at once, besides those of eve
			for range asksOfSender {
				q.add(fmt.Sprint(i), 10, serve("other"), refused)
			}
		}
		q.add("bob", 10, serve("bob"), refused)
		time.Sleep(3500 * time.Millisecond)
		mu.Lock()
		if !slices.Contains(order, "bob") || slices.Contains(order, "eve 99") {
			t.Errorf("after %v: %v", time.Since(began), order)
		}
		mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(order); n != 133 || len(q.lines) != 0 || len(q.order) != 0 || q.running != 0 || q.waiting != (backlog{}) {
			t.Errorf("%d served; left: %+v", n, q)
		}
		if got := slices.IndexFunc(order, func(s string) bool { return s == "eve 50" }); got < slices.Index(order, "eve 20") {
			t.Error("requests of one sender are not served in their order")
		}
		q.close()
	})
}

// What waits is bounded, for each sender and for all.
func TestTurnsAreBounded(t *testing.T) {
	q := newTurns()
	stop := make(chan struct{})
	block := func() { <-stop }
	var answers sync.Map // how many were dropped, by why
	add := func(sender string, size int) bool {
		in := true
		q.add(sender, size, block, func(err error) {
			in = false
			n, _ := answers.LoadOrStore(err, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
		})
		return in
	}
	accepted := func(sender string, size int) (n int) {
		for add(sender, size) {
			n++
		}
		return n
	}
	if n := accepted("eve", 1); n != asksOfSender+waitingOfSender {
		t.Errorf("%d requests of one sender", n)
	}
	if n := accepted("ada", 8<<20); n != asksOfSender+2 {
		t.Errorf("%d large requests of one sender", n)
	}
	if add("bob", waitingBytesOfSender+1) {
		t.Error("a request that exceeds all bounds is accepted")
	}
	total := 0
	for i := range 100 {
		total += accepted(fmt.Sprint(i), 4<<10)
	}
	if q.waiting.requests != waitingOfAll || q.waiting.bytes > waitingBytesOfAll {
		t.Errorf("%d more requests; waiting: %+v", total, q.waiting)
	}
	if len(q.lines) > 100 {
		t.Errorf("%d lines", len(q.lines))
	}
	dropped := func(err error) int64 {
		n, _ := answers.LoadOrStore(err, new(atomic.Int64))
		return n.(*atomic.Int64).Load()
	}
	if dropped(errCrowded) != 103 || dropped(errLeaving) != 0 {
		t.Errorf("%d are dropped because of others", dropped(errCrowded))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.close()
	}()
	for dropped(errLeaving) == 0 {
		runtime.Gosched()
	}
	close(stop)
	<-done
	if left := dropped(errLeaving); left == 0 || q.running != 0 || add("eve", 1) || dropped(errLeaving) != left+1 {
		t.Errorf("at its end %d are told to ask again, %d are running", left, q.running)
	}
}
