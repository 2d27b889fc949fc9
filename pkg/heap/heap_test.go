package heap_test

import (
	"runtime"
	"testing"

	"github.com/dagyo/dagyo/pkg/heap"
)

var sink []byte

// A small heap is collected once, at most twice, for every Floor bytes allocated: by us, and by who else runs meanwhile.
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
	allocated := after.TotalAlloc - before.TotalAlloc
	if n := uint64(after.NumGC - before.NumGC); n*heap.Floor > 2*allocated+heap.Floor {
		t.Errorf("%d collections while %d bytes were allocated, %.1f times Floor", n, allocated, float64(allocated)/heap.Floor)
	}
}
