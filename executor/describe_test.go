package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
)

func sample() Program {
	return Program{
		Name: "pairs", Description: "Makes pairs.", TypeParams: []string{"T"},
		Ports: []Port{Input("in", Any("T")), Input("name", String), Output("in", ListOf(Any("T")))},
		Run:   func(context.Context, *Job) error { return nil },
	}
}

// The printed progdef matches the program.
func TestDescribe(t *testing.T) {
	var out, errs bytes.Buffer
	code, asked := sample().asked([]string{"/bin/other", "describe"}, &out, &errs)
	if code != ExitOK || !asked || errs.Len() > 0 {
		t.Fatalf("exit code %d, %v: %s", code, asked, &errs)
	}
	d, problems := progdef.Check(out.Bytes(), document.DefaultLimits())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if d.Name != "pairs" || d.Description != "Makes pairs." || d.Inputs["in"].Type != "T" ||
		d.Inputs["name"].Type != "utf8-string" || d.Outputs["in"].Type != "list<T>" || len(d.Command) != 1 {
		t.Errorf("got %+v", d)
	}
	if !strings.HasPrefix(d.Code, "sha256:") || len(d.Code) != len("sha256:")+64 {
		t.Errorf("code is %q", d.Code)
	}
	if again, err := sample().Describe("other"); err != nil || !bytes.Contains(again, []byte(d.Code)) {
		t.Errorf("the digest differs, or %v", err)
	}
}

func TestDescribeTakesTheNameOfTheFile(t *testing.T) {
	var out, errs bytes.Buffer
	p := sample()
	p.Name = ""
	if code, _ := p.asked([]string{"./bin/My-Pairs.exe", "describe"}, &out, &errs); code != ExitOK {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	var d struct{ Name string }
	if err := json.Unmarshal(out.Bytes(), &d); err != nil || d.Name != "my-pairs" {
		t.Errorf("%q, %v", d.Name, err)
	}
}

func TestDescribeFails(t *testing.T) {
	nameless, dynamic := sample(), sample()
	nameless.Name, dynamic.Dynamic = "", true
	reserved := sample()
	reserved.Ports = append(reserved.Ports, Input("stop", String))
	for want, p := range map[string]Program{"/name": nameless, "declares no ports": dynamic, "/inputs/stop": reserved} {
		var out, errs bytes.Buffer
		code, asked := p.asked([]string{"a b", "describe"}, &out, &errs)
		if code != ExitBadUsage || !asked || out.Len() > 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("exit code %d, %q; want %q", code, &errs, want)
		}
	}
}

func TestHelpNamesDescribe(t *testing.T) {
	for _, args := range [][]string{{"/bin/pairs", "--help"}, {"/bin/pairs", "-h"}} {
		var out bytes.Buffer
		if code, asked := sample().asked(args, &out, nil); code != ExitOK || !asked ||
			!strings.Contains(out.String(), "pairs describe | dagyo progdef apply -") {
			t.Errorf("%v: exit code %d, %q", args, code, &out)
		}
	}
	for _, args := range [][]string{{"pairs"}, {"pairs", "serve"}, {"pairs", "-h", "1"}} {
		if _, asked := sample().asked(args, nil, nil); asked {
			t.Errorf("%v does not start serving jobs", args)
		}
	}
}

func TestDescribedPathsAreRelative(t *testing.T) {
	project := t.TempDir()
	t.Chdir(project)
	for _, tt := range []struct{ path, folder, want string }{
		{filepath.Join(project, "bin/pairs"), ".", "./bin/pairs"},
		{filepath.Join(project, "bin/pairs"), "progdefs", "../bin/pairs"},
		{filepath.Join(project, "pairs"), project, "./pairs"},
		{"/opt/pairs", ".", "/opt/pairs"},
		{"/opt/pairs", "/opt/progdefs", "/opt/pairs"},
		{"/opt/pairs", "/opt", "./pairs"},
		{"/opt/pairs", "/", "/opt/pairs"},
	} {
		if got, err := relative(tt.path, tt.folder); err != nil || got != tt.want {
			t.Errorf("%s for %s: got %q, %v; want %q", tt.path, tt.folder, got, err, tt.want)
		}
	}
	var out, errs bytes.Buffer
	if code, _ := sample().asked([]string{"pairs", "describe", "a", "b"}, &out, &errs); code != ExitBadUsage {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}
