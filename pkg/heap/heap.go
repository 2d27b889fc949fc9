// Package heap keeps the garbage collector of a process with a small heap from running all the time.
//
// Go collects when the heap has doubled. Services and executors have a few MiB that live, and allocate as
// much in milliseconds: a fifth of their processor time went into collections. A process with a large heap
// is not changed.
package heap

import "runtime"

// Floor is how much may be allocated, in octets, before the collector looks at even the smallest heap.
const Floor = 32 << 20

// Settle counts memory as used that nobody touches, so that a heap has doubled only beyond Floor. The
// pages are never written, and take no room; garbage may take up to Floor. The environment's GOGC and
// GOMEMLIMIT keep their meaning. Call it once, in main, and keep the release until the end.
func Settle() (release func()) {
	untouched := make([]byte, Floor/2)
	return func() { runtime.KeepAlive(untouched) }
}
