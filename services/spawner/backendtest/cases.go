package backendtest

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

func testStart(t *testing.T, b *bench) {
	o := b.open(t)
	spec := b.spec("one")
	spec.Document.Env = map[string]string{"MODEL": "small", "DAGYO_SLOTS": "from the progdef"}
	maps.Copy(spec.Env, map[string]string{"DAGYO_SLOTS": "7", "DAGYO_JOBS": "tester.0123456789ab"})
	p := b.start(t, o, spec)
	for name, want := range map[string]string{
		"MODEL": "small", "DAGYO_SLOTS": "7", "DAGYO_JOBS": "tester.0123456789ab",
	} {
		if got := p.Ask(t, "env %s", name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	p.Tell(t, "exit 0")
	o.wantExit(t, "one", backend.Exit{})
}

func testCredentials(t *testing.T, b *bench) {
	o := b.open(t)
	ids := []string{"one", "two"}
	all := b.startAll(t, ids, func(ctx context.Context, _ int, spec backend.Spec) error {
		spec.Credentials, spec.CA = []byte("the credentials of "+spec.Executor), []byte("whom to trust")
		return o.Start(ctx, spec)
	})
	for i, p := range all {
		if got, want := p.Ask(t, "file %s", contract.EnvCreds), "the credentials of "+ids[i]; got != want {
			t.Errorf("executor %s has %q, want %q", ids[i], got, want)
		}
		if got := p.Ask(t, "file %s", contract.EnvTLSCA); got != "whom to trust" {
			t.Errorf("executor %s trusts %q", ids[i], got)
		}
	}
	all[0].Tell(t, "exit 0")
	o.wantExit(t, "one", backend.Exit{})
	if err := o.Forget(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if got := all[1].Ask(t, "file %s", contract.EnvCreds); got != "the credentials of two" {
		t.Errorf("after the end of the other executor, it has %q", got)
	}
	all[1].Tell(t, "exit 0")
	o.wantExit(t, "two", backend.Exit{})
}

func testStartAgain(t *testing.T, b *bench) {
	o := b.open(t)
	p := b.start(t, o, b.spec("one"))
	b.start(t, o, b.spec("one"))
	o.wantList(t, "one")
	p.Tell(t, "exit 0")
	o.wantExit(t, "one", backend.Exit{})
	b.start(t, o, b.spec("one"))
	o.wantList(t)
	if n := b.control.Starts("one"); n != 1 {
		t.Errorf("started %d times", n)
	}
}

func testStartConcurrently(t *testing.T, b *bench) {
	o := b.open(t)
	same := []string{"one", "one", "one", "one", "one"}
	p := b.startAll(t, same, func(ctx context.Context, _ int, spec backend.Spec) error {
		return o.Start(ctx, spec)
	})
	o.wantList(t, "one")
	p[0].Tell(t, "exit 0")
	o.wantExit(t, "one", backend.Exit{})
	if n := b.control.Starts("one"); n != 1 {
		t.Errorf("started %d times", n)
	}
}

func testList(t *testing.T, b *bench) {
	o := b.open(t)
	o.wantList(t)
	one := b.start(t, o, b.spec("one"))
	two := b.start(t, o, b.spec("two"))
	o.wantList(t, "one", "two")
	one.Tell(t, "exit 0")
	o.exit(t, "one")
	o.wantList(t, "two")
	two.Tell(t, "exit 0")
	o.exit(t, "two")
	o.wantList(t)
}

func testExitCodes(t *testing.T, b *bench) {
	o := b.open(t)
	zero := b.start(t, o, b.spec("zero"))
	three := b.start(t, o, b.spec("three"))
	three.Ask(t, "stderr %q", "boom\nthe model is missing\n")
	zero.Tell(t, "exit 0")
	three.Tell(t, "exit 3")
	o.wantExit(t, "zero", backend.Exit{})
	o.wantExit(t, "three", backend.Exit{Code: 3, Detail: "boom\nthe model is missing\n"})
}

func testSignal(t *testing.T, b *bench) {
	o := b.open(t)
	p := b.start(t, o, b.spec("one"))
	p.Ask(t, "stderr %q", "last words\n")
	p.Tell(t, "kill 9")
	o.wantExit(t, "one", backend.Exit{Code: -1, Signal: "SIGKILL", Detail: "last words\n"})
}

func testImmediateExit(t *testing.T, b *bench) {
	o := b.open(t)
	spec := b.spec("one")
	spec.Env[EnvDial] = "nowhere" // the program cannot reach the test and exits
	if err := o.Start(t.Context(), spec); err != nil {
		t.Fatalf("Start: %v", err)
	}
	o.wantExit(t, "one", backend.Exit{Code: lostTest, Detail: "cannot connect to the test"})
}

func testFork(t *testing.T, b *bench) {
	o := b.open(t)
	p := b.start(t, o, b.spec("one"))
	if err := p.Ask(t, "fork"); err != "<nil>" {
		t.Fatalf("fork: %s", err)
	}
	child := b.control.Program(t, "one-child")
	p.Tell(t, "exit 0")
	o.wantExit(t, "one", backend.Exit{})
	child.AwaitEnd(t)
}

func testMuchOutput(t *testing.T, b *bench) {
	o := b.open(t)
	p := b.start(t, o, b.spec("one"))
	p.Ask(t, "stdout %d", 5<<20)
	p.Ask(t, "stderr %q", strings.Repeat("é", 10_000)+"\nthe end\n")
	p.Tell(t, "exit 1")
	end := "éé\nthe end\n"
	if b.harness.OneLog {
		end = "\n"
	}
	o.wantExit(t, "one", backend.Exit{Code: 1, Detail: end})
}

func testDrain(t *testing.T, b *bench) {
	o := b.open(t)
	p := b.start(t, o, b.spec("one"))
	o.drain(t, "one")
	p.AwaitSigterm(t)
	o.wantList(t, "one") // it finishes its jobs
	p.Tell(t, "exit 0")
	o.wantExit(t, "one", backend.Exit{})
}

func testGiveUp(t *testing.T, b *bench) {
	o := b.open(t)
	p := b.start(t, o, b.spec("one"))
	for range 3 {
		o.drain(t, "one")
	}
	p.AwaitSigterm(t)
	o.giveUp(t, "one")
	b.wantHurried(t, o, p)
}

// wantHurried checks that a draining program is given up, if the place supports that.
func (b *bench) wantHurried(t *testing.T, o *opened, p *Running) {
	t.Helper()
	if !b.harness.Unhurried {
		b.wantGivenUp(t, o, p)
		return
	}
	o.wantList(t, p.Executor)
	p.Tell(t, "exit 0")
	o.wantExit(t, p.Executor, backend.Exit{})
}

// wantGivenUp lets a program that has received the first SIGTERM exit at the second one, if there is one.
func (b *bench) wantGivenUp(t *testing.T, o *opened, p *Running) {
	t.Helper()
	if b.harness.OneSIGTERM {
		o.wantExit(t, p.Executor, backend.Exit{Code: -1, Signal: "SIGKILL"})
		return
	}
	p.AwaitSigterm(t)
	p.Tell(t, "exit 0")
	o.wantExit(t, p.Executor, backend.Exit{})
}

func testGiveUpAtOnce(t *testing.T, b *bench) {
	o := b.open(t)
	p := b.start(t, o, b.spec("one"))
	o.giveUp(t, "one")
	p.AwaitSigterm(t)
	b.wantGivenUp(t, o, p)
}

func testProtect(t *testing.T, b *bench) {
	o := b.open(t)
	p := b.start(t, o, b.spec("one"))
	for _, busy := range []bool{true, false, false, true} {
		if err := o.Protect(t.Context(), "one", busy); err != nil {
			t.Errorf("Protect(%v): %v", busy, err)
		}
	}
	o.wantList(t, "one")
	p.Tell(t, "exit 0")
	o.wantExit(t, "one", backend.Exit{})
	for _, id := range []string{"one", "never-was"} {
		if err := o.Protect(t.Context(), id, true); err != nil {
			t.Errorf("Protect of %s, which has exited: %v", id, err)
		}
	}
}

func testGracePeriod(t *testing.T, b *bench) {
	o := b.open(t)
	spec := b.spec("one")
	// Kubernetes counts in seconds, so at least one.
	spec.Document.Drain.GracePeriod = document.Duration(time.Second)
	p := b.start(t, o, spec)
	if err := p.Ask(t, "fork"); err != "<nil>" {
		t.Fatalf("fork: %s", err)
	}
	child := b.control.Program(t, "one-child")
	o.drain(t, "one")
	p.AwaitSigterm(t)
	o.wantExit(t, "one", backend.Exit{Code: -1, Signal: "SIGKILL"})
	child.AwaitEnd(t)
}

func testDrainGone(t *testing.T, b *bench) {
	o := b.open(t)
	o.drain(t, "never-was")
	b.start(t, o, b.spec("one")).Tell(t, "exit 0")
	o.exit(t, "one")
	o.drain(t, "one")
	o.forget(t, "one")
	o.drain(t, "one")
}

func testUnrunnable(t *testing.T, b *bench) {
	o := b.open(t)
	err := o.Start(t.Context(), b.specWith("one", b.place.Unrunnable))
	if b.place.Pointer == "" {
		if err != nil {
			t.Fatalf("Start: %v", err)
		}
		x := o.exit(t, "one")
		if !x.Permanent || x.Reason == "" {
			t.Errorf("exit is %+v, want a permanent one with a reason", x)
		}
		o.forget(t, "one")
		o.wantList(t)
		b.wantRemains(t, 0)
		return
	}
	var refusal *backend.StartError
	if !errors.As(err, &refusal) {
		t.Fatalf("Start: %v, want a StartError", err)
	}
	p := refusal.Problem
	if p.Code != problem.StartRefused || p.Pointer != b.place.Pointer ||
		p.Message == "" || p.Hint == "" {
		t.Errorf("problem is %+v", p)
	}
	o.wantList(t)
	b.wantRemains(t, 0)
}

func testAdopt(t *testing.T, b *bench) {
	first := b.open(t)
	p := b.start(t, first, b.spec("one"))
	first.close(t)
	second := b.open(t)
	second.wantList(t, "one")
	b.start(t, second, b.spec("one"))
	p.Tell(t, "exit 3")
	second.wantExit(t, "one", backend.Exit{Code: 3})
	if n := b.control.Starts("one"); n != 1 {
		t.Errorf("started %d times", n)
	}
}

func testAdoptDrain(t *testing.T, b *bench) {
	first := b.open(t)
	p := b.start(t, first, b.spec("one"))
	first.drain(t, "one")
	p.AwaitSigterm(t)
	first.close(t)
	second := b.open(t)
	second.giveUp(t, "one")
	b.wantHurried(t, second, p)
}

func testAbsence(t *testing.T, b *bench) {
	first := b.open(t)
	p := b.start(t, first, b.spec("one"))
	q := b.start(t, first, b.spec("two"))
	first.close(t)
	p.Ask(t, "stderr %q", "nobody listens\n")
	p.Tell(t, "exit 3")
	p.AwaitEnd(t)
	q.Tell(t, "kill 9")
	q.AwaitEnd(t)
	second := b.open(t)
	second.wantExit(t, "one", backend.Exit{Code: 3, Detail: "nobody listens\n"})
	second.wantExit(t, "two", backend.Exit{Code: -1, Signal: "SIGKILL"})
	second.wantList(t)
}

func testUntilForget(t *testing.T, b *bench) {
	for range 2 {
		o := b.open(t)
		if b.control.Starts("one") == 0 {
			b.start(t, o, b.spec("one")).Tell(t, "exit 3")
		}
		o.wantExit(t, "one", backend.Exit{Code: 3})
		o.close(t)
	}
	o := b.open(t)
	o.forget(t, "one")
	o.close(t)
	// When the exit of the second executor arrives, that of the first would have arrived if there were one.
	o = b.open(t)
	b.start(t, o, b.spec("two")).Tell(t, "exit 0")
	o.exit(t, "two")
	o.close(t)
	for _, e := range o.exits {
		if e.Executor == "one" {
			t.Errorf("reported after Forget: %+v", e)
		}
	}
}

func testForget(t *testing.T, b *bench) {
	o := b.open(t)
	p := b.start(t, o, b.spec("one"))
	if err := o.Forget(t.Context(), "one"); err == nil {
		t.Error("Forget of a running executor returned no error")
	}
	p.Tell(t, "exit 0")
	o.exit(t, "one")
	b.wantRemains(t, 1)
	o.forget(t, "one")
	b.wantRemains(t, 0)
	o.forget(t, "one")
	o.forget(t, "never-was")
}

func testSlowReader(t *testing.T, b *bench) {
	first := b.place.Open(t)
	names := ids("e", 5)
	for _, id := range names {
		if err := first.Start(t.Context(), b.spec(id)); err != nil {
			t.Fatalf("Start: %v", err)
		}
		p := b.control.Program(t, id)
		p.Tell(t, "exit 3")
		p.AwaitEnd(t)
	}
	await(t, first.Exits(), "the first of the exits")
	if err := first.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	for e := range first.Exits() {
		t.Errorf("Exits is open after Close: %+v", e)
	}
	second := b.open(t)
	for _, id := range names {
		second.wantExit(t, id, backend.Exit{Code: 3})
	}
}

func testTwenty(t *testing.T, b *bench) {
	o := b.open(t)
	names := ids("e", 20)
	programs := b.startAll(t, names, func(ctx context.Context, _ int, s backend.Spec) error {
		return o.Start(ctx, s)
	})
	o.wantList(t, names...)
	for i, p := range programs {
		p.Tell(t, "exit %d", i)
	}
	for i, id := range names {
		o.wantExit(t, id, backend.Exit{Code: i})
		o.forget(t, id)
	}
	b.wantRemains(t, 0)
}

// testTwoBackends runs two backends on one place, like two replicas of the spawner with the same decisions: each
// executor starts once, and both backends report its exit.
func testTwoBackends(t *testing.T, b *bench) {
	both := []*opened{b.open(t), b.open(t)}
	names := ids("e", 5)
	twice := append(append([]string{}, names...), names...)
	programs := b.startAll(t, twice, func(ctx context.Context, i int, s backend.Spec) error {
		return both[i%2].Start(ctx, s)
	})
	for _, o := range both {
		o.wantList(t, names...)
	}
	for _, p := range programs[:len(names)] {
		p.Tell(t, "exit 3")
	}
	for _, id := range names {
		for _, o := range both {
			o.wantExit(t, id, backend.Exit{Code: 3})
		}
		if n := b.control.Starts(id); n != 1 {
			t.Errorf("%s started %d times", id, n)
		}
		for _, o := range both {
			o.forget(t, id)
		}
	}
	b.wantRemains(t, 0)
}
