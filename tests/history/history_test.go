package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/history"
)

func TestStoredFlowsAreFound(t *testing.T) {
	b := setup(t, history.DefaultLimits(), 0)
	x, stored := b.index()
	w := history.NewWriter(b.link)
	b.append(w, records(0, 1300), 2600)
	b.append(w, records(1300, 1301), 2700)
	await(t, stored, 2600)
	await(t, stored, 2700)
	if n := b.messages(); n != 4 || x.Flows() != 1301 || x.Upto() != 2700 {
		t.Errorf("%d segments with %d flows up to %d", n, x.Flows(), x.Upto())
	}
	for _, i := range []int{0, 511, 512, 1299, 1300} {
		got, ok, err := x.Get(b.ctx, id(i))
		if !ok || err != nil || !reflect.DeepEqual(got, sample(i)) {
			t.Errorf("flow %d: %v, %v, %+v", i, ok, err, got)
		}
	}
	if _, ok, err := x.Get(b.ctx, "nothing"); ok || err != nil {
		t.Errorf("an unknown flow: %v, %v", ok, err)
	}
	if got := list(t, x, contract.FlowQuery{Limit: 100}); len(got) != 1301 || got[0] != id(1300) || got[1300] != id(0) {
		t.Errorf("%d flows are listed", len(got))
	}
}

func TestARestartKeepsHistory(t *testing.T) {
	b := setup(t, history.DefaultLimits(), 0)
	b.append(history.NewWriter(b.link), records(0, 600), 1)
	b.stop()
	b.start()
	x, stored := b.index()
	await(t, stored, 1)
	if _, ok, err := x.Get(b.ctx, id(17)); !ok || err != nil || x.Flows() != 600 {
		t.Errorf("%v, %v, %d flows", ok, err, x.Flows())
	}
}

// A service that restarts runs its index again, and is notified again of what is stored.
func TestAnIndexRunsAgain(t *testing.T) {
	b := setup(t, history.DefaultLimits(), 0)
	w := history.NewWriter(b.link)
	calls := make(chan uint64, 100)
	x := history.NewIndex(b.link.JS, func(upto uint64) { calls <- upto })
	for round := range 3 {
		b.append(w, records(10*round, 10*round+10), uint64(round+1))
		ctx, cancel := context.WithCancel(b.ctx)
		done := make(chan error, 1)
		go func() { done <- x.Run(ctx) }()
		await(t, calls, uint64(round+1))
		<-x.Loaded()
		if got := list(t, x, contract.FlowQuery{}); len(got) != 10*round+10 || x.Flows() != int64(len(got)) {
			t.Errorf("round %d: %d flows are listed, the index has %d", round, len(got), x.Flows())
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		select {
		case <-x.Loaded():
			t.Error("an index that is not running is loaded")
		default:
		}
		if len(calls) > 0 {
			t.Errorf("round %d: stored is called %d times too often", round, len(calls))
		}
	}
}

// A leader that does not know whether its append was stored repeats it, and so does the next leader.
func TestARepeatIsNotStoredTwice(t *testing.T) {
	b := setup(t, history.DefaultLimits(), 0)
	w := history.NewWriter(b.link)
	b.append(w, records(0, 10), 5)
	b.append(w, records(0, 10), 5)
	next := history.NewWriter(b.link)
	b.append(next, records(0, 10), 5)
	b.append(next, nil, 9)
	if n := b.messages(); n != 1 {
		t.Errorf("%d segments", n)
	}
	if err := next.Append(b.ctx, records(0, 1), 4); !errors.Is(err, history.ErrSuperseded) {
		t.Errorf("an earlier append: %v", err)
	}
}

func TestOneOfTwoWritersIsFirst(t *testing.T) {
	b := setup(t, history.DefaultLimits(), 0)
	old, current := history.NewWriter(b.link), history.NewWriter(b.link)
	b.append(old, records(0, 1), 1)
	b.append(current, records(1, 2), 2)
	if err := old.Append(b.ctx, records(1, 3), 3); !errors.Is(err, history.ErrContended) {
		t.Errorf("an append to an old end: %v", err)
	}
	if err := old.Append(b.ctx, records(0, 2), 2); err != nil { // it has read the end again
		t.Error(err)
	}
	if n := b.messages(); n != 2 {
		t.Errorf("%d segments", n)
	}
}

// large is a status that hardly compresses.
func large(i int) contract.FlowStatus {
	s := sample(i)
	r := rand.New(rand.NewPCG(uint64(i), 9))
	for n := range 300 {
		s.Jobs[fmt.Sprint("job", n)] = contract.JobStatus{Revision: fmt.Sprintf("%x%x", r.Uint64(), r.Uint64())}
	}
	return s
}

// An append that is too large for one message is stored as several messages, either all or none.
func TestLargeAppendsAreSplit(t *testing.T) {
	b := setup(t, history.DefaultLimits(), 256<<10)
	var all []contract.FlowStatus
	for i := range 200 {
		all = append(all, large(i))
	}
	b.append(history.NewWriter(b.link), records(300, 301), 1)
	behind := history.NewWriter(b.link)
	b.append(behind, all, 7)
	b.append(behind, all, 7)
	parts := b.messages() - 1
	if parts < 2 {
		t.Fatalf("%d parts", parts)
	}
	x, stored := b.index()
	await(t, stored, 7)
	if got := list(t, x, contract.FlowQuery{Limit: 1000}); len(got) != 201 || got[0] != id(199) {
		t.Errorf("%d flows", len(got))
	}
	select {
	case upto := <-stored:
		t.Errorf("stored up to %d again", upto)
	default:
	}
}

// The server accepts the headers of segments with the largest columns, and their flows are found.
func TestLargeColumnsAreStored(t *testing.T) {
	b := setup(t, history.DefaultLimits(), 0)
	var all []contract.FlowStatus
	for i := range 1024 {
		s := sample(i)
		r := rand.New(rand.NewPCG(uint64(i), 4))
		message := make([]byte, max(40, i-470)) // the later ones are too large together
		for n := range message {
			message[n] = byte('!' + r.IntN(90))
		}
		s.Owner = fmt.Sprint("user", i)
		s.Failures = []contract.JobFailure{{Job: "score", Failure: contract.Failure{Message: string(message)}}}
		all = append(all, s)
	}
	w := history.NewWriter(b.link)
	b.append(w, all[:512], 1)
	b.append(w, all[512:], 2)
	x, stored := b.index()
	await(t, stored, 2)
	for _, i := range []int{0, 300, 511, 512, 1023} {
		text := all[i].Failures[0].Message[10:40]
		for _, q := range []contract.FlowQuery{{Text: text}, {User: all[i].Owner}, {User: all[i].Owner, Text: text}} {
			if got := list(t, x, q); len(got) != 1 || got[0] != id(i) {
				t.Errorf("flow %d by %+v: %v", i, q, got)
			}
		}
	}
}

// A batch for an old end stores nothing.
func TestAFailedBatchStoresNothing(t *testing.T) {
	b := setup(t, history.DefaultLimits(), 0)
	old := history.NewWriter(b.link)
	b.append(old, records(0, 1), 1)
	b.append(history.NewWriter(b.link), records(1, 2), 2)
	if err := old.Append(b.ctx, records(2, 1500), 3); !errors.Is(err, history.ErrContended) {
		t.Errorf("a batch for an old end: %v", err)
	}
	b.append(old, records(2, 1500), 3)
	if n := b.messages(); n != 5 {
		t.Errorf("%d segments", n)
	}
}

func TestLimitsRemoveTheOldest(t *testing.T) {
	limits := history.DefaultLimits()
	limits.MaxFlows = 3
	b := setup(t, limits, 0)
	x, stored := b.index()
	w := history.NewWriter(b.link)
	for i := range 5 {
		b.append(w, records(i, i+1), uint64(i+1))
	}
	await(t, stored, 5)
	if _, ok, err := x.Get(b.ctx, id(1)); ok || err != nil {
		t.Errorf("a removed flow: %v, %v", ok, err)
	}
	if got := list(t, x, contract.FlowQuery{}); len(got) != 3 {
		t.Errorf("%v are left", got)
	}
	if err := x.Trim(b.ctx, 2); err != nil || x.Flows() != 2 || b.messages() != 2 {
		t.Errorf("%v, %d flows, %d segments", err, x.Flows(), b.messages())
	}
	if _, ok, err := x.Get(b.ctx, id(4)); !ok || err != nil {
		t.Errorf("the newest flow: %v, %v", ok, err)
	}
}

// An index forgets what the limits of the stream have removed, also while it follows.
func TestAnIndexForgetsWhatIsRemoved(t *testing.T) {
	limits := history.DefaultLimits()
	limits.MaxFlows = 3
	b := setup(t, limits, 0)
	x, stored := b.index()
	w := history.NewWriter(b.link)
	const segments = 130
	for i := range segments {
		b.append(w, records(i, i+1), uint64(i+1))
	}
	await(t, stored, segments)
	if n := x.Flows(); n < 3 || n > segments/2+3 {
		t.Errorf("the index has %d flows, the stream 3", n)
	}
}

// A writer finds the end of a stream from which everything was removed.
func TestAppendToAnEmptiedHistory(t *testing.T) {
	limits := history.DefaultLimits()
	limits.MaxAge = time.Second
	b := setup(t, limits, 0)
	b.append(history.NewWriter(b.link), records(0, 1), 1)
	stream, err := b.link.JS.Stream(b.ctx, contract.StreamHistory)
	if err == nil {
		err = stream.Purge(b.ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.append(history.NewWriter(b.link), records(1, 2), 2)
	x, stored := b.index()
	await(t, stored, 2)
	if got := list(t, x, contract.FlowQuery{}); len(got) != 1 {
		t.Errorf("%v", got)
	}
}
