package executor

import (
	"context"
	"testing"
)

// A drained executor requests no more jobs, although slots are free.
func TestADrainedExecutorTakesNoSlots(t *testing.T) {
	x := &executor{slots: make(chan struct{}, 100)}
	drained, stop := context.WithCancel(t.Context())
	stop()
	for range 100 {
		if n := x.takeSlots(drained); n != 0 {
			t.Fatalf("took %d slots", n)
		}
	}
}
