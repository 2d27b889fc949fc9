package flowtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
)

// A Progdef is a progdef that is applied before the test cases run.
type Progdef struct {
	File     string
	Name     string
	Document []byte // JSON
	source   docfile.Document
}

// Locate returns problems of the progdef with their positions in its file.
func (p Progdef) Locate(problems problem.List) problem.List { return p.source.Locate(problems) }

// gatherProgdefs reads the progdefs of the test cases. All test cases of a run share one catalogue, so
// a name must have the same definition everywhere.
func gatherProgdefs(cases []Case, faults *Faults) []Progdef {
	var out []Progdef
	first := make(map[string]Progdef)
	for _, dir := range progdefDirs(cases) {
		for _, p := range readProgdefs(dir, faults) {
			switch other, known := first[p.Name]; {
			case !known:
				first[p.Name] = p
				out = append(out, p)
			case !bytes.Equal(other.Document, p.Document):
				faults.say(p.File, ambiguous, fmt.Sprintf("%s defines the progdef %q differently", other.File,
					p.Name), "all test cases of a run share one catalogue: rename one, or test the folders one by one")
			}
		}
	}
	return out
}

// progdefDirs lists the folders of progdefs beside each test case and above it in its path.
func progdefDirs(cases []Case) []string {
	var out []string
	for _, c := range cases {
		for dir := c.Dir; ; dir = filepath.Dir(dir) {
			out = append(out, filepath.Join(dir, progdefsDir))
			if parent := filepath.Dir(dir); parent == dir || filepath.Base(dir) == ".." {
				break
			}
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(dir string) bool {
		info, err := os.Stat(dir)
		return err != nil || !info.IsDir()
	})
}

// readProgdefs reads the documents in one folder; other files in it belong to the programs.
func readProgdefs(dir string, faults *Faults) []Progdef {
	entries, err := os.ReadDir(dir)
	if err != nil {
		faults.add(dir, err)
	}
	var out []Progdef
	for _, e := range entries {
		if _, known := documentStem(e.Name()); !known || e.IsDir() {
			continue
		}
		out = append(out, readProgdefFile(filepath.Join(dir, e.Name()), faults)...)
	}
	return out
}

// readProgdefFile reads all documents of a file.
func readProgdefFile(path string, faults *Faults) (out []Progdef) {
	all, err := docfile.ReadFileAll(path)
	if err != nil {
		faults.add(path, err)
	}
	for _, d := range all {
		p := Progdef{File: path, source: d}
		if p.Name, p.Document, err = placed(d.JSON, filepath.Dir(path)); err != nil {
			faults.add(path, err)
			continue
		}
		out = append(out, p)
	}
	return out
}

// placed makes the paths in a progdef's command absolute: words that start with ./ or ../ are relative
// to the document, independent of the executor's working directory. The validator reports what is wrong
// with the document.
func placed(raw []byte, dir string) (name string, document []byte, err error) {
	var tree map[string]any
	if json.Unmarshal(raw, &tree) != nil {
		return "", raw, nil
	}
	name, _ = tree["name"].(string)
	command, _ := tree["command"].([]any)
	if dir, err = filepath.Abs(dir); err != nil {
		return name, nil, err
	}
	moved := false
	for i, word := range command {
		path, _ := word.(string)
		if strings.HasPrefix(path, "./") || strings.HasPrefix(path, "../") {
			command[i], moved = filepath.Join(dir, path), true
		}
	}
	if !moved {
		return name, raw, nil
	}
	document, err = json.Marshal(tree)
	return name, document, err
}
