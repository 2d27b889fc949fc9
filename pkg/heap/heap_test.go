package heap_test

import (
	"runtime"
	"testing"

	"github.com/dagyo/dagyo/pkg/heap"
)

var sink []byte

// A small heap is collected once, at most twice, for every Floor bytes allocated.
func TestSmallHeapsAreRarelyCollected(t *testing.T) {
	defer heap.Settle()()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const rounds = 20
	for range rounds * heap.Floor / (64 << 10) {
		sink = make([]byte, 64<<10)
	}
	runtime.ReadMemStats(&after)
	if n := after.NumGC - before.NumGC; n > 2*rounds {
		t.Errorf("%d collections while %d times Floor was allocated", n, rounds)
	}
}
