package progdefs

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dagyo/dagyo/pkg/problem"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func commandOf(t *testing.T, p Progdef) []string {
	t.Helper()
	var d struct{ Command []string }
	if err := json.Unmarshal(p.Document, &d); err != nil {
		t.Fatal(err)
	}
	return d.Command
}

func TestPathsAreRelativeToTheDocument(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bin", "program"), "")
	write(t, filepath.Join(dir, "progdefs", "a.yaml"), `name: a
command: [sh, ../bin/program, ./not-there-yet, plain, /abs, "..", .hidden]
---
name: b
command: [dagyo, exec, --, cat]
---
command: 5
`)
	write(t, filepath.Join(dir, "progdefs", "program.py"), "")
	files, err := Find(filepath.Join(dir, "progdefs"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v", files, err)
	}
	all, err := ReadFile(files[0])
	if err != nil || len(all) != 3 {
		t.Fatalf("got %v, %v", all, err)
	}
	program, later := filepath.Join(dir, "bin/program"), filepath.Join(dir, "progdefs/not-there-yet")
	want := []string{"sh", program, later, "plain", "/abs", "..", ".hidden"}
	if got := commandOf(t, all[0]); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := all[0].Files; !slices.Equal(got, []string{program, later}) {
		t.Errorf("got files %q", got)
	}
	if got := commandOf(t, all[1]); !slices.Equal(got, []string{"dagyo", "exec", "--", "cat"}) {
		t.Errorf("got %q", got)
	}
	if all[1].Name != "b" || all[1].Title() != files[0]+":4" {
		t.Errorf("got %q, %q", all[1].Name, all[1].Title())
	}
}

func TestMissingProgramsHaveAPosition(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, "name: a\ncommand:\n- python3\n- ./gone.py\n---\nname: b\ncommand: [cat]\n")
	all, err := ReadFile(path)
	var problems problem.List
	if !errors.As(err, &problems) || len(problems) != 1 || len(all) != 1 || all[0].Name != "b" {
		t.Fatalf("got %v, %v", all, err)
	}
	if p := problems[0]; p.Line != 4 || p.Column != 3 || p.Pointer != "/command/1" || p.Message != `no file "./gone.py"` {
		t.Errorf("got %+v", p)
	}
}

func TestCoded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, "name: a\ncommand: [cat]\n")
	all, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := all[0].Coded("sha256:1")
	var d struct{ Name, Code string }
	if err != nil || json.Unmarshal(p.Document, &d) != nil || d.Name != "a" || d.Code != "sha256:1" {
		t.Errorf("got %s, %v", p.Document, err)
	}
}
