package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// attack is a hostile executor. Its report is on standard error: what an attack has gained, or nothing.
func attack(args []string) int {
	switch args[0] {
	case "read":
		for _, path := range args[1:] {
			readAll(path)
		}
	case "write":
		for _, path := range args[1:] {
			if err := os.WriteFile(path, []byte("pwned"), 0o600); err == nil {
				fmt.Fprintln(os.Stderr, "wrote", path)
			}
		}
	case "environ":
		environs(args[1])
	case "escape":
		escape(args[1])
	case "signal":
		pid, _ := strconv.Atoi(args[1])
		fmt.Fprintln(os.Stderr, "signal:", syscall.Kill(pid, syscall.SIGKILL))
	case "status":
		status, _ := os.ReadFile("/proc/self/status")
		os.Stderr.Write(status)
	case "linger":
		return linger(args[1], args[2])
	case "fork":
		return forkBomb(args[1])
	case "memory":
		allocate(args[1])
	case "files":
		return openMany()
	case "descriptors":
		descriptors()
	}
	return 0
}

// readAll reports every file that it can read below a path.
func readAll(path string) {
	_ = filepath.WalkDir(path, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if content, err := os.ReadFile(path); err == nil && len(content) > 0 {
				fmt.Fprintln(os.Stderr, "read", path)
			}
		}
		return nil
	})
}

// descriptors reports every open file with a secret. The Go runtime opens some of its own.
func descriptors() {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		var s unix.Stat_t
		if n > 2 && unix.Fstat(n, &s) == nil && s.Mode&unix.S_IFMT == unix.S_IFREG {
			content := make([]byte, 100)
			if k, _ := unix.Pread(n, content, 0); k > 0 && bytes.Contains(content, []byte("secret")) {
				fmt.Fprintln(os.Stderr, "read descriptor", n)
			}
		}
	}
}

// environs searches the environments of all processes.
func environs(secret string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(secret)) {
			fmt.Fprintln(os.Stderr, "found it in", path)
		}
	}
}

// escape tries to see the file at path, by everything that a program may try to leave its view.
func escape(path string) {
	runtime.LockOSThread()
	report := func(how string) {
		if content, err := os.ReadFile(path); err == nil && len(content) > 0 {
			fmt.Fprintln(os.Stderr, how, "shows", path)
		}
	}
	covers := []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path)), "/proc"}
	for _, at := range covers {
		_ = unix.Unmount(at, unix.MNT_DETACH)
		report("unmount of " + at)
	}
	for _, pid := range []string{"1", "self"} {
		if content, err := os.ReadFile("/proc/" + pid + "/root" + path); err == nil && len(content) > 0 {
			fmt.Fprintln(os.Stderr, "root of", pid, "shows", path)
		}
		if ns, err := unix.Open("/proc/"+pid+"/ns/mnt", unix.O_RDONLY, 0); err == nil {
			_ = unix.Setns(ns, unix.CLONE_NEWNS)
			report("the namespace of " + pid)
		}
	}
	_ = unix.PtraceAttach(1)
	_ = unix.Kill(1, unix.SIGKILL)
	for _, cap := range []int{0, 1000, os.Getuid()} {
		_ = unix.Setuid(cap)
		report("user " + strconv.Itoa(cap))
	}
	// Another process: a namespace of its own, in which it has every capability.
	again := exec.Command("/proc/self/exe", "attack", "read", path)
	again.Env, again.Stderr = os.Environ(), os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	_ = again.Run()
	unmount := "umount -l " + strings.Join(covers, "; umount -l ") + "; cat " + path + " && echo unmounted >&2"
	again = exec.Command("sh", "-c", unmount)
	again.Env, again.Stderr = os.Environ(), io.Discard
	var out strings.Builder
	again.Stdout = &out
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	_ = again.Run()
	if out.Len() > 0 {
		fmt.Fprintln(os.Stderr, "a user namespace shows", path)
	}
	fmt.Fprintln(os.Stderr, "tried everything")
}

// linger starts a process that leaves its session and its parents. It connects to the test at addr, which sees its end.
// Then the program exits, or waits, as the verb says.
func linger(verb, addr string) int {
	script := "setsid sh -c 'setsid sh -c \"exec 9<>/dev/tcp/" + strings.Replace(addr, ":", "/", 1) +
		"; echo hello lingering >&9; echo >$TMPDIR/up; exec sleep 600\" & exit' & exit"
	if err := exec.Command("bash", "-c", strings.ReplaceAll(script, "sh -c", "bash -c")).Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if verb == "wait" {
		time.Sleep(10 * time.Minute)
	}
	for { // until it is connected
		if _, err := os.Stat(filepath.Join(os.Getenv("TMPDIR"), "up")); err == nil {
			return 0
		}
		time.Sleep(time.Millisecond)
	}
}

// forkBomb starts sleeping processes, many more than the test allows.
func forkBomb(n string) int {
	most, _ := strconv.Atoi(n)
	for i := range most {
		if err := exec.Command("sleep", "600").Start(); err != nil {
			fmt.Fprintf(os.Stderr, "process %d: %v\n", i, err)
			break
		}
	}
	time.Sleep(30 * time.Second) // it is killed, unless the kernel has refused the processes
	return 3
}

// allocate uses memory, in a child of a child, as far as it may.
func allocate(limit string) {
	if _, ok := os.LookupEnv("ATTACK_CHILD"); !ok {
		child := exec.Command("/proc/self/exe", os.Args[1:]...)
		child.Env = append(os.Environ(), "ATTACK_CHILD=1")
		child.Stderr = os.Stderr
		_ = child.Run()
		time.Sleep(time.Minute)
		return
	}
	most, _ := strconv.Atoi(limit)
	var all [][]byte
	for len(all) < most>>20 {
		all = append(all, bytes.Repeat([]byte("x"), 1<<20))
		time.Sleep(time.Millisecond)
	}
	fmt.Fprintln(os.Stderr, "has", len(all), "MiB")
	time.Sleep(time.Minute)
	runtime.KeepAlive(all)
}

func openMany() int {
	for i := range 100_000 {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
			fmt.Fprintf(os.Stderr, "%d: %v\n", i, err)
			return 0
		}
	}
	return 0
}

// A siege is a backend with what its executors must not reach.
type siege struct {
	*bench
	isolation process.Isolation
	store     string // a file
}

func besiege(t *testing.T, change ...func(*process.Config)) *siege {
	t.Helper()
	s := &siege{}
	s.store = filepath.Join(t.TempDir(), "nats", "store", "secret")
	write(t, s.store, "secret of the store")
	for path := filepath.Dir(s.store); path != filepath.Dir(filepath.Dir(filepath.Dir(s.store))); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(s.store, 0o644); err != nil { // not only its mode protects it
		t.Fatal(err)
	}
	s.bench = setup(t, append(change, func(c *process.Config) {
		c.Hidden = []string{filepath.Dir(filepath.Dir(s.store))}
		found, err := process.Probe(t.Context(), *c)
		if err != nil {
			t.Fatal(err)
		}
		if c.Isolation == nil {
			c.Isolation = &found
		}
		s.isolation = *c.Isolation
	})...)
	return s
}

// enclosed skips the test where programs cannot be enclosed.
func (s *siege) enclosed(t *testing.T) {
	t.Helper()
	if !s.isolation.Enclosed {
		t.Skip(s.isolation.Missing)
	}
}

// run runs an attack to its end.
func (s *siege) run(t *testing.T, id string, args ...string) backend.Exit {
	t.Helper()
	if err := s.Start(t.Context(), s.attack(id, args...)); err != nil {
		t.Fatal(err)
	}
	e := nextExit(t, s.Backend)
	if e.Executor != id {
		t.Fatalf("exit of %s, want %s", e.Executor, id)
	}
	return e
}

func (s *siege) attack(id string, args ...string) backend.Spec {
	spec := s.spec(id, append([]string{"dagyo", "attack"}, args...)...)
	spec.Document.Env = map[string]string{"GORACE": "atexit_sleep_ms=0"}
	return spec
}

func (s *siege) fails(t *testing.T, id string, args ...string) {
	t.Helper()
	if e := s.run(t, id, args...); e.Code != 0 || e.Detail != "" {
		t.Errorf("%q: exit is %+v", args, e)
	}
}

func TestAttackFiles(t *testing.T) {
	s := besiege(t)
	s.enclosed(t)
	victim := s.start(t, s.spec("victim"))
	home := victim.Ask(t, "env TMPDIR")
	write(t, filepath.Join(home, "paper"), "secret of another executor")
	for i, path := range []string{s.store, s.home("victim"), filepath.Join(s.dir, "executors"), home} {
		s.fails(t, fmt.Sprintf("reader-%d", i), "read", path)
	}
	s.fails(t, "writer", "write", filepath.Join(s.home("victim"), "exit.json"), filepath.Join(s.home("writer"), "exit.json"),
		filepath.Join(s.dir, "x"), filepath.Join(filepath.Dir(s.store), "x"), filepath.Join(home, "x"))
	if e := s.run(t, "escaper", "escape", s.store); e.Detail != "tried everything\n" {
		t.Errorf("escape: %+v", e)
	}
	// Its own directory is its own.
	own := filepath.Join(s.home("own"), "own", "file")
	if e := s.run(t, "own", "write", own); e.Detail != "wrote "+own+"\n" {
		t.Errorf("its own directory: %+v", e)
	}
	victim.Tell(t, "exit 0")
	nextExit(t, s.Backend)
}

// What Dagyo has inherited from the shell that started it is not passed on.
func TestAttackDescriptors(t *testing.T) {
	s := besiege(t)
	inherited, err := unix.Open(s.store, unix.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	s.fails(t, "heir", "descriptors")
}

func forget(t *testing.T, s *siege, id string) {
	t.Helper()
	if err := s.Forget(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func TestAttackProcesses(t *testing.T) {
	s := besiege(t)
	s.enclosed(t)
	victim := exec.Command("sleep", "600")
	victim.Env = []string{"SECRET=of-the-spawner"}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = victim.Process.Kill(), victim.Wait() }()
	s.fails(t, "reader", "environ", "of-the-"+"spawner")
	for _, pid := range []int{victim.Process.Pid, os.Getpid()} {
		id := "killer-" + strconv.Itoa(pid)
		if e := s.run(t, id, "signal", strconv.Itoa(pid)); e.Detail != "signal: no such process\n" {
			t.Errorf("%+v", e)
		}
	}
	status := s.run(t, "status", "status").Detail
	for _, line := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000",
		"CapAmb:\t0000000000000000"} {
		if !strings.Contains(status, line+"\n") {
			t.Errorf("no %q in %s", line, status)
		}
	}
	if s.isolation.Foreign {
		for _, wrong := range []string{"Uid:\t0\t", "Gid:\t0\t"} {
			if strings.Contains(status, wrong) {
				t.Errorf("%q in %s", wrong, status)
			}
		}
		for _, right := range []string{"Groups:\t \n", "CapBnd:\t0000000000000000\n"} {
			if !strings.Contains(status, right) {
				t.Errorf("no %q in %s", right, status)
			}
		}
	}
}

// Executors have different users as long as they exist, also if they are started at the same time.
func TestUsersOfTheirOwn(t *testing.T) {
	s := besiege(t, func(c *process.Config) {
		if err := c.UIDs.UnmarshalText([]byte("300000-300003")); err != nil {
			t.Fatal(err)
		}
	})
	if !s.isolation.Foreign {
		t.Skip(s.isolation.Missing)
	}
	failed := make(chan error, 4)
	for i := range 4 {
		go func() { failed <- s.Start(context.Background(), s.spec(fmt.Sprintf("one-%d", i))) }()
	}
	owners := map[uint32]bool{}
	for range 4 {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		info, err := os.Stat(filepath.Join(s.home(fmt.Sprintf("one-%d", i)), "own"))
		if err != nil {
			t.Fatal(err)
		}
		owners[info.Sys().(*syscall.Stat_t).Uid] = true
	}
	if len(owners) != 4 {
		t.Errorf("users are %v", owners)
	}
	if err := s.Start(t.Context(), s.spec("five")); err == nil || !strings.Contains(err.Error(), "--executor-uids") {
		t.Errorf("a fifth: %v", err)
	}
	s.control.Program(t, "one-0").Tell(t, "exit 0")
	nextExit(t, s.Backend)
	forget(t, s, "one-0")
	s.start(t, s.spec("five"))
}

// ways are the ways to isolate executors on this machine, the weakest included.
func ways(t *testing.T, test func(t *testing.T, s *siege)) {
	t.Run("isolated", func(t *testing.T) {
		s := besiege(t)
		s.enclosed(t)
		test(t, s)
	})
	t.Run("plain", func(t *testing.T) {
		test(t, besiege(t, func(c *process.Config) { c.Isolation = &process.Isolation{} }))
	})
}

func TestNothingSurvives(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	ways(t, func(t *testing.T, s *siege) {
		if err := s.Start(t.Context(), s.attack("quick", "linger", "exit", s.control.Addr())); err != nil {
			t.Fatal(err)
		}
		child := s.control.Program(t, "lingering")
		if e := nextExit(t, s.Backend); e.Code != 0 || e.Detail != "" {
			t.Errorf("exit is %+v", e)
		}
		child.AwaitEnd(t)
	})
}

func TestNothingSurvivesSupervisor(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	ways(t, func(t *testing.T, s *siege) {
		if err := s.Start(t.Context(), s.attack("slow", "linger", "wait", s.control.Addr())); err != nil {
			t.Fatal(err)
		}
		child := s.control.Program(t, "lingering")
		if err := syscall.Kill(s.supervisor(t, "slow"), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if e := nextExit(t, s.Backend); !strings.Contains(e.Reason, "supervisor died") {
			t.Errorf("exit is %+v", e)
		}
		child.AwaitEnd(t)
	})
}

func TestLimits(t *testing.T) {
	limit := func(c *process.Config) { c.Limits = process.Limits{Processes: 64, Files: 100} }
	for name, isolation := range map[string]*process.Isolation{"isolated": nil, "plain": {}} {
		t.Run(name, func(t *testing.T) {
			s := besiege(t, limit, func(c *process.Config) { c.Isolation = isolation })
			e := s.run(t, "bomb", "fork", "500")
			if !strings.Contains(e.Reason, "it reached its limit of 64 processes and threads (--executor-processes)") {
				t.Errorf("processes: %+v", e)
			}
			spec := s.attack("glutton", "memory", strconv.Itoa(1<<30))
			spec.Document.Resources = progdef.Resources{Limits: map[string]string{"memory": "128Mi"}}
			if err := s.Start(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			e = nextExit(t, s.Backend)
			if e.Reason != "it was killed: it used more memory than its limit of 128Mi (resources.limits.memory)" {
				t.Errorf("memory: %+v", e)
			}
			e = s.run(t, "opener", "files")
			if n, _, _ := strings.Cut(e.Detail, ":"); !strings.Contains(e.Detail, "too many open files") || len(n) > 2 {
				t.Errorf("files: %+v", e)
			}
		})
	}
}

func TestBadLimits(t *testing.T) {
	b := setup(t)
	spec := b.spec("one")
	spec.Document.Resources = progdef.Resources{Limits: map[string]string{"memory": "1Ki"}}
	var refusal *backend.StartError
	if err := b.Start(t.Context(), spec); !errors.As(err, &refusal) || refusal.Problem.Pointer != "/resources/limits/memory" {
		t.Errorf("Start: %v", err)
	}
	c := process.Config{Dir: "x", Limits: process.Limits{Memory: 1, Processes: 1, Files: -1}}
	for _, flag := range []string{"--executor-memory", "--executor-processes", "--executor-files"} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("Validate: %v, without %s", err, flag)
		}
	}
}

// An executor reads copies of the files that the spawner uses for NATS, and nobody else reads these copies.
func TestCredentials(t *testing.T) {
	s := besiege(t)
	s.enclosed(t)
	creds := filepath.Join(t.TempDir(), "my.creds")
	write(t, creds, "a secret key")
	spec := s.attack("reader", "read", creds)
	spec.Env[contract.EnvCreds] = creds
	spec.Document.Drain.GracePeriod = document.Duration(time.Second)
	copied := filepath.Join(s.home("reader"), "own", ".dagyo", "nats.creds")
	spec.Document.Command = []string{"dagyo", "attack", "read", copied}
	if err := s.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if e := nextExit(t, s.Backend); e.Detail != "read "+copied+"\n" {
		t.Errorf("%+v", e)
	}
	info, err := os.Stat(copied)
	if err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("%v, %v", info, err)
	}
	spec = s.attack("other", "read", copied)
	if err := s.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if e := nextExit(t, s.Backend); e.Detail != "" {
		t.Errorf("another executor: %+v", e)
	}
	spec.Executor, spec.Env[contract.EnvCreds] = "none", creds+".none"
	if err := s.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "copying the credentials") {
		t.Errorf("without credentials: %v", err)
	}
}

// An executor has the directories of its user, and starts where the spawner was started.
func TestOwnDirectories(t *testing.T) {
	s := besiege(t)
	t.Setenv("HOME", t.TempDir())
	p := s.start(t, s.spec("one"))
	own := filepath.Join(s.home("one"), "own")
	if got := p.Ask(t, "env TMPDIR"); got != filepath.Join(own, "tmp") {
		t.Errorf("TMPDIR is %s", got)
	}
	want := os.Getenv("HOME")
	if s.isolation.Foreign {
		want = own
	}
	if got := p.Ask(t, "env HOME"); got != want {
		t.Errorf("HOME is %s, want %s", got, want)
	}
}

// The leash is a pipe: its other end is closed when the process that has it exits.
func TestLeash(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := setup(t, func(c *process.Config) { c.Leash, c.KillDelay = r, time.Hour }) // the test ends it
	p := b.start(t, b.spec("one"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p.AwaitSigterm(t)
	p.AwaitSigterm(t)
	p.Tell(t, "exit 0")
	if e := nextExit(t, b.Backend); e.Code != 0 {
		t.Errorf("exit is %+v", e)
	}
}

// A program that only its owner may run, or that executors do not see, is refused with the reason.
func TestUnreachable(t *testing.T) {
	s := besiege(t)
	s.enclosed(t)
	private := filepath.Join(filepath.Dir(s.store), "tool")
	owned := filepath.Join(t.TempDir(), "tool")
	for _, path := range []string{private, owned} {
		write(t, path, "#!/bin/sh\n")
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{private: "that executors do not see", owned: "its mode lets only"} {
		if path == owned && !s.isolation.Foreign {
			continue
		}
		err := s.Start(t.Context(), s.spec("one", path))
		var refusal *backend.StartError
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Start: %v, want %q", err, want)
		}
	}
}

// The installation of root is usually in a directory that is closed to others.
func TestProgramInClosedDirectory(t *testing.T) {
	s := besiege(t)
	s.enclosed(t)
	home := filepath.Join(t.TempDir(), "root")
	write(t, filepath.Join(home, "app", "lib"), "echo library >&2\n")
	write(t, filepath.Join(home, "app", "bin", "tool"), "#!/bin/sh\n. "+home+"/app/lib\ncat $0 "+home+"/key >&2\nexit 3\n")
	write(t, filepath.Join(home, "key"), "private key")
	for path, mode := range map[string]os.FileMode{"app": 0o755, "app/bin": 0o755, "app/lib": 0o644, "app/bin/tool": 0o755,
		"key": 0o644, ".": 0o700} {
		if err := os.Chmod(filepath.Join(home, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(t.Context(), s.spec("one", filepath.Join(home, "app/bin/tool"))); err != nil {
		t.Fatal(err)
	}
	e := nextExit(t, s.Backend)
	if e.Code != 3 || !strings.Contains(e.Detail, "library\n") {
		t.Errorf("exit is %+v", e)
	}
	if s.isolation.Foreign && strings.Contains(e.Detail, "private") {
		t.Errorf("it has read what its command does not name: %+v", e)
	}
}

// The whole package again as a user who is not root.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user; the other tests already run as one")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "process-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "process.test")
	if out, err := exec.Command("cp", self, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o777, copied: 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), copied, "-test.v", "-test.run", "Attack|Survives|Limits|Credentials|Own|Leash|Unreach|Conformance|Supervisor")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, "GOCOVERDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "SKIP") || strings.Contains(line, "executors ") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func TestProbe(t *testing.T) {
	found, err := process.Probe(t.Context(), config(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	complete := found.Enclosed && found.Foreign && found.Limited
	if complete != (found.Missing == "") || found.Foreign && os.Geteuid() != 0 {
		text, _ := json.Marshal(found)
		t.Errorf("found %s", text)
	}
	broken := config(t.TempDir())
	broken.SelfArgs = []string{"no-such-role"}
	if found, _ := process.Probe(t.Context(), broken); found.Enclosed || !strings.Contains(found.Missing, "no-such-role") {
		t.Errorf("found %+v", found)
	}
}
