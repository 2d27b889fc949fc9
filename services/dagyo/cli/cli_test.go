package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call runs the command without a process around it.
func call(t *testing.T, in string, args ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), Invocation{
		Args: args, In: strings.NewReader(in), Out: &stdout, Err: &stderr,
		Env: func(string) string { return "" },
	})
	return code, stdout.String(), stderr.String()
}

func TestExitCodesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/exit-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	help := regexp.MustCompile(`(?m)^  (\d+) +(.*)$`).FindAllStringSubmatch(exitCodes, -1)
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`).FindAllStringSubmatch(
		strings.ReplaceAll(string(page), "`", ""), -1)
	if len(help) == 0 || len(help) != len(rows) {
		t.Fatalf("the help has %d codes, the page %d", len(help), len(rows))
	}
	for i := range help {
		if help[i][1] != rows[i][1] || help[i][2] != rows[i][2] {
			t.Errorf("the help says %q, the page %q", help[i][1:], rows[i][1:])
		}
	}
}

func TestWrongArguments(t *testing.T) {
	for line, want := range map[string]string{
		"show":          "0 arguments given; usage: dagyo show FLOW-ID",
		"watch a b":     "2 arguments given; usage: dagyo watch [FLOW-ID]",
		"types apply":   "0 arguments given; usage: dagyo types apply FILE…",
		"schema x":      `unexpected argument "x"; usage: dagyo schema {flow | policy | progdef | sign-in | test | type | webhook}`,
		"ls x":          `unexpected argument "x": the command takes none`,
		"progdef ls x":  `unexpected argument "x": the command takes none`,
		"progdef aply":  `unknown command "aply" for "dagyo progdef"`,
		"events nosuch": `unknown command "nosuch" for "dagyo events"`,
		"nosuch":        `unknown command "nosuch" for "dagyo"`,

		"help nosuch":         `unknown help topic "nosuch"`,
		"help run x":          `unknown help topic "run x"`,
		"help progdef nosuch": `unknown help topic "progdef nosuch"`,
		"help help x":         `unknown help topic "help x"`,
		"exit-codes x":        `unexpected argument "x": the command takes none`,
		"records x":           `unexpected argument "x": the command takes none`,
		"completion nosuch":   `unknown command "nosuch" for "dagyo completion"`,
		"progdef aply --help": `unknown command "aply" for "dagyo progdef"`,
		"completion x -h":     `unknown command "x" for "dagyo completion"`,
		"completion bash x":   `unexpected argument "x": the command takes none`,
	} {
		code, out, err := call(t, "", strings.Fields(line)...)
		if code != ExitUsage || out != "" || !strings.HasPrefix(err, "dagyo: "+want+"\n") {
			t.Errorf("dagyo %s: exit code %d, %q, %q; want %q", line, code, out, err, want)
		}
	}
	for line, want := range map[string]string{
		"progdef": "dagyo progdef [command]", "completion": "dagyo completion [command]", "exit-codes": "Exit codes:",
		"help": "  help             Help about any command\n", "help progdef apply": "dagyo progdef apply",
		"progdef -h": "dagyo progdef [command]", "types json --help": "dagyo types [NAME]",
		"help exit-codes": "Exit codes:", "exit-codes --help": "Exit codes:",
	} {
		if code, out, _ := call(t, "", strings.Fields(line)...); code != ExitOK || !strings.Contains(out, want) {
			t.Errorf("dagyo %s: exit code %d, %q; want %q", line, code, out, want)
		}
	}
}

// Every command, at any depth, rejects an argument that it does not know.
func TestEveryGroupRejectsUnknownWords(t *testing.T) {
	a := &app{Invocation: Invocation{Env: func(string) string { return "" }}}
	foreign := []string{"exec", "conformance"} // their arguments are a command
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			check(sub)
		}
		if cmd.Args == nil && cmd.HasParent() && !slices.Contains(foreign, cmd.Name()) {
			t.Errorf("%s accepts any arguments", cmd.CommandPath())
		}
	}
	check(a.root())
}

func TestErrorsHaveTheirCodes(t *testing.T) {
	for err, want := range map[error]int{
		errors.New("anything"):                             ExitFailed,
		usage(errors.New("wrong")):                         ExitUsage,
		errors.Join(problem.List{{Code: problem.NotJSON}}): ExitRejected,
		client.ErrUnknownFlow:                              ExitNotFound,
		client.ErrUnknownProgdef:                           ExitNotFound,
		client.ErrUnknownType:                              ExitNotFound,
		errInterrupted:                                     ExitInterrupted,
		told(ExitPanic):                                    ExitPanic,
	} {
		if code, _ := codeOf(err); code != want {
			t.Errorf("%v stands for %d, want %d", err, code, want)
		}
	}
}

func TestEveryEndOfAFlowHasACode(t *testing.T) {
	seen := map[int]contract.Type{}
	for _, entry := range contract.Table {
		if !contract.IsVerdict(entry.Type) && entry.Type != contract.TypeFlowRejected {
			continue
		}
		code := verdictCode(entry.Type)
		if other, twice := seen[code]; twice || code == ExitFailed {
			t.Errorf("%s has the code %d, as has %q", entry.Type, code, other)
		}
		seen[code] = entry.Type
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	a := &app{Invocation: Invocation{Env: func(string) string { return "" }}}
	for _, cmd := range a.root().Commands() {
		code, out, stderr := call(t, "", "help", cmd.Name())
		if code != ExitOK || !strings.Contains(out, "Usage:") && cmd.GroupID != groupTopics {
			t.Errorf("help %s exits with %d: %s%s", cmd.Name(), code, out, stderr)
		}
		if cmd.Short == "" {
			t.Errorf("%s says nothing in the list", cmd.Name())
		}
	}
}

func TestValidateReadsYAMLFromStandardInput(t *testing.T) {
	code, out, stderr := call(t, "nodes:\n  a: {progdef: nothing}\n",
		"--server", "nats://127.0.0.1:1", "validate", "-")
	if code != ExitRejected || !strings.Contains(out, `progdef "nothing" not found`) ||
		!strings.Contains(stderr, "no validator answered at nats://127.0.0.1:1") {
		t.Errorf("exits with %d: %s%s", code, out, stderr)
	}
}

func TestBrokenFlowsAreRejected(t *testing.T) {
	for _, command := range []string{"run", "submit"} {
		code, out, _ := call(t, `{"nodes": `, command, "--id", "f", "--output", "json", "-")
		if code != ExitRejected || !strings.HasPrefix(out, `{"flow":"f","verdict":"flow.rejected","data":{"problems":[`) {
			t.Errorf("%s: %d, %s", command, code, out)
		}
	}
}

func TestNoServerIsSaidAtOnce(t *testing.T) {
	code, _, stderr := call(t, "", "--server", "nats://127.0.0.1:1", "ls")
	if code != ExitFailed || !strings.Contains(stderr, "no NATS server answers") {
		t.Errorf("exits with %d: %s", code, stderr)
	}
}

func TestIDsAreNames(t *testing.T) {
	for _, path := range []string{
		"flow.json", "-", "/a/b/My Flow (2).yaml", "Straße.json", ".json", "a.b.c",
		strings.Repeat("x", 300), "--.json", "_x_.json",
	} {
		id := newID(path)
		if !document.ValidName(id) {
			t.Errorf("%q gives the id %q", path, id)
		}
	}
	if a, b := newID("f.json"), newID("f.json"); a == b {
		t.Errorf("twice %s", a)
	}
}

func TestReadDocument(t *testing.T) {
	dir := t.TempDir()
	a := &app{Invocation: Invocation{In: strings.NewReader("")}}
	for _, c := range []struct {
		name, text, want string
		code             problem.Code
	}{
		{name: "a.json", text: `{"nodes": {}}`, want: `{"nodes": {}}`},
		{name: "b.yaml", text: "nodes: {}\n", want: `{"nodes":{}}`},
		{name: "c.yaml", text: `{"a": 1, "a": 2}`, want: `{"a": 1, "a": 2}`}, // as it stands
		{name: "h.yaml", text: "nodes: {}\n---\nnodes: {}\n", code: problem.TooMany},
		{name: "d.json", text: `{"nodes": `, code: problem.NotJSON},
		{name: "e.yaml", text: "a: [", code: problem.NotJSON},
		{name: "f.yaml", text: " \n", code: problem.NotJSON},
		{name: "g.json", text: strings.Repeat(" ", event.SizeLimit) + "{}", code: problem.TooLarge},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := a.readDocument(path)
		var problems problem.List
		errors.As(err, &problems)
		switch {
		case c.code != "" && (len(problems) != 1 || problems[0].Code != c.code):
			t.Errorf("%s: got %v, want a problem %s", c.name, err, c.code)
		case c.code == "" && (err != nil || strings.TrimSpace(string(got)) != c.want):
			t.Errorf("%s: got %s, %v", c.name, got, err)
		}
	}
}

func TestRecordsInJSON(t *testing.T) {
	for _, c := range []struct{ typename, record, want string }{
		{"utf8-string", "<Ada>", `{"output":"o","record":"<Ada>"}`},
		{"json", `{"a": 1}`, `{"output":"o","record":{"a":1}}`},
		{"json", `not json`, `{"output":"o","base64":"bm90IGpzb24="}`},
		{"octets", "", `{"output":"o","base64":""}`},
		{"utf8-string", "a\xff", `{"output":"o","base64":"Yf8="}`},
	} {
		line := recordJSON(nil, "o", c.typename, []byte(c.record))
		if string(line) != c.want+"\n" {
			t.Errorf("%s %q: got %s", c.typename, c.record, line)
		}
	}
}

func TestSignalsAreCounted(t *testing.T) {
	signals := make(chan os.Signal, 2)
	a := &app{desk: newDesk(signals)}
	a.desk.start()
	defer a.desk.stop()
	in, stop := a.interrupts()
	signals <- os.Interrupt
	<-in.first
	select {
	case <-in.second:
		t.Error("one signal counts as two")
	default:
	}
	signals <- os.Interrupt
	<-in.second
	stop()

	ctx, end := a.untilInterrupt(t.Context())
	signals <- os.Interrupt
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), errInterrupted) {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
	end()
}
