package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// feedJSON has one input and one output, twoJSON two of each.
const (
	feedJSON = `{"nodes": {"hello": {"progdef": "greet"}}, "inputs": {"names": "hello.name"},
		"outputs": {"greetings": "hello.greeting"}}`
	twoJSON = `{"nodes": {"a": {"progdef": "greet"}, "b": {"progdef": "greet"}},
		"inputs": {"left": "a.name", "right": "b.name"}, "outputs": {"x": "a.greeting", "y": "b.greeting"}}`
)

// Whatever is wrong with the files is refused before there is a server, and nothing was touched.
func TestFilesAreRefusedFirst(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"feed.json": feedJSON, "two.json": twoJSON, "names.txt": "Ada\n", "out": "kept\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link("out", "same"); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"feed.json":                                                                               "input names of the flow is not fed: add --input names=FILE",
		"feed.json --input names":                                                                 "must be NAME=FILE",
		"feed.json --input names=":                                                                "must be NAME=FILE",
		"feed.json --input =x":                                                                    "must be NAME=FILE",
		"feed.json --input names=a --input names=b":                                               "names is set twice",
		"feed.json --input naems=names.txt":                                                       `--input: the flow has no input "naems": did you mean "names"? It has names`,
		"feed.json --input names=names.txt --input more=-":                                        `--input: the flow has no input "more"; it has names`,
		"feed.json --input names=missing":                                                         "input names: stat missing: no such file or directory",
		"feed.json --input names=.":                                                               "input names: . is a folder: write --input names=@.",
		"feed.json --input names=@*.png":                                                          "input names: no file matches *.png",
		"feed.json --input names=- --input-format names=raw":                                      `--input-format: names: unknown format "raw"`,
		"feed.json --input names=- --input-format nmaes=lines":                                    `--input-format: the flow has no input "nmaes"`,
		"feed.json --input names=- --output greeting=x":                                           `--output: the flow has no output "greeting": did you mean "greetings"? It has greetings`,
		"feed.json --input names=- --output greetings=":                                           "greetings=- for standard output",
		"feed.json --input names=- --output greetings=a -o greetings=b":                           "greetings is set twice",
		"feed.json --input names=- --output greetings=nowhere/x":                                  "output greetings: open nowhere/x: no such file or directory",
		"feed.json --input names=- --output greetings=.":                                          "output greetings: . names a folder or a pattern: write --output greetings=@.",
		"feed.json --input names=- --output greetings=@.":                                         "output greetings: . already has files such as",
		"feed.json --input names=names.txt --output greetings=names.txt":                          "input names (names.txt) and output greetings (names.txt) are the same file",
		"feed.json --input names=out --output greetings=same":                                     "input names (out) and output greetings (same) are the same file",
		"feed.json --input names=names.txt --output greetings=feed.json":                          "the flow document (feed.json) and output greetings (feed.json) are the same file",
		"feed.json --input names=- -o json --output-format greetings=jsonl":                       "--output json prints records as JSON",
		"feed.json --input names=- -o json --output greetings=@-":                                 "--output json prints records as JSON",
		"two.json --input left=names.txt":                                                         "input right of the flow is not fed",
		"two.json --input left=- --input right=-":                                                 "--input right=-: standard input is already used as input left",
		"two.json --input left=names.txt --input right=names.txt --output x=out --output y=same":  "output x (out) and output y (same) are the same file",
		"two.json --input left=names.txt --input right=names.txt --output x=new --output y=./new": "output x (new) and output y (./new) are the same file",
		"two.json --input left=names.txt --input right=names.txt --output x=@-":                   "only one output can be written to standard output as raw bytes, not x, y",
		"- --input names=-":                                                                       "--input names=-: standard input is already used as the flow document",
	} {
		code, out, stderr := call(t, feedJSON, append([]string{"run", "-s", "nats://127.0.0.1:1"}, strings.Fields(args)...)...)
		if code != ExitUsage || !strings.Contains(stderr, want) || out != "" {
			t.Errorf("run %s: %d %s%s; want %s", args, code, out, stderr, want)
		}
	}
	if kept, err := os.ReadFile("out"); string(kept) != "kept\n" {
		t.Errorf("an output holds %q, %v", kept, err)
	}
	if left, _ := filepath.Glob("*"); len(left) != 5 {
		t.Errorf("left: %q", left)
	}
}

// The format of an output that attach does not read is not ignored.
func TestFormatsNeedAFile(t *testing.T) {
	o := newFileOptions()
	o.outputs["x"], o.outputFormats["y"] = "-", "lines"
	_, err := new(app).openFiles(o, []string{"x"}, "")
	if want := "--output-format y=lines: set the file with --output y=FILE"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// A file stays as it is where the flow cannot be submitted.
func TestFilesStayWhereThereIsNoServer(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{"feed.json": feedJSON, "names.txt": "Ada\n", "out": "kept\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, output := range []string{"out", "new", "@folder/"} {
		code, _, stderr := call(t, "", "run", "-s", "nats://127.0.0.1:1", "feed.json", "--input", "names=names.txt",
			"--output", "greetings="+output)
		if code != ExitFailed || !strings.Contains(stderr, "no NATS server answers") {
			t.Errorf("%d %s", code, stderr)
		}
	}
	if kept, err := os.ReadFile("out"); string(kept) != "kept\n" {
		t.Errorf("the output holds %q, %v", kept, err)
	}
	if left, _ := filepath.Glob("*"); len(left) != 3 {
		t.Errorf("left: %q", left)
	}
}

// Standard output and standard error are files, too.
func TestStandardStreamsAreFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{"feed.json": feedJSON, "names.txt": "Ada\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile("names.txt", os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := os.Open("feed.json")
	if err != nil {
		t.Fatal(err)
	}
	defer doc.Close()
	var other bytes.Buffer
	server := []string{"run", "-s", "nats://127.0.0.1:1", "feed.json"}
	for want, i := range map[string]Invocation{
		"input names (names.txt) and standard output are the same file": {
			Args: append(server, "--input", "names=names.txt"), Out: f, Err: &other,
		},
		"input names and standard output are the same file": {
			Args: append(server, "--input", "names=-"), In: f, Out: f, Err: &other,
		},
		"the flow document and output greetings (feed.json) are the same file": {
			Args: append([]string{"run", "-s", "nats://127.0.0.1:1", "-"}, "--input", "names=/dev/null", "--output", "greetings=feed.json"),
			In:   doc, Out: &other, Err: &other,
		},
		"output greetings (names.txt) and standard error are the same file": {
			Args: append(server, "--input", "names=/dev/null", "--output", "greetings=names.txt"), Out: &other, Err: f,
		},
	} {
		other.Reset()
		i.Env = func(string) string { return "" }
		code := Run(t.Context(), i)
		said, err := os.ReadFile("names.txt")
		if code != ExitUsage || err != nil || !strings.Contains(other.String()+string(said), want) {
			t.Errorf("%d %s%s, %v; want %s", code, other.String(), said, err, want)
		}
	}
}

// What a command prints and cannot write is its failure, or is at least reported.
func TestLostOutputIsAFailure(t *testing.T) {
	for args, want := range map[string]int{
		"version": ExitFailed, "validate -": ExitFailed, "validate -o json -": ExitFailed, "graph -": ExitFailed,
		"help run": ExitFailed, "run --help": ExitFailed, "validate no-flow.json": ExitRejected,
		"validate -o json no-flow.json": ExitRejected, "run -o json no-flow.json": ExitRejected,
	} {
		t.Chdir(t.TempDir())
		if err := os.WriteFile("no-flow.json", []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		code := Run(t.Context(), Invocation{
			Args: append([]string{"-s", "nats://127.0.0.1:1"}, strings.Fields(args)...),
			In:   strings.NewReader(`{"nodes": {}}`), Out: &failing{left: 3, err: syscall.ENOSPC}, Err: &stderr,
			Env: func(string) string { return "" },
		})
		if code != want || strings.Count(stderr.String(), "no space left on device") != 1 {
			t.Errorf("%s: %d %s", args, code, stderr.String())
		}
	}
}

func TestOutlast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other, over := context.WithCancel(t.Context())
		ctx, stop := outlast(t.Context(), other, time.Hour, errNoReader)
		defer stop()
		time.Sleep(24 * time.Hour)
		over()
		time.Sleep(time.Hour - 1)
		if ctx.Err() != nil {
			t.Error("it ended before its time")
		}
		<-ctx.Done()
		if cause := context.Cause(ctx); cause != errNoReader {
			t.Errorf("the cause is %v", cause)
		}
	})
}
