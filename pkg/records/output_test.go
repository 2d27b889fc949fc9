package records

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// open opens outputs that are written as NAME=VALUE.
func open(values ...string) (map[string]*Output, error) {
	var specs []Spec
	for _, text := range values {
		name, value, _ := strings.Cut(text, "=")
		specs = append(specs, ParseSpec(name, value, ""))
	}
	outputs, err := OpenOutputs(specs, nil)
	byName := make(map[string]*Output)
	for _, o := range outputs {
		byName[o.Name] = o
	}
	return byName, err
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A file is emptied when the flow begins, not before.
func TestOutputsAreEmptiedAtTheBeginning(t *testing.T) {
	inFolder(t, map[string]string{"old": "old"})
	out, err := open("a=old", "b=new", "c=@folder/")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		o.discard()
	}
	if content(t, "old") != "old" {
		t.Error("a file was emptied by a flow that did not begin")
	}
	for _, path := range []string{"new", "folder"} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left of a flow that did not begin: %v", path, err)
		}
	}
	if out, err = open("a=old", "b=new", "c=@folder/"); err != nil {
		t.Fatal(err)
	}
	for name, o := range out {
		f, err := o.Begin(t.Context())
		if err != nil || (f == nil) != (name == "c") {
			t.Fatal(name, f, err)
		}
		if f != nil {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
		o.discard()
	}
	if content(t, "old") != "" || content(t, "new") != "" {
		t.Error("a file is not empty")
	}
	if info, err := os.Stat("folder"); err != nil || !info.IsDir() {
		t.Errorf("the folder of a flow without records is gone: %v", err)
	}
}

func TestOutputsThatCannotBeOpened(t *testing.T) {
	inFolder(t, map[string]string{
		"full/a.txt": "", "mixed/a.txt": "", "mixed/.hidden": "", "file": "", "hidden/.keep": "", "twice/": "",
	})
	for values, want := range map[string]string{
		"o=":                           "output o: no file",
		"o=@":                          "output o: no file",
		"o=nowhere/x":                  "output o: open nowhere/x: no such file or directory",
		"o=file/x":                     "output o: open file/x: not a directory",
		"o=full":                       "output o: full names a folder or a pattern: write --output o=@full",
		"o=new/":                       "output o: new/ names a folder or a pattern: write --output o=@new/",
		"o=new/*.png":                  "output o: new/*.png names a folder or a pattern: write --output o=@new/*.png",
		"o=@full":                      "output o: full already has files such as a.txt: use an empty or a new folder",
		"o=@mixed/*.txt":               "output o: mixed already has files such as a.txt",
		"o=@nowhere/new/":              "output o: mkdir nowhere/new/: no such file or directory",
		"o=@full/*-*.png":              "output o: full/*-*.png has more than one *",
		"o=@file/*.png":                "output o: ",
		"a=@twice b=@twice/":           "outputs a and b could write the same file in twice",
		"a=@twice b=@twice/*.png":      "outputs a and b could write the same file in twice",
		"a=@twice/*.png b=twice/x":     "",
		"b=twice/0.png a=@twice/*.png": "outputs a and b could write the same file in twice",
		"a=@twice/a-*.png b=@twice/b-*.png c=@twice/a-*.txt": "",
		"o=@hidden":      "",
		"o=@mixed/*.png": "",
		"o=/dev/full":    "",
		"o=-":            "",
	} {
		out, err := open(strings.Fields(values)...)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: got %v, want %s", values, err, want)
		}
		for _, o := range out {
			o.discard()
		}
	}
	if left, _ := filepath.Glob("*/*"); len(left) != 4 { // those of full, mixed and hidden
		t.Errorf("left: %q", left)
	}
}

func TestEachRecordIsAFile(t *testing.T) {
	inFolder(t, nil)
	out, err := open("text=@text/", "json=@json/", "raw=@raw/", "named=@n/p-*.png")
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"text": "text/00000001.txt", "json": "json/00000001.json", "raw": "raw/00000001.bin", "named": "n/p-00000001.png",
	} {
		typename := map[string]string{"text": TypeText, "json": TypeJSON}[name]
		for n, record := range []string{"../../escape", "\x00\n"} {
			if err := out[name].WriteEach(int64(n), orOctets(typename), []byte(record)); err != nil {
				t.Error(err)
			}
		}
		if got := content(t, path); got != "\x00\n" {
			t.Errorf("%s: %q", path, got)
		}
		if err := out[name].WriteEach(1, orOctets(typename), nil); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s: a file was written over: %v", name, err)
		}
	}
}

func orOctets(typename string) string {
	if typename == "" {
		return "octets"
	}
	return typename
}

func TestFormatsOfOutputs(t *testing.T) {
	inFolder(t, nil)
	for value, want := range map[string]Format{"f": Base64, "@f": Whole, "@d/": Whole, "-": Base64, "@-": Whole} {
		out, err := open("o=" + value)
		if err != nil {
			t.Fatal(err)
		}
		o := out["o"]
		if got := o.FormatOf("octets"); got != want {
			t.Errorf("%s: octets are written as %s, want %s", value, got, want)
		}
		if got := o.FormatOf(TypeText); got != Lines && !o.Each() {
			t.Errorf("%s: text is written as %s", value, got)
		}
		o.discard()
	}
}

// A pipe waits for its reader, and no longer than the context.
func TestOutputPipes(t *testing.T) {
	inFolder(t, nil)
	if err := syscall.Mkfifo("p", 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := open("o=p")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, os.ErrDeadlineExceeded)
	defer cancel()
	if f, err := out["o"].Begin(ctx); f != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, %v", f, err)
	}
	reader, err := os.OpenFile("p", os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f, err := out["o"].Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// One file is one file, whatever its paths and links are.
func TestConflicts(t *testing.T) {
	inFolder(t, map[string]string{"f": "kept", "other": "", "d/": ""})
	err := errors.Join(os.Symlink("f", "symlink"), os.Symlink("d", "dlink"), os.Link("f", "hardlink"),
		os.Symlink("new", "tonew"), syscall.Mkfifo("p", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		input   string
		outputs string
		wrong   bool
	}{
		{"f", "o=f", true}, {"f", "o=./d/../f", true}, {"f", "o=symlink", true}, {"symlink", "o=f", true},
		{"f", "o=hardlink", true}, {"@f*", "o=f", true}, {"@hard*", "o=symlink", true},
		{"f", "o=other", false}, {"other", "o=new", false}, {"f", "o=@f", true},
		{"other", "o=new p=new", true}, {"other", "o=new p=tonew", true}, {"other", "o=d/new p=dlink/new", true},
		{"f", "o=symlink p=hardlink", true}, {"p", "o=p", true}, {"other", "o=p q=p", true},
		{"/dev/null", "o=/dev/null p=/dev/null", false},
	} {
		in, err := OpenInput(ParseSpec("i", c.input, ""), nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := open(strings.Fields(c.outputs)...)
		if err != nil {
			t.Fatal(err)
		}
		uses := in.Uses()
		for _, o := range out {
			uses = append(uses, o.Uses()...)
		}
		if err := Conflict(uses); (err != nil) != c.wrong {
			t.Errorf("input %s, outputs %s: %v", c.input, c.outputs, err)
		}
		for _, o := range out {
			o.discard()
		}
	}
	first, err := OpenInput(ParseSpec("a", "p", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenInput(ParseSpec("b", "p", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "input a (p) and input b (p) are the same pipe: use another file"
	if err := Conflict(append(first.Uses(), second.Uses()...)); err == nil || err.Error() != want {
		t.Errorf("two readers of a pipe: %v", err)
	}
	if content(t, "f") != "kept" {
		t.Error("the file is gone")
	}
	f, err := os.OpenFile("f", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read := []Use{{Who: "input i", Info: StreamUse(f, "", false).Info}}
	if err := Conflict(append(read, StreamUse(f, "standard output", true))); err == nil ||
		!strings.HasPrefix(err.Error(), "input i and standard output are the same file") {
		t.Errorf("standard output: %v", err)
	}
}
