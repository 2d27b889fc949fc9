package pace

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errOver = errors.New("over")

// loaded is a machine with two processors and as many runnable threads as the variable says.
func loaded(runnable *int) Load { return func() (int, int) { return *runnable, 2 } }

// TestWithinGrowsWithTheLoad: each thread gets a fifteenth of a processor, so five seconds take 75.
func TestWithinGrowsWithTheLoad(t *testing.T) {
	for runnable, want := range map[int]time.Duration{
		0: 5 * time.Second, 2: 5 * time.Second, 4: 10 * time.Second, 30: 75 * time.Second,
		1_000_000: 100 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := Start(loaded(&runnable))
			defer c.Close()
			from := time.Now()
			ctx, cancel := c.Within(t.Context(), 5*time.Second, errOver)
			defer cancel()
			<-ctx.Done()
			took := time.Since(from)
			if took < want || took > want+2*tick || !errors.Is(context.Cause(ctx), errOver) {
				t.Errorf("%d runnable threads: over after %v, %v; want %v", runnable, took, context.Cause(ctx), want)
			}
		})
	}
}

func TestLoadThatComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runnable atomic.Int32
		c := Start(func() (int, int) { return int(runnable.Load()), 2 })
		start := time.Now()
		time.Sleep(time.Second + tick/2)
		synctest.Wait()
		runnable.Store(20) // seen at the next tick
		time.Sleep(10 * time.Second)
		synctest.Wait()
		runnable.Store(0)
		time.Sleep(time.Second)
		c.Close()
		got := c.Between(start, time.Now())
		if want := 3 * time.Second; got < want-2*tick || got > want+2*tick {
			t.Errorf("%v of paced time, want %v", got, want)
		}
		if got := c.Between(start, start.Add(time.Second)); got != time.Second {
			t.Errorf("%v of paced time in the first second", got)
		}
	})
}

func TestLateness(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	c := &Clock{load: func() (int, int) { return 0, 1 }}
	for _, ms := range []int{0, 50, 100, 450, 500, 560, 760} {
		c.sample(at(ms))
	}
	for want, span := range map[time.Duration][2]int{
		0: {0, 90}, 300 * time.Millisecond: {0, 760}, 150 * time.Millisecond: {460, 760},
	} {
		if got := c.Lateness(at(span[0]), at(span[1])); got != want {
			t.Errorf("from %d to %d ms: %v, want %v", span[0], span[1], got, want)
		}
	}
}

func TestStretch(t *testing.T) {
	runnable := 8
	c := Start(loaded(&runnable))
	defer c.Close()
	if got := c.Stretch(time.Second); got != 4*time.Second {
		t.Errorf("a second takes %v", got)
	}
}

func TestCancelledWaitIsForgotten(t *testing.T) {
	runnable := 0
	c := Start(loaded(&runnable))
	defer c.Close()
	ctx, cancel := c.Within(t.Context(), time.Hour, errOver)
	cancel()
	if !errors.Is(context.Cause(ctx), context.Canceled) || len(c.waits) != 0 {
		t.Errorf("%v, %d waits are left", context.Cause(ctx), len(c.waits))
	}
}

func TestRunning(t *testing.T) {
	const stat = "cpu  1 2 3\nctxt 7\nprocesses 9\nprocs_running 37\nprocs_blocked 1\n"
	if n := running([]byte(stat)); n != 37 {
		t.Errorf("%d threads", n)
	}
	if n := running(nil); n != 0 {
		t.Errorf("%d threads of nothing", n)
	}
	if runnable, processors := System(); runnable < 0 || processors < 1 {
		t.Errorf("%d threads, %d processors", runnable, processors)
	}
}
