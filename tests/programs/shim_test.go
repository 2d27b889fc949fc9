package programs

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/executor/shim"
	"github.com/dagyo/dagyo/pkg/trace"
	"github.com/dagyo/dagyo/tests/harness"
)

// shimConfig runs a command, with framings.
func shimConfig(t *testing.T, framing string, command ...string) shim.Config {
	t.Helper()
	c, err := shim.DefaultConfig(command, shim.Settings{Framing: []string{framing}})
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = io.Discard
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func command(t *testing.T, framing string, command ...string) executor.Program {
	t.Helper()
	return shimConfig(t, framing, command...).Program()
}

func sh(t *testing.T, framing, script string) executor.Program {
	t.Helper()
	return command(t, framing, "sh", "-c", script)
}

// needs skips a test if a command is not installed.
func needs(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
}

// Programs that know nothing about Dagyo work unchanged.
func TestCommandsUnchanged(t *testing.T) {
	text, js := "utf8-string", "json"
	py := `import sys
for line in sys.stdin:
    print(line.strip()[::-1], flush=True)`
	tests := []struct {
		name    string
		command []string
		framing string
		in, out []string // typename, records
	}{
		{"cat", []string{"cat"}, "", []string{text, "a", "", "b c"}, []string{text, "a", "", "b c"}},
		{"cat without input", []string{"cat"}, "", []string{text}, []string{text}},
		{"tr", []string{"tr", "a-z", "A-Z"}, "", []string{text, "ab", "c"}, []string{text, "AB", "C"}},
		{"sort", []string{"sort", "-n"}, "", []string{text, "10", "9", "1"}, []string{text, "1", "9", "10"}},
		{"sort -z", []string{"sort", "-z"}, "nul", []string{text, "b\nx", "a"}, []string{text, "a", "b\nx"}},
		{"head", []string{"head", "-n", "2"}, "", []string{text, "1", "2", "3"}, []string{text, "1", "2"}},
		{"length", []string{"cat"}, "length", []string{"x", "a\nb\x00", ""}, []string{"x", "a\nb\x00", ""}},
		{"wc", []string{"wc", "-c"}, "in=raw", []string{"octets", "abc", "de"}, []string{text, "5"}},
		{"jq", []string{"jq", "-c", ".[]"}, "", []string{js, "[1,\n2]", `["\n"]`}, []string{js, "1", "2", `"\n"`}},
		{"python3", []string{"python3", "-c", py}, "", []string{text, "abc", "def"}, []string{text, "cba", "fed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			needs(t, tt.command[0])
			b := newBench(t)
			in, out := b.given(tt.in[0], tt.in[1:]...), b.edge(tt.out[0])
			j := b.run(command(t, tt.framing, tt.command...), edges{"in": in}, edges{"result": out})
			equal(t, "output", b.receive(out), tt.out[1:]...)
			j.done()
		})
	}
}

// With framing raw, bytes pass through in pieces of any size.
func TestRawOctets(t *testing.T) {
	b := newBench(t)
	records := numbers(300, 2000)
	in, out := b.given("octets", records...), b.edge("octets")
	j := b.run(command(t, "", "cat"), edges{"in": in}, edges{"out": out})
	if got := strings.Join(b.receive(out), ""); got != strings.Join(records, "") {
		t.Errorf("got %d bytes, or the content differs", len(got))
	}
	j.done()
}

// Additional ports are file descriptors, and every port is in the environment.
func TestSeveralPorts(t *testing.T) {
	b := newBench(t)
	out, errs := b.edge("utf8-string"), b.edge("json")
	j := b.run(sh(t, "", `paste -d, "$DAGYO_IN_LEFT" "$DAGYO_IN_RIGHT_EYE" >"$DAGYO_OUT_OUT"
		echo "[\"$DAGYO_FLOW\", \"$DAGYO_NODE\", \"$DAGYO_QUEUE\"]" >&$(basename "$DAGYO_OUT_META")`),
		edges{"left": b.given("utf8-string", "1", "2"), "right-eye": b.given("utf8-string", "a", "b")},
		edges{"out": out, "meta": errs})
	equal(t, "out", b.receive(out), "1,a", "2,b")
	equal(t, "meta", b.receive(errs), `["f", "j1", ""]`)
	j.done()
}

// The trace of a job is in the environment of its command, instead of that of the executor, and in the job's events.
func TestTraceOfACommand(t *testing.T) {
	t.Setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	t.Setenv("TRACESTATE", "the=executor's")
	const show = `echo "$TRACEPARENT $TRACESTATE"`
	b := newBench(t)
	out := b.edge("utf8-string")
	b.run(sh(t, "", show), nil, edges{"out": out}).done()
	equal(t, "without a trace", b.receive(out), " ")
	b.trace = trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1")
	out = b.edge("utf8-string")
	j := b.run(sh(t, "", show), nil, edges{"out": out})
	equal(t, "with a trace", b.receive(out), b.trace.Parent+" "+b.trace.State)
	if e := j.end(); e.Trace != b.trace {
		t.Errorf("%s has the trace %+v", e.Type, e.Trace)
	}
}

// A command may have no ports, or only one side.
func TestOneSide(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	out := b.edge("utf8-string")
	j := b.run(sh(t, "", "cat; echo made"), nil, edges{"out": out})
	equal(t, "source", b.receive(out), "made")
	j.done()
	b.run(sh(t, "", "cat >"+dir+"/kept; echo for the log"), edges{"in": b.given("utf8-string", "1", "2")}, nil).done()
	if kept, err := os.ReadFile(filepath.Join(dir, "kept")); string(kept) != "1\n2\n" {
		t.Errorf("kept %q, %v", kept, err)
	}
	b.run(command(t, "", "true"), nil, nil).done()
}

// A command may end normally with the configured exit codes, such as 1 for grep without a match.
func TestAcceptedExitCodes(t *testing.T) {
	for name, tt := range map[string]struct {
		ok, script, panics string
	}{
		"grep finds nothing": {"1", "grep needle", ""},
		"grep finds nothing, else": {"", "grep needle", "error: command `sh` exited with code 1 and wrote nothing to " +
			"standard error; if 1 is a normal end, start it with --exit-ok 1"},
		"grep fails":            {"1", "grep '['", "error: command `sh` exited with code 2"},
		"a shell cannot run it": {"", "exit 127", "error: command `sh` exited with code 127"},
		"one of several":        {"4, 1", "cat >/dev/null; exit 4", ""},
		"a signal is no code":   {"9,137", "kill -9 $$", "killed by signal 9 (killed)"},
		"a shell's own":         {"7", "exit 7", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := shimConfig(t, "", "sh", "-c", tt.script)
			codes, err := shim.ParseExitCodes(tt.ok)
			if err != nil {
				t.Fatal(err)
			}
			c.ExitOK = codes
			out := b.edge("utf8-string")
			j := b.run(c.Program(), edges{"in": b.given("utf8-string", "hay", "stack")}, edges{"out": out})
			if tt.panics == "" {
				equal(t, "out", b.receive(out))
				j.done()
			} else if got := told(j.panic()); !strings.HasSuffix(got, tt.panics) {
				t.Errorf("got %q, want %q", got, tt.panics)
			}
		})
	}
}

func TestCommandsThatFail(t *testing.T) {
	text, js := "utf8-string", "json"
	tests := []struct {
		name, framing, script string
		in, out               []string
		want, detail          string
	}{
		{"exit code", "", "echo one; echo why >&2; exit 3", []string{text, "x"}, []string{text},
			"error: command `sh` exited with code 3", "why\n"},
		{"signal", "", "echo last words >&2; kill -9 $$", []string{text}, []string{text},
			"error: command `sh` was killed by signal 9 (killed)", "last words\n"},
		{"newline in lines", "", "cat", []string{text, "fine", "a\nb"}, []string{text},
			"error at in 1: input in: cannot frame record 1 as lines: it contains a newline", ""},
		{"not UTF-8 from the command", "", `printf 'a\n\377\n'; exec cat`, []string{text, "x"}, []string{text},
			"error at out 1: output out, record 1, framed as lines: it is not utf8-string: not valid UTF-8", ""},
		{"not JSON from the command", "", `echo '{}'; echo '{'`, []string{text}, []string{js},
			"error at out 1: output out, record 1, framed as jsonl: it is not json: unexpected end of JSON input at column 2; it begins with \"{\"", ""},
		{"cut length", "out=length", `printf '\0\0\0\5ab'`, []string{text}, []string{text},
			"error at out 0: output out, record 0, framed as length: the output ends inside it", ""},
		{"not UTF-8 to the command", "", "cat", []string{text, "a", "\xff"}, []string{text},
			"deserialization at in 1: the record is not utf8-string: not valid UTF-8", ""},
		{"no framing", "", "cat", []string{"Result<x>"}, []string{text},
			"error: input in: typename Result<x> has no default framing: choose one", ""},
		{"framing of an unknown port", "n=raw", "cat", []string{text}, []string{text},
			`error: a framing is set for ["n"], but the job has the ports [input in output out]`, ""},
		{"SIGPIPE of its own", "", "kill -13 $$", []string{text}, []string{text},
			"error: command `sh` was killed by signal 13 (broken pipe)", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			in, out := b.given(tt.in[0], tt.in[1:]...), b.edge(tt.out[0])
			p := b.run(sh(t, tt.framing, tt.script), edges{"in": in}, edges{"out": out}).panic()
			if got := told(p); !strings.Contains(got, tt.want) || p.Detail != tt.detail {
				t.Errorf("panic %q, detail %q; want %q, %q", got, p.Detail, tt.want, tt.detail)
			}
		})
	}
}

// A command that is removed after the executor has started causes a clear panic.
func TestCommandIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(path, []byte("#!/no/such/interpreter\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	got := told(b.run(command(t, "", path), nil, nil).panic())
	if want := "the file or its interpreter does not exist"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The tail of standard error is bounded, and a command that writes a lot of it does not block.
func TestMuchStandardError(t *testing.T) {
	b := newBench(t)
	p := b.run(sh(t, "", "i=0; while [ $i -lt 5000 ]; do echo 'line of standard error' $i; i=$((i+1)); done >&2; exit 1"), nil, nil).panic()
	if len(p.Detail) != 8<<10 || !strings.HasSuffix(p.Detail, "line of standard error 4999\n") {
		t.Errorf("detail has %d bytes and ends in %q", len(p.Detail), p.Detail[max(0, len(p.Detail)-40):])
	}
}

// A command that ends without reading everything closes its input early, and ends an endless source.
func TestCommandClosesItsInput(t *testing.T) {
	for name, p := range map[string]executor.Program{
		"exits":   command(t, "", "head", "-n", "3"),
		"goes on": sh(t, "", `head -n 3; exec 0<&-; sleep 0.1; echo '"end"'`),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			number, out := b.edge("json"), b.edge("json")
			counter := b.run(program(t, "counter"), nil, edges{"number": number})
			j := b.run(p, edges{"in": number}, edges{"out": out})
			if got := b.receive(out); !slices.Equal(got[:3], []string{"0", "1", "2"}) {
				t.Errorf("got %q", got)
			}
			equal(t, "closed early", j.done().ClosedEarly, "in")
			counter.done()
		})
	}
}

// If its output has no reader any more, a command ends as in a pipe, which is not a failure.
func TestReaderClosesEarly(t *testing.T) {
	for name, p := range map[string]executor.Program{
		"killed by SIGPIPE": command(t, "", "yes"),
		"error of its own":  sh(t, "", "trap '' PIPE; while echo y; do :; done; exit 7"),
		"through a source":  command(t, "", "cat"),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			inputs := edges{}
			if name == "through a source" {
				inputs["in"] = b.edge("utf8-string")
				b.run(command(t, "", "yes"), nil, edges{"out": inputs["in"]})
			}
			out := b.edge("utf8-string")
			j := b.run(p, inputs, edges{"out": out})
			r := b.reader(out)
			equal(t, "output", b.some(r, 2), "y", "y")
			if err := r.Close(b.ctx()); err != nil {
				t.Fatal(err)
			}
			j.done()
		})
	}
}

// An output whose reader has closed does not block the other output.
func TestOneReaderOfTwoClosesEarly(t *testing.T) {
	b := newBench(t)
	one, two := b.edge("utf8-string"), b.edge("utf8-string")
	j := b.run(sh(t, "", `i=0; while [ $i -lt 20000 ]; do echo "$i for one"; echo "$i for two" >&3; i=$((i+1)); done`),
		nil, edges{"out": one, "two": two})
	r := b.reader(one)
	b.some(r, 1)
	if err := r.Close(b.ctx()); err != nil {
		t.Fatal(err)
	}
	if got := b.receive(two); len(got) != 20000 || got[19999] != "19999 for two" {
		t.Errorf("%d records", len(got))
	}
	j.done()
}

// A reader that does not read blocks the command through its pipe.
func TestBackPressureByThePipe(t *testing.T) {
	b := newBench(t)
	written := filepath.Join(t.TempDir(), "written")
	out := b.edge("utf8-string")
	line := strings.Repeat("x", 1000)
	b.run(sh(t, "", fmt.Sprintf(`i=0; while [ $i -lt 2000 ]; do echo %s; i=$((i+1)); echo $i >%s; done`, line, written)),
		nil, edges{"out": out})
	// The window, the pipe and the splitter's buffers: far less than 2,000 lines.
	stalled, last := 0, ""
	for deadline := time.Now().Add(harness.Patience); stalled < 20 && time.Now().Before(deadline); {
		now, _ := os.ReadFile(written)
		if stalled++; string(now) != last || len(now) == 0 {
			stalled, last = 0, string(now)
		}
		time.Sleep(10 * time.Millisecond) // time for the file to grow
	}
	if n, _ := strconv.Atoi(strings.TrimSpace(last)); n == 0 || n > 600 {
		t.Errorf("the command has written %d lines, but none were read", n)
	}
	if got := len(b.receive(out)); got != 2000 {
		t.Errorf("%d lines", got)
	}
}

// On a stop, the whole process group gets SIGTERM, and SIGKILL if that does not help.
func TestStopEndsTheProcessGroup(t *testing.T) {
	for name, script := range map[string]string{
		"ends by itself": `sleep 600 & echo $!; echo $$; wait`,
		"ignores it":     `trap '' TERM; sleep 600 & echo $!; echo $$; wait; wait`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			out := b.edge("utf8-string")
			c := shimConfig(t, "", "sh", "-c", script)
			c.StopGrace = 200 * time.Millisecond
			j := b.run(c.Program(), nil, edges{"out": out})
			pids := b.some(b.reader(out), 2)
			b.stop()
			if !j.done().Stopped {
				t.Error("job.done does not state that the job was stopped")
			}
			for _, pid := range pids {
				awaitGone(t, pid)
			}
		})
	}
}

// Processes that a command leaves in its group are killed, and do not delay the job.
func TestNothingIsLeftOfTheGroup(t *testing.T) {
	b := newBench(t)
	out := b.edge("utf8-string")
	c := shimConfig(t, "", "sh", "-c", "sleep 600 & echo $!")
	c.StopGrace = 200 * time.Millisecond
	j := b.run(c.Program(), nil, edges{"out": out})
	pids := b.receive(out)
	j.done()
	awaitGone(t, pids[0])
}

// awaitGone waits until a process has exited; a zombie counts as exited.
func awaitGone(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); {
		status, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(status), ") Z ") {
			return
		}
		time.Sleep(5 * time.Millisecond) // not our child, so it cannot be waited for
	}
	t.Errorf("process %s is still running", pid)
}

// Large records pass in both directions, in bounded pieces.
func TestLargeRecords(t *testing.T) {
	b := newBench(t)
	record := strings.Repeat("0123456789", 500_000)
	in, out := b.given("octets", "a", record, "b"), b.edge("octets")
	j := b.run(command(t, "length", "cat"), edges{"in": in}, edges{"out": out})
	got := b.receive(out)
	if len(got) != 3 || got[0] != "a" || got[1] != record || got[2] != "b" {
		t.Errorf("%d records", len(got))
	}
	j.done()
}

// Many jobs run concurrently, each with its own process.
func TestManyCommands(t *testing.T) {
	b := newBench(t)
	var jobs []*job
	outs := make([]string, 20)
	var reading sync.WaitGroup
	for i := range outs {
		in, out := b.given("utf8-string", numbers(200, 20+i)...), b.edge("utf8-string")
		jobs = append(jobs, b.run(command(t, "", "cat"), edges{"in": in}, edges{"out": out}))
		reading.Go(func() { outs[i] = strings.Join(b.receive(out), ",") })
	}
	reading.Wait()
	for i, got := range outs {
		if got != strings.Join(numbers(200, 20+i), ",") {
			t.Errorf("job %d: the records differ", i)
		}
		jobs[i].done()
	}
}

// A failed command is reported soon, even if a reader does not read its output.
func TestFailureBehindSlowReader(t *testing.T) {
	b := newBench(t)
	out := b.edge("utf8-string")
	j := b.run(sh(t, "", "head -c 100000 /dev/zero | tr '\\0' '\\n'; exit 3"), nil, edges{"out": out})
	if got := told(j.panic()); !strings.HasPrefix(got, "error: command `sh` exited with code 3 ") {
		t.Errorf("panic %q", got)
	}
}

// A command may still write after a stop: nothing prevents it from ending.
func TestStoppedCommandKeepsWriting(t *testing.T) {
	b := newBench(t)
	one, two := b.edge("utf8-string"), b.edge("utf8-string")
	j := b.run(sh(t, "", `trap 'head -c 1000000 /dev/zero | tr "\0" "\n"; echo end >&3; exit 0' TERM
		echo ready >&3; while :; do sleep 0.01; done`), nil, edges{"out": one, "two": two})
	b.some(b.reader(two), 1)
	began := time.Now()
	b.stop()
	if !j.done().Stopped {
		t.Error("job.done does not state that the job was stopped")
	}
	if took := time.Since(began); took > shim.DefaultStopGrace-time.Second {
		t.Errorf("it took %v: the command was killed", took)
	}
}

// A stream that stops the node ends the command's inputs, so that it can write its remaining output.
func TestStreamStopsTheCommand(t *testing.T) {
	for name, test := range map[string]struct {
		program executor.Program
		in      bool
		want    string
	}{
		"by its input":                 {sh(t, "", "read first; echo $first; sort -n"), true, "127"}, // a counter writes 128 at once
		"by SIGTERM":                   {sh(t, "", "trap 'echo last; exit 1' TERM; echo 0; while :; do sleep 0.01; done"), false, "last"},
		"by SIGTERM, which it handles": {sh(t, "", "trap '' TERM; cat"), true, "127"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			stop, out := b.edge("x"), b.edge("json")
			inputs := edges{"stop": stop}
			if test.in {
				inputs["in"] = b.edge("json")
				b.run(program(t, "counter"), nil, edges{"number": inputs["in"]})
			} else {
				out = b.edge("utf8-string")
			}
			j := b.run(test.program, inputs, edges{"out": out})
			r := b.reader(out)
			b.some(r, 1)
			b.send(stop, "enough")
			if got := b.rest(r); !slices.Contains(got, test.want) {
				t.Errorf("%d records without %q", len(got), test.want)
			}
			if done := j.done(); done.Stopped || done.Inputs["stop"].Records != 1 {
				t.Errorf("%+v", done)
			}
		})
	}
}
