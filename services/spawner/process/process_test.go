package process_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/backendtest"
	"github.com/dagyo/dagyo/services/spawner/process"
)

func TestConformance(t *testing.T) {
	backendtest.Run(t, backendtest.Harness{Place: func(t *testing.T) backendtest.Place {
		dir := stateDir(t)
		return backendtest.Place{
			Open:       func(t *testing.T) backend.Backend { return open(t, config(dir)) },
			Document:   progdef.Document{Command: []string{"dagyo", "program"}},
			Unrunnable: progdef.Document{Command: []string{"no-such-program"}},
			Pointer:    "/command/0",
			Remains:    func(t *testing.T) []string { return remains(t, dir) },
		}
	}})
}

// stateDir creates a state directory that is removed at the end of the test. By then its programs have lost their
// connection to the test and exited.
func stateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		b := open(t, config(dir))
		defer b.Close()
		for {
			running, err := b.List(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if len(running) == 0 {
				return
			}
			nextExit(t, b)
		}
	})
	return dir
}

// remains lists everything in a state directory except its two folders.
func remains(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	for _, folder := range []string{"executors", "scrap"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, folder+"/"+e.Name())
		}
	}
	return names
}

// config uses the test binary as supervisor and program. Under the race detector, every process would sleep for a
// second before it exits; under -cover, it would print a warning on standard error.
func config(dir string) process.Config {
	return process.Config{
		Dir: dir,
		SelfEnv: map[string]string{
			envRole: "1", "GORACE": "atexit_sleep_ms=0", "GOCOVERDIR": os.Getenv("GOCOVERDIR"),
		},
		KillDelay: 50 * time.Millisecond,
	}
}

func open(t *testing.T, cfg process.Config) *process.Backend {
	t.Helper()
	b, err := process.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A bench is a state directory with one backend and its programs.
type bench struct {
	*process.Backend
	dir     string
	control *backendtest.Control
}

func setup(t *testing.T, change ...func(*process.Config)) *bench {
	t.Helper()
	b := &bench{dir: stateDir(t), control: backendtest.NewControl(t, nil, false)}
	cfg := config(b.dir)
	for _, f := range change {
		f(&cfg)
	}
	b.Backend = open(t, cfg)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func (b *bench) spec(id string, command ...string) backend.Spec {
	if len(command) == 0 {
		command = []string{"dagyo", "program"}
	}
	return backend.Spec{
		Executor: id, Progdef: "tester", Revision: "0123456789ab",
		Document: progdef.Document{
			Command: command,
			Drain:   progdef.Drain{GracePeriod: document.Duration(time.Hour)},
		},
		Env: map[string]string{
			backendtest.EnvDial: b.control.Addr(), contract.EnvExecutor: id,
		},
	}
}

func (b *bench) start(t *testing.T, spec backend.Spec) *backendtest.Running {
	t.Helper()
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatalf("Start: %v", err)
	}
	return b.control.Program(t, spec.Executor)
}

func (b *bench) home(id string) string { return filepath.Join(b.dir, "executors", id) }

// supervisor returns the process id of an executor's supervisor, which holds the lock.
func (b *bench) supervisor(t *testing.T, id string) int {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(b.home(id), "lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &all); err != nil {
		t.Fatal(err)
	}
	return int(all.Pid)
}

func nextExit(t *testing.T, b *process.Backend) backend.Exit {
	t.Helper()
	select {
	case e := <-b.Exits():
		return e
	case <-time.After(time.Minute):
		t.Fatal("no exit")
		panic("not reached")
	}
}

// spawner is a process that starts an executor and then hangs: the test kills it.
func spawner() int {
	b, err := process.New(config(os.Args[2]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	err = b.Start(context.Background(), backend.Spec{
		Executor: "orphan", Progdef: "tester", Revision: "0123456789ab",
		Document: progdef.Document{Command: []string{"dagyo", "program"}},
		Env: map[string]string{
			backendtest.EnvDial: os.Args[3], contract.EnvExecutor: "orphan",
		},
	})
	fmt.Println("started:", err)
	<-b.Exits()
	return 0
}

func TestExecutorOutlivesKilledSpawner(t *testing.T) {
	dir, control := stateDir(t), backendtest.NewControl(t, nil, false)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "spawner", dir, control.Addr())
	cmd.Env = append(os.Environ(), envRole+"=1")
	// A process group of its own, so that the whole group can be killed as by Ctrl-\ in a terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "started: <nil>\n" {
		t.Errorf("the spawner printed %q", line)
	}
	p := control.Program(t, "orphan")
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	p.Ask(t, "stderr %q", "still here\n")
	p.Tell(t, "exit 3")
	p.AwaitEnd(t)

	b := open(t, config(dir))
	defer b.Close()
	e := nextExit(t, b)
	if e.Executor != "orphan" || e.Code != 3 || e.Detail != "still here\n" {
		t.Errorf("exit is %+v", e)
	}
}

func TestSupervisorDies(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	p.Ask(t, "stderr %q", "so far so good\n")
	if err := syscall.Kill(b.supervisor(t, "one"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.AwaitEnd(t)
	e := nextExit(t, b.Backend)
	if e.Code != -1 || e.Progdef != "tester" || !strings.Contains(e.Reason, "supervisor died") {
		t.Errorf("exit is %+v", e)
	}
	// It may have run, so it never runs again.
	if err := b.Start(t.Context(), b.spec("one")); err != nil {
		t.Errorf("Start: %v", err)
	}
	if n := b.control.Starts("one"); n != 1 {
		t.Errorf("started %d times", n)
	}
}

// The second SIGTERM is sent at the end of the grace period, before the SIGKILL: an executor needs the time in between
// to report the jobs that it gives up.
func TestGracePeriodEndsWithSecondSigterm(t *testing.T) {
	b := setup(t, func(c *process.Config) { c.KillDelay = time.Hour })
	spec := b.spec("one")
	spec.Document.Drain.GracePeriod = document.Duration(10 * time.Millisecond)
	p := b.start(t, spec)
	if err := b.Drain(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	p.AwaitSigterm(t)
	p.AwaitSigterm(t)
	p.Tell(t, "exit 0")
	if e := nextExit(t, b.Backend); e.Code != 0 || e.Signal != "" {
		t.Errorf("exit is %+v", e)
	}
}

func TestGiveUpKills(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	if err := p.Ask(t, "fork"); err != "<nil>" {
		t.Fatalf("fork: %s", err)
	}
	child := b.control.Program(t, "one-child")
	if err := b.GiveUp(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	e := nextExit(t, b.Backend)
	if e.Signal != "SIGKILL" || e.Reason != "it was killed: it did not exit when told to" {
		t.Errorf("exit is %+v", e)
	}
	child.AwaitEnd(t)
	if err := b.GiveUp(t.Context(), "one"); err != nil {
		t.Errorf("GiveUp of an exited executor: %v", err)
	}
}

// Two SIGTERMs in the same instant would count as one.
func TestGiveUpRightAfterDrain(t *testing.T) {
	b := setup(t, func(c *process.Config) { c.KillDelay = time.Hour }) // the test ends it
	for i := range 20 {
		id := fmt.Sprintf("one-%d", i)
		p := b.start(t, b.spec(id))
		if err := errors.Join(b.Drain(t.Context(), id), b.GiveUp(t.Context(), id)); err != nil {
			t.Fatal(err)
		}
		p.AwaitSigterm(t)
		p.AwaitSigterm(t)
		p.Tell(t, "exit 0")
		nextExit(t, b.Backend)
	}
}

// An executor that no spawner can find any more must not run forever.
func TestRemovedDirectoryEndsExecutor(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	if err := os.RemoveAll(b.home("one")); err != nil {
		t.Fatal(err)
	}
	p.AwaitSigterm(t)
	p.Tell(t, "exit 0")
	p.AwaitEnd(t)
}

func TestNoZombies(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	pid := b.supervisor(t, "one")
	p.Tell(t, "exit 0")
	nextExit(t, b.Backend)
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the supervisor still exists: %v", err)
	}
}

func TestExitIsDeliveredOnce(t *testing.T) {
	b := setup(t)
	for _, id := range []string{"a", "b", "c"} {
		b.start(t, b.spec(id)).Tell(t, "exit 0")
		if e := nextExit(t, b.Backend); e.Executor != id {
			t.Errorf("exit of %s, want %s", e.Executor, id)
		}
	}
}

// halfMade creates the state that a spawner leaves if it is killed during a start.
func halfMade(t *testing.T, b *bench, id string) {
	t.Helper()
	if err := os.Mkdir(b.home(id), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(b.home(id), "own"), 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(b.home(id), "own"), 200000, 200000); err != nil {
			t.Fatal(err)
		}
	}
	record := fmt.Sprintf(`{"executor":%q,"progdef":"tester","revision":"0123456789ab"}`, id)
	err := os.WriteFile(filepath.Join(b.home(id), "instance.json"), []byte(record), 0o600)
	if err != nil {
		t.Fatal(err)
	}
}

func TestUnfinishedStartIsCompleted(t *testing.T) {
	b := setup(t)
	halfMade(t, b, "one")
	p := b.start(t, b.spec("one"))
	p.Tell(t, "exit 3")
	if e := nextExit(t, b.Backend); e.Code != 3 || e.Progdef != "tester" {
		t.Errorf("exit is %+v", e)
	}
}

func TestUnfinishedStartIsAbandoned(t *testing.T) {
	b := setup(t)
	halfMade(t, b, "one")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(b.home("one"), old, old); err != nil {
		t.Fatal(err)
	}
	e := nextExit(t, b.Backend)
	if e.Code != -1 || e.Progdef != "tester" || !strings.Contains(e.Reason, "never started") {
		t.Errorf("exit is %+v", e)
	}
	if err := b.Start(t.Context(), b.spec("one")); err != nil {
		t.Errorf("Start: %v", err)
	}
	if n := b.control.Starts("one"); n != 0 {
		t.Error("an abandoned executor was started")
	}
	if err := b.Forget(t.Context(), "one"); err != nil {
		t.Errorf("Forget: %v", err)
	}
	if left := remains(t, b.dir); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
}

func TestScrapIsSwept(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{"in-old": time.Hour, "in-young": 0} {
		path := filepath.Join(dir, "scrap", name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	b := open(t, config(dir))
	defer b.Close()
	if left := remains(t, dir); len(left) != 1 || left[0] != "scrap/in-young" {
		t.Errorf("left: %q", left)
	}
}

// A power failure may leave empty files.
func TestLostRecords(t *testing.T) {
	b := setup(t)
	if err := os.Mkdir(b.home("one"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"instance.json", "exit.json", "claim"} {
		if err := os.WriteFile(filepath.Join(b.home("one"), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if e := nextExit(t, b.Backend); e.Executor != "one" || e.Code != -1 {
		t.Errorf("exit is %+v", e)
	}
}

func TestOutputIsBounded(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	p.Ask(t, "stdout %d", 5<<20)
	p.Ask(t, "stderr %q", "the end\n")
	p.Tell(t, "exit 0")
	if e := nextExit(t, b.Backend); e.Detail != "the end\n" {
		t.Errorf("detail has standard output: %q", e.Detail)
	}
	var size int64
	for _, name := range []string{"log", "log.1"} {
		info, err := os.Stat(filepath.Join(b.home("one"), name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 2<<20 {
		t.Errorf("%d bytes of log", size)
	}
	log, err := b.Log("one")
	if err != nil {
		t.Fatal(err)
	}
	if len(log) > 64<<10 || !bytes.Contains(log, []byte("a line of noise")) {
		t.Errorf("log of %d bytes ends with %q", len(log), log[max(0, len(log)-80):])
	}
}

func TestNothingIsReadableByOthersAndNoSecretIsStored(t *testing.T) {
	b := setup(t)
	spec := b.spec("one")
	spec.Document.Env = map[string]string{"TOKEN": "hush-hush"}
	p := b.start(t, spec)
	if got := p.Ask(t, "env TOKEN"); got != "hush-hush" {
		t.Errorf("TOKEN is %q", got)
	}
	err := filepath.WalkDir(filepath.Join(b.dir, "executors"),
		func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			if d.IsDir() {
				return nil
			}
			content, err := os.ReadFile(path)
			if bytes.Contains(content, []byte("hush-hush")) {
				t.Errorf("%s holds the secret", path)
			}
			return err
		})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SPAWNER_SECRET", "must not leak")
	t.Setenv("TZ", "Europe/Vienna")
	envDir := t.TempDir()
	write(t, filepath.Join(envDir, "secrets", "s.env"),
		"# a comment\n\n  A=secret\nB=secret\r\nC=secret\nQUOTED=\"as = it is\" \n")
	write(t, filepath.Join(envDir, "configmaps", "m.env"), "B=map\nC=map\nRAW=\xff")
	b := setup(t, func(c *process.Config) {
		c.EnvDir = envDir
		c.Env = map[string]string{"BASE": "config", "A": "config"}
	})
	spec := b.spec("one")
	spec.Document.EnvFrom = []progdef.EnvSource{{Secret: "s"}, {ConfigMap: "m"}}
	spec.Document.Env = map[string]string{"C": "progdef", "DAGYO_QUEUE": "progdef"}
	spec.Env["DAGYO_QUEUE"] = "nats://here"
	p := b.start(t, spec)
	for name, want := range map[string]string{
		"BASE": "config", "A": "secret", "B": "map", "C": "progdef", "QUOTED": `"as = it is" `,
		"DAGYO_SECRETS": "A,B,C,QUOTED,RAW", "RAW": "\xff", "DAGYO_QUEUE": "nats://here", "TZ": "Europe/Vienna", "SPAWNER_SECRET": "",
	} {
		if got := p.Ask(t, "env %s", name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStartRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secrets", "bad.env"), "A=1\nno equals sign hush\n")
	write(t, filepath.Join(dir, "outside.env"), "A=1\n")
	programs := t.TempDir() // executors do not see dir
	script := filepath.Join(programs, "script")
	write(t, script, "#!/no/such/interpreter\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(programs, "plain")
	write(t, plain, "echo hello\n")
	garbage := filepath.Join(programs, "garbage")
	write(t, garbage, "echo hello\n")
	if err := os.Chmod(garbage, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(command ...string) progdef.Document { return progdef.Document{Command: command} }
	from := func(sources ...progdef.EnvSource) progdef.Document {
		return progdef.Document{Command: []string{"true"}, EnvFrom: sources}
	}
	for name, c := range map[string]struct {
		doc     progdef.Document
		envDir  string
		pointer string
		message string // a part of the message
	}{
		"not in PATH":               {run("no-such-program"), dir, "/command/0", "not found"},
		"no such file":              {run("/no/such/program"), dir, "/command/0", "not found"},
		"not executable":            {run(plain), dir, "/command/0", "not executable"},
		"a directory":               {run(dir), dir, "/command/0", "cannot run"},
		"no interpreter":            {run(script), dir, "/command/0", "cannot start"},
		"not a program":             {run(garbage), dir, "/command/0", "exec format error"},
		"a NUL":                     {run("true", "a\x00b"), dir, "/command/0", "cannot start"},
		"only an image":             {progdef.Document{Image: "greet"}, dir, "/command", "run images"},
		"neither image nor command": {progdef.Document{}, dir, "/command", "has no `command`"},
		"no EnvDir":                 {from(progdef.EnvSource{Secret: "s"}), "", "/envFrom/0", "no folder"},
		"no secret": {from(progdef.EnvSource{Secret: "s"}), dir, "/envFrom/0",
			"needs the file secrets/s.env in " + dir},
		"no config map": {from(progdef.EnvSource{ConfigMap: "m"}), dir, "/envFrom/0",
			"needs the file configmaps/m.env in " + dir},
		"out of EnvDir": {from(progdef.EnvSource{Secret: "../outside"}), dir + "/secrets",
			"/envFrom/0", "secret"},
		"malformed": {from(progdef.EnvSource{Secret: "bad"}), dir, "/envFrom/0",
			"line 2 is not of the form KEY=VALUE"},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, func(cfg *process.Config) { cfg.EnvDir = c.envDir })
			spec := b.spec("one")
			spec.Document = c.doc
			err := b.Start(t.Context(), spec)
			var refusal *backend.StartError
			if !errors.As(err, &refusal) {
				t.Fatalf("Start: %v, want a StartError", err)
			}
			p := refusal.Problem
			if p.Code != problem.StartRefused || p.Pointer != c.pointer || p.Hint == "" ||
				!strings.Contains(p.Message, c.message) || strings.Contains(p.Message, "hush") {
				t.Errorf("problem is %s", p)
			}
			if left := remains(t, b.dir); len(left) != 0 {
				t.Errorf("left over: %q", left)
			}
		})
	}
}

// A command is looked up in the executor's PATH, not in the spawner's.
func TestCommandFromResultingPath(t *testing.T) {
	bin := t.TempDir()
	tool := filepath.Join(bin, "only-here")
	write(t, tool, "#!/bin/sh\necho \"$1\" >&2\nexit 3\n")
	if err := os.Chmod(tool, 0o755); err != nil {
		t.Fatal(err)
	}
	b := setup(t)
	spec := b.spec("one", "only-here", "an argument")
	spec.Document.Env = map[string]string{"PATH": ".::" + bin}
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatalf("Start: %v", err)
	}
	if e := nextExit(t, b.Backend); e.Code != 3 || e.Detail != "an argument\n" {
		t.Errorf("exit is %+v", e)
	}
}

func TestReasons(t *testing.T) {
	b := setup(t)
	patient := b.spec("patient")
	hasty := b.spec("hasty")
	hasty.Document.Drain.GracePeriod = document.Duration(10 * time.Millisecond)
	b.start(t, patient).Tell(t, "exit 3")
	if got := nextExit(t, b.Backend).Reason; got != "it exited with code 3" {
		t.Errorf("reason is %q", got)
	}
	b.start(t, hasty)
	if err := b.Drain(t.Context(), "hasty"); err != nil {
		t.Fatal(err)
	}
	if got := nextExit(t, b.Backend).Reason; got !=
		"it was killed: it did not exit when told to" {
		t.Errorf("reason is %q", got)
	}
	b.start(t, b.spec("hit")).Tell(t, "kill 9")
	if got := nextExit(t, b.Backend).Reason; got != "it was killed by SIGKILL" {
		t.Errorf("reason is %q", got)
	}
}

func TestBadIds(t *testing.T) {
	b := setup(t)
	for _, id := range []string{"", "..", "../x", "a/b", "UPPER", ".hidden"} {
		_, logErr := b.Log(id)
		for call, err := range map[string]error{
			"Start":  b.Start(t.Context(), b.spec(id)),
			"Drain":  b.Drain(t.Context(), id),
			"GiveUp": b.GiveUp(t.Context(), id),
			"Forget": b.Forget(t.Context(), id),
			"Log":    logErr,
		} {
			if err == nil {
				t.Errorf("%s(%q) returned no error", call, id)
			}
		}
	}
}

func TestSupervisorThatCannotStart(t *testing.T) {
	b := setup(t, func(c *process.Config) { c.SelfArgs = []string{"no-such-role"} })
	err := b.Start(t.Context(), b.spec("one"))
	if err == nil || !strings.Contains(err.Error(), `no role "no-such-role"`) {
		t.Errorf("Start: %v", err)
	}
}

func TestStartAfterClose(t *testing.T) {
	b := setup(t)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context(), b.spec("one")); !errors.Is(err, process.ErrClosed) {
		t.Errorf("Start: %v", err)
	}
}

func TestConfigValidate(t *testing.T) {
	err := process.Config{StartTimeout: -1}.Validate()
	if err == nil || !strings.Contains(err.Error(), "Dir") ||
		!strings.Contains(err.Error(), "StartTimeout") {
		t.Errorf("Validate: %v", err)
	}
}
