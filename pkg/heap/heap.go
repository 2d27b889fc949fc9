// Package heap keeps the garbage collector from running too often in processes with a small heap.
//
// Go collects when the heap has doubled. Services and executors have a live heap of a few MiB, and allocate as much in
// milliseconds: collections took a fifth of their CPU time. Processes with a large heap are not affected.
package heap

import "runtime"

// Floor is the number of bytes that may be allocated before the smallest heap is collected.
const Floor = 32 << 20

// Settle allocates memory that is never touched, so that the heap doubles only beyond Floor. Its pages are never
// written and take no physical memory; garbage may take up to Floor. GOGC and GOMEMLIMIT keep their meaning. Call it
// once, in main, and call release at the end.
func Settle() (release func()) {
	untouched := make([]byte, Floor/2)
	return func() { runtime.KeepAlive(untouched) }
}
