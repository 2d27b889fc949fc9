package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dagyo/dagyo/pkg/freeport"
)

// patience bounds every wait of a script: it only ever passes when something is broken.
const patience = time.Minute

// raceOptions let commands that are built with the race detector exit at once: by default they wait for a second.
const raceOptions = "atexit_sleep_ms=0"

// Settings of the go command and of this machine's network, for scripts that build programs: the module cache has only
// the versions that this checkout was built with.
var (
	buildSettings = []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB"}
	fetchSettings = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)

// processesKey is where a script's background processes are kept.
type processesKey struct{}

// setup gives a script a port of its own, the sample flows, and a place for its background processes.
func setup(env *testscript.Env) error {
	ports, err := freeport.Find(1)
	if err != nil {
		return err
	}
	checkout, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	flows := filepath.Join(checkout, "tests", "flows")
	port := strconv.Itoa(ports[0])
	env.Setenv("PORT", port)
	env.Setenv("SERVER", "nats://127.0.0.1:"+port)
	env.Setenv("FLOWS", flows)
	env.Setenv("CHECKOUT", checkout)
	for _, name := range buildSettings {
		env.Setenv(name, goEnv(name))
	}
	for _, name := range fetchSettings {
		env.Setenv(name, os.Getenv(name))
	}
	env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
	env.Setenv("USER", "ada")
	env.Setenv("GORACE", raceOptions)
	processes := make(map[string]*process)
	env.Values[processesKey{}] = processes
	env.Defer(func() {
		for _, p := range processes {
			p.kill()
		}
	})
	return nil
}

// goEnv is a setting of the go command.
var goEnv = func() func(name string) string {
	all := sync.OnceValue(func() map[string]string {
		out, _ := exec.Command("go", "env", "-json").Output() // the scripts that need it report that it is missing
		var all map[string]string
		_ = json.Unmarshal(out, &all)
		return all
	})
	return func(name string) string { return all()[name] }
}()

// A process runs in the background of a script.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *transcript
	ended          chan struct{}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func (p *process) stream(ts *testscript.TestScript, name string) *transcript {
	switch name {
	case "stdout":
		return p.stdout
	case "stderr":
		return p.stderr
	}
	ts.Fatalf("%q is neither stdout nor stderr", name)
	return nil
}

// A transcript gathers the first transcriptLimit bytes that a process writes: some write until they are stopped.
type transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // closed and replaced when there is more
}

func newTranscript() *transcript { return &transcript{grown: make(chan struct{})} }

const (
	transcriptLimit = 32 << 20
	loggedLimit     = 64 << 10
)

// Write implements io.Writer.
func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.grown)
	t.grown = make(chan struct{})
	t.text.Write(b[:min(len(b), transcriptLimit-t.text.Len())])
	return len(b), nil
}

func (t *transcript) now() (string, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String(), t.grown
}

// begin NAME COMMAND ARG… starts a process in the background. With ! nobody reads its standard output.
func begin(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: begin NAME COMMAND ARG…")
	}
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	p := &process{stdout: newTranscript(), stderr: newTranscript(), ended: make(chan struct{})}
	p.cmd = exec.Command(path, args[2:]...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if neg {
		r, w, err := os.Pipe()
		ts.Check(err)
		ts.Defer(func() { _ = r.Close() })
		defer w.Close()
		p.cmd.Stdout = w
	}
	p.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "USER", "GORACE", "DAGYO_QUEUE", "DAGYO_TLS_CA", "DAGYO_POLICY"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	ts.Value(processesKey{}).(map[string]*process)[args[0]] = p
}

func named(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processesKey{}).(map[string]*process)[name]
	if p == nil {
		ts.Fatalf("no process %q", name)
	}
	return p
}

// until NAME stdout|stderr REGEXP waits until a process has written something.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: until NAME stdout|stderr REGEXP")
	}
	p := named(ts, args[0])
	want := regexp.MustCompile("(?m)" + args[2])
	timeout := time.After(patience)
	for {
		text, grown := p.stream(ts, args[1]).now()
		if want.MatchString(text) {
			return
		}
		select {
		case <-grown:
		case <-p.ended:
			if text, _ = p.stream(ts, args[1]).now(); !want.MatchString(text) {
				transcripts(ts)
				ts.Fatalf("%s has ended (%v) and did not write %q", args[0], p.cmd.ProcessState, args[2])
			}
		case <-timeout:
			transcripts(ts)
			ts.Fatalf("%s does not write %q", args[0], args[2])
		}
	}
}

func (p *process) log(ts *testscript.TestScript, name string) {
	stdout, _ := p.stdout.now()
	stderr, _ := p.stderr.now()
	ts.Logf("[%s stdout]\n%s[%s stderr]\n%s", name, shortened(stdout), name, shortened(stderr))
}

func shortened(text string) string {
	if len(text) <= loggedLimit {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)\n", text[:loggedLimit], len(text))
}

// transcripts logs what all processes have written.
func transcripts(ts *testscript.TestScript) {
	for name, p := range ts.Value(processesKey{}).(map[string]*process) {
		p.log(ts, name)
	}
}

// signal NAME INT|TERM|KILL|HUP sends a signal.
func signalProcess(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{
		"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP,
	}
	if neg || len(args) != 2 || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME INT|TERM|KILL|HUP")
	}
	ts.Check(named(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// ends NAME CODE waits for a process to end, with that exit code or one of several: 5|130. -1 is a signal.
func ends(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	p := named(ts, args[0])
	select {
	case <-p.ended:
	case <-time.After(patience):
		transcripts(ts)
		ts.Fatalf("%s does not end", args[0])
	}
	p.log(ts, args[0])
	got := strconv.Itoa(p.cmd.ProcessState.ExitCode())
	if !slices.Contains(strings.Split(args[1], "|"), got) {
		ts.Fatalf("%s ended with %s, want %s", args[0], got, args[1])
	}
}

// matches NAME stdout|stderr REGEXP looks at what a process has written so far.
func matches(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: matches NAME stdout|stderr REGEXP")
	}
	text, _ := named(ts, args[0]).stream(ts, args[1]).now()
	if found := regexp.MustCompile("(?m)" + args[2]).MatchString(text); found == neg {
		ts.Fatalf("%s wrote:\n%s", args[0], text)
	}
}

// gone waits until no process of the script is left but those that begin has started, and with ! says
// that there is one.
func gone(ts *testscript.TestScript, neg bool, _ []string) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := processesOf(ts.MkAbs("."))
		switch {
		case neg && len(left) > 0, !neg && len(left) == 0:
			return
		case time.Now().After(deadline):
			ts.Fatalf("processes: %q", left)
		}
		time.Sleep(5 * time.Millisecond) // a process that nobody may wait for has to be looked for
	}
}

// processesOf lists the supervisors and executors whose command line or environment names the folder.
func processesOf(dir string) []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		args, err := os.ReadFile(filepath.Join(p, "cmdline"))
		if err != nil {
			continue
		}
		environ, err := os.ReadFile(filepath.Join(p, "environ"))
		words := strings.Split(string(args), "\x00")
		if err != nil || len(words) < 3 || !slices.Contains([]string{"supervise", "executor", "exec"}, words[1]) {
			continue
		}
		if strings.Contains(string(args), dir) || strings.Contains(string(environ), dir) {
			found = append(found, strings.Join(words, " "))
		}
	}
	return found
}

var _ io.Writer = (*transcript)(nil)
