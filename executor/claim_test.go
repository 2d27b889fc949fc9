package executor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
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

// An executor without a mailbox asks at growing intervals, and says once why.
func TestPausesWithoutAMailbox(t *testing.T) {
	var got tries
	said, waited := 0, time.Duration(0)
	for range 10 {
		pause, say := got.after(broker.ErrNoConsumer)
		if say {
			said++
		}
		if pause < firstPullPause || pause > lastPullPause {
			t.Errorf("pause of %v", pause)
		}
		waited += pause
	}
	if said != 1 || waited < 4*time.Second {
		t.Errorf("said %d times in 10 requests, and waited %v", said, waited)
	}
	if _, say := got.after(errors.New("another")); !say {
		t.Error("another error is not said")
	}
	if pause, _ := got.after(nil); pause != 0 {
		t.Errorf("a pause of %v after success", pause)
	}
}
