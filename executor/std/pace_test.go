package std

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dagyo/dagyo/executor"
)

// A bucket lets no more through than its rate, and catches up with what the slack covers only.
func TestBucketKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rate := range []float64{0.5, 1, 3, 100, 12345} {
			b, begin := newBucket(rate), time.Now()
			n := 0
			for time.Since(begin) < 10*time.Second {
				if err := b.take(t.Context(), b.most); err != nil {
					t.Fatal(err)
				}
				n += b.most
			}
			most := rate*(10+throttleSlack.Seconds()) + 2*float64(b.most)
			if got := float64(n); got > most || got < rate*9.9 {
				t.Errorf("%v a second: %d in 10 s", rate, n)
			}
		}
		b := newBucket(10)
		for range 3 {
			if err := b.take(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour) // a slow reader: what was not used is lost
		begin := time.Now()
		for range 4 {
			if err := b.take(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took < 280*time.Millisecond {
			t.Errorf("4 tokens after a pause took %s", took)
		}
	})
}

func TestBucketStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(1e-300) // a token in 100 years, at the latest
		if err := b.take(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.take(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// sleep waits before the first record, and before each.
func TestSleepWaits(t *testing.T) {
	in, out, given := executor.Input("in", value), executor.Output("out", value), optionsInput()
	for text, want := range map[string]time.Duration{
		`{"start": "10s"}`: 10 * time.Second, `{"each": "2s"}`: 6 * time.Second, `{"start": "1m", "each": "1s"}`: 63 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			var got [][]byte
			begin := time.Now()
			err := executor.Call(t.Context(), sleeper(), given.Feed([]byte(text)),
				in.Feed([]byte("a"), []byte("b"), []byte("c")), out.Collect(&got))
			if err != nil || len(got) != 3 || time.Since(begin) != want {
				t.Errorf("%s: %q after %s, %v; want %s", text, got, time.Since(begin), err, want)
			}
		})
	}
}

// A window of time begins with its first record, whatever the ends of those before.
func TestTimerCountsFromTheFirstRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arrived := make(chan [][]byte)
		w := timer{list: list{limit: 1000}, most: 3, time: 10 * time.Second}
		type window struct {
			at      time.Duration
			records string
		}
		var got []window
		begin := time.Now()
		done := make(chan error, 1)
		go func() {
			done <- w.write(t.Context(), arrived, func(records [][]byte) error {
				got = append(got, window{time.Since(begin), string(slices.Concat(records...))})
				return nil
			})
		}()
		send := func(records ...string) {
			var batch [][]byte
			for _, r := range records {
				batch = append(batch, []byte(r))
			}
			arrived <- batch
		}
		time.Sleep(25 * time.Second)
		send("a") // until 35 s
		time.Sleep(9 * time.Second)
		send("b")
		time.Sleep(2 * time.Second) // 36 s
		send("c", "d", "e", "f")    // three are full at once, the fourth is alone until 46 s
		time.Sleep(time.Minute)
		send("g") // 96 s
		close(arrived)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := []window{{35 * time.Second, "ab"}, {36 * time.Second, "cde"}, {46 * time.Second, "f"}, {96 * time.Second, "g"}}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestListsAreBounded(t *testing.T) {
	l := list{limit: 2*listOverhead + 5}
	for _, record := range []string{"ab", "cde"} {
		if err := l.add([]byte(record)); err != nil {
			t.Fatal(err)
		}
	}
	l.drop(1)
	if err := l.add([]byte("fg")); err != nil {
		t.Fatal(err)
	}
	if err := l.add(nil); err == nil {
		t.Error("a third record fits")
	}
}
