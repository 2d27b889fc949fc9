package backendtest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// A Harness says how to test one kind of backend.
type Harness struct {
	// Place makes an empty place where executors can run (a directory, a label on a Docker host, a
	// namespace), to be cleaned up at the end of the test.
	Place func(t *testing.T) Place
	// Listen returns a listener and the address by which programs on a place reach it. Without it a
	// port of the loopback interface is used.
	Listen func(t *testing.T) (l net.Listener, dial string)
	// OneSIGTERM is set where the place sends SIGTERM once: what is given up then goes without a
	// second warning.
	OneSIGTERM bool
	// Unhurried is set where nothing but its own grace period ends an executor that drains already: to
	// give it up does no harm then, and no good.
	Unhurried bool
	// OneLog is set where standard output and standard error end in one log, in which the one may overtake
	// the other.
	OneLog bool
	// Restarts is set where the place starts a program that has ended again, under the same id, until
	// it is forgotten. As every executor must, the second program then finds its name taken, and waits
	// for SIGTERM.
	Restarts bool
}

// A Place is where executors run, and outlive the backends that started them.
type Place struct {
	// Open opens a backend on the place. It is called again after the first was closed, and also
	// before. The suite closes what it opens.
	Open func(t *testing.T) backend.Backend
	// Document is a progdef that runs [Program]. The suite sets its grace period and environment.
	Document progdef.Document
	// Unrunnable is a progdef whose command or image does not exist, and Pointer the JSON pointer
	// to what the backend must blame. Without a Pointer the backend finds out only later: then it
	// reports a permanent exit.
	Unrunnable progdef.Document
	Pointer    string
	// Remains lists what is left of executors, running or not, in the place.
	Remains func(t *testing.T) []string
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"Start runs the program once, with Dagyo's environment", testStart},
		{"Start of an id that runs or has run starts nothing", testStartAgain},
		{"concurrent Starts of one id start one program", testStartConcurrently},
		{"List has what runs", testList},
		{"exit codes and standard error are reported", testExitCodes},
		{"a signal is reported", testSignal},
		{"an immediate exit is reported", testImmediateExit},
		{"what a program leaves running ends with it", testFork},
		{"much output neither blocks nor is all kept", testMuchOutput},
		{"Drain lets the program finish", testDrain},
		{"a repeated Drain changes nothing, GiveUp is a second SIGTERM", testGiveUp},
		{"GiveUp of one that was not drained", testGiveUpAtOnce},
		{"Protect disturbs nothing", testProtect},
		{"the end of the grace period kills", testGracePeriod},
		{"Drain of what is gone is no error", testDrainGone},
		{"a progdef that cannot run is a StartError", testUnrunnable},
		{"executors outlive the backend and are found again", testAdopt},
		{"an adopted executor can be drained", testAdoptDrain},
		{"exits in absence are reported", testAbsence},
		{"exits are reported until Forget", testUntilForget},
		{"Forget leaves nothing", testForget},
		{"nobody reads the exits: Close returns, none is lost", testSlowReader},
		{"twenty at once", testTwenty},
		{"two backends on one place", testTwoBackends},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newBench(t, h)) })
	}
}

// A bench is one test's place and what it has opened there.
type bench struct {
	harness Harness
	place   Place
	control *Control
	dial    string
}

func newBench(t *testing.T, h Harness) *bench {
	b := &bench{harness: h, place: h.Place(t)}
	var l net.Listener
	if h.Listen != nil {
		l, b.dial = h.Listen(t)
	}
	b.control = NewControl(t, l, h.Restarts)
	if b.dial == "" {
		b.dial = b.control.Addr()
	}
	return b
}

// spec is an executor that runs the test program with a long grace period.
func (b *bench) spec(id string) backend.Spec { return b.specWith(id, b.place.Document) }

func (b *bench) specWith(id string, d progdef.Document) backend.Spec {
	if d.Drain.GracePeriod == 0 {
		d.Drain.GracePeriod = document.Duration(time.Hour)
	}
	return backend.Spec{
		Executor: id,
		Progdef:  "tester",
		Revision: "0123456789ab",
		Document: d,
		Env:      map[string]string{EnvDial: b.dial, contract.EnvExecutor: id},
	}
}

func instance(id string) backend.Instance {
	return backend.Instance{Executor: id, Progdef: "tester", Revision: "0123456789ab"}
}

// An opened backend collects its exits.
type opened struct {
	backend.Backend
	reading sync.WaitGroup

	mu      sync.Mutex
	exits   []backend.Exit
	changed chan struct{}
	closed  bool
}

// open opens a backend whose exits are read until it is closed, at the latest at the end of the
// test.
func (b *bench) open(t *testing.T) *opened {
	t.Helper()
	o := &opened{Backend: b.place.Open(t), changed: make(chan struct{})}
	o.reading.Go(func() {
		for e := range o.Exits() {
			o.mu.Lock()
			o.exits = append(o.exits, e)
			close(o.changed)
			o.changed = make(chan struct{})
			o.mu.Unlock()
		}
	})
	t.Cleanup(func() { o.close(t) })
	return o
}

func (o *opened) close(t *testing.T) {
	t.Helper()
	if o.closed {
		return
	}
	o.closed = true
	if err := o.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	o.reading.Wait()
}

// start starts an executor and waits for its program.
func (b *bench) start(t *testing.T, o *opened, spec backend.Spec) *Running {
	t.Helper()
	if err := o.Start(t.Context(), spec); err != nil {
		t.Fatalf("Start: %v", err)
	}
	return b.control.Program(t, spec.Executor)
}

// exit waits for an executor's exit.
func (o *opened) exit(t *testing.T, id string) backend.Exit {
	t.Helper()
	late := time.After(patience)
	for {
		o.mu.Lock()
		i := slices.IndexFunc(o.exits, func(e backend.Exit) bool { return e.Executor == id })
		changed := o.changed
		if i >= 0 {
			defer o.mu.Unlock()
			return o.exits[i]
		}
		o.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			t.Fatalf("the exit of executor %q was never reported", id)
		}
	}
}

// wantExit waits for an exit and compares it, but for the reason, of which any will do. The detail
// must contain want.Detail.
func (o *opened) wantExit(t *testing.T, id string, want backend.Exit) {
	t.Helper()
	got := o.exit(t, id)
	if got.Reason == "" {
		t.Errorf("exit of %s has no reason", id)
	}
	if !strings.Contains(got.Detail, want.Detail) {
		t.Errorf("exit of %s: detail %q has no %q", id, got.Detail, want.Detail)
	}
	if len(got.Detail) > contract.DetailLimit {
		t.Errorf("exit of %s: detail of %d octets", id, len(got.Detail))
	}
	want.Instance, want.Reason, want.Detail = instance(id), got.Reason, got.Detail
	if got != want {
		t.Errorf("exit of %s is %+v, want %+v", id, got, want)
	}
}

// wantList compares what runs with the ids given.
func (o *opened) wantList(t *testing.T, ids ...string) {
	t.Helper()
	got, err := o.List(t.Context())
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	want := make([]backend.Instance, 0, len(ids))
	for _, id := range ids {
		want = append(want, instance(id))
	}
	running := make([]backend.Instance, 0, len(got))
	for _, x := range got {
		running = append(running, x.Instance)
	}
	byID := func(a, b backend.Instance) int { return strings.Compare(a.Executor, b.Executor) }
	slices.SortFunc(running, byID)
	slices.SortFunc(want, byID)
	if !slices.Equal(running, want) {
		t.Errorf("List is %v, want %v", running, want)
	}
}

func (o *opened) drain(t *testing.T, id string) {
	t.Helper()
	if err := o.Drain(t.Context(), id); err != nil {
		t.Fatalf("Drain: %v", err)
	}
}

func (o *opened) giveUp(t *testing.T, id string) {
	t.Helper()
	if err := o.GiveUp(t.Context(), id); err != nil {
		t.Fatalf("GiveUp: %v", err)
	}
}

func (o *opened) forget(t *testing.T, id string) {
	t.Helper()
	if err := o.Forget(t.Context(), id); err != nil {
		t.Fatalf("Forget: %v", err)
	}
}

func (b *bench) wantRemains(t *testing.T, n int) {
	t.Helper()
	if got := b.place.Remains(t); len(got) != n {
		t.Errorf("left behind: %q, want %d", got, n)
	}
}

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return out
}

// startAll starts executors at the same time and returns their programs.
func (b *bench) startAll(t *testing.T, ids []string, start func(
	ctx context.Context, i int, spec backend.Spec) error) []*Running {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, len(ids))
	for i, id := range ids {
		wg.Go(func() { errs[i] = start(t.Context(), i, b.spec(id)) })
	}
	wg.Wait()
	programs := make([]*Running, len(ids))
	for i, id := range ids {
		if errs[i] != nil {
			t.Fatalf("Start of %s: %v", id, errs[i])
		}
		programs[i] = b.control.Program(t, id)
	}
	return programs
}
