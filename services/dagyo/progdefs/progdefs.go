// Package progdefs reads progdefs from files of this machine. The command of such a progdef may name files relative to
// its document: words that begin with ./ or ../ are made absolute, so that they do not depend on the directory in
// which an executor starts.
package progdefs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
)

// missingFile is the code of the problem that the program of a command does not exist.
const missingFile problem.Code = "missing-file"

// A Progdef is a progdef in a file.
type Progdef struct {
	File string
	// Name is "" if the document has none; the validator reports that.
	Name     string
	Document []byte // JSON
	// Files are the absolute paths that the command names relative to the document.
	Files  []string
	source docfile.Document
}

// Locate returns problems of the progdef with their positions in its file.
func (p Progdef) Locate(problems problem.List) problem.List { return p.source.Locate(problems) }

// Title names the document in messages: its file and its first line.
func (p Progdef) Title() string { return fmt.Sprintf("%s:%d", p.File, p.source.Line) }

// Find lists the documents directly in a folder, sorted. Other files in it belong to the programs.
func Find(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

// ReadFile reads all progdefs of a file. If some are invalid, it returns the others, and the problems as a problem.List.
func ReadFile(path string) ([]Progdef, error) {
	all, err := docfile.ReadFileAll(path)
	if err != nil {
		return nil, err
	}
	var out []Progdef
	var wrong problem.List
	for _, d := range all {
		p, err := Place(d, path)
		var problems problem.List
		switch {
		case errors.As(err, &problems):
			wrong = append(wrong, problems...)
		case err != nil:
			return nil, err
		default:
			out = append(out, p)
		}
	}
	if len(wrong) > 0 {
		return out, wrong
	}
	return out, nil
}

// Ordered returns progdefs in an order in which they can be published: see [progdef.Ordered].
func Ordered(all []Progdef) []Progdef {
	return progdef.Ordered(all, func(p Progdef) []byte { return p.Document })
}

// Place returns the progdef in a document of a file, with absolute paths in its command. The first of them is the
// program: it must exist. Everything else that may be wrong with the document is left to the validator.
func Place(d docfile.Document, file string) (Progdef, error) {
	p := Progdef{File: file, Document: d.JSON, source: d}
	var tree map[string]any
	if json.Unmarshal(d.JSON, &tree) != nil {
		return p, nil
	}
	p.Name, _ = tree["name"].(string)
	command, _ := tree["command"].([]any)
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return p, err
	}
	for i, word := range command {
		path, _ := word.(string)
		if !strings.HasPrefix(path, "./") && !strings.HasPrefix(path, "../") {
			continue
		}
		full := filepath.Join(dir, path)
		if len(p.Files) == 0 {
			if err := exists(full, path, i); err != nil {
				return p, d.Locate(problem.List{*err})
			}
		}
		command[i], p.Files = full, append(p.Files, full)
	}
	if len(p.Files) > 0 {
		p.Document, err = json.Marshal(tree)
	}
	return p, err
}

// exists returns the problem with the program at a path, as the word of the command with this index names it.
func exists(full, word string, index int) *problem.Problem {
	_, err := os.Stat(full)
	if err == nil {
		return nil
	}
	p := &problem.Problem{
		Code: missingFile, Pointer: problem.Pointer("command", strconv.Itoa(index)),
		Message: fmt.Sprintf("cannot read %s: %v", document.Quote(word), reason(err)),
	}
	if errors.Is(err, fs.ErrNotExist) {
		p.Message = fmt.Sprintf("no file %s", document.Quote(word))
		p.Hint = "the path is relative to this document; if the program is compiled, build it first"
	}
	return p
}

// reason is an error without its path.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// Coded returns the progdef with a text in the field code, which is part of the revision.
func (p Progdef) Coded(code string) (Progdef, error) {
	var tree map[string]any
	if json.Unmarshal(p.Document, &tree) != nil {
		return p, nil // the validator reports what is wrong with it
	}
	tree["code"] = code
	var err error
	p.Document, err = json.Marshal(tree)
	return p, err
}
