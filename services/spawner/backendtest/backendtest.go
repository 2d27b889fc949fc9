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

// A Harness describes how to test one kind of backend.
type Harness struct {
	// Place creates an empty place where executors can run (a directory, a label on a Docker host, a namespace), which
	// is cleaned up at the end of the test.
	Place func(t *testing.T) Place
	// Listen returns a listener and the address at which programs in a place reach it. The default is a port of the
	// loopback interface.
	Listen func(t *testing.T) (l net.Listener, dial string)
	// OneSIGTERM is set if the place sends SIGTERM only once, so an executor is given up without a second warning.
	OneSIGTERM bool
	// Unhurried is set if a draining executor is only ended by its own grace period, so GiveUp has no effect on it.
	Unhurried bool
	// OneLog is set if standard output and standard error share one log, in which their order may change.
	OneLog bool
	// Restarts is set if the place restarts an exited program under the same id until it is forgotten. Like every
	// executor, the second program then finds its name taken, and waits for SIGTERM.
	Restarts bool
}

// A Place is where executors run. They outlive the backends that started them.
type Place struct {
	// Open opens a backend on the place. Several backends may be open at the same time. The suite closes them.
	Open func(t *testing.T) backend.Backend
	// Document is a progdef that runs [Program]. The suite sets its grace period and environment.
	Document progdef.Document
	// Unrunnable is a progdef whose command or image does not exist, and Pointer the JSON pointer in the backend's
	// error. If Pointer is empty, the backend detects the fault later and reports a permanent exit.
	Unrunnable progdef.Document
	Pointer    string
	// Remains lists everything in the place that belongs to executors, running or not.
	Remains func(t *testing.T) []string
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"Start runs the program once, with Dagyo's environment", testStart},
		{"each executor has its own credentials in a file", testCredentials},
		{"Start of an id that runs or has run starts nothing", testStartAgain},
		{"concurrent Starts of one id start one program", testStartConcurrently},
		{"List returns the running executors", testList},
		{"exit codes and standard error are reported", testExitCodes},
		{"a signal is reported", testSignal},
		{"an immediate exit is reported", testImmediateExit},
		{"processes that a program leaves running end with it", testFork},
		{"much output does not block, and is bounded", testMuchOutput},
		{"Drain lets the program finish", testDrain},
		{"a repeated Drain changes nothing, GiveUp is a second SIGTERM", testGiveUp},
		{"GiveUp of an executor that was not drained", testGiveUpAtOnce},
		{"Protect disturbs nothing", testProtect},
		{"the end of the grace period kills", testGracePeriod},
		{"Drain of an exited executor is not an error", testDrainGone},
		{"a progdef that cannot run is a StartError", testUnrunnable},
		{"executors outlive the backend and are found again", testAdopt},
		{"an adopted executor can be drained", testAdoptDrain},
		{"exits while no backend is open are reported", testAbsence},
		{"exits are reported until Forget", testUntilForget},
		{"Forget leaves nothing", testForget},
		{"without a reader of exits, Close returns and none is lost", testSlowReader},
		{"twenty at once", testTwenty},
		{"two backends on one place", testTwoBackends},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newBench(t, h)) })
	}
}

// A bench is the place of one test, and the backends opened there.
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

// spec returns an executor that runs the test program with a long grace period.
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

// wantExit waits for an exit and compares it with want. Any reason is accepted, and the detail must contain
// want.Detail.
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
		t.Errorf("exit of %s: detail of %d bytes", id, len(got.Detail))
	}
	want.Instance, want.Reason, want.Detail = instance(id), got.Reason, got.Detail
	if got != want {
		t.Errorf("exit of %s is %+v, want %+v", id, got, want)
	}
}

// wantList compares the running executors with the given ids.
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
		t.Errorf("left over: %q, want %d", got, n)
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
