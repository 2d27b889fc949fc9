package journal_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/services/dagyo/conformance/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAwaitFindsWhatIsThereAndWhatComes(t *testing.T) {
	var j journal.Journal[int]
	j.Add(1)
	j.Add(2)
	got, at, err := j.Await(t.Context(), 0, func(n int) bool { return n == 2 })
	if got != 2 || at != 1 || err != nil {
		t.Errorf("found %d at %d, %v", got, at, err)
	}
	_, grown := j.From(2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if got, at, err := j.Await(t.Context(), 2, func(n int) bool { return n > 3 }); got != 4 || at != 3 || err != nil {
			t.Errorf("found %d at %d, %v", got, at, err)
		}
	}()
	j.Add(3)
	<-grown
	j.Add(4)
	<-done
	if all := j.All(); len(all) != 4 || j.Len() != 4 {
		t.Errorf("the journal holds %v", all)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	var j journal.Journal[int]
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, _, err := j.Await(ctx, 0, func(int) bool { return true }); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestEntriesDoNotChangeBehindAReader(t *testing.T) {
	var j journal.Journal[int]
	j.Add(1)
	before := j.All()
	j.Add(2)
	if before = append(before, 7); j.All()[1] != 2 || len(before) != 2 {
		t.Errorf("a reader's append is in the journal: %v", j.All())
	}
}
