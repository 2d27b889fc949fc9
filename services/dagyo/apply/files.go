package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/webhook"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
	"github.com/dagyo/dagyo/services/dagyo/progdefs"
)

// duplicateName is the code of the problem that two documents of a kind have the same name.
const duplicateName problem.Code = "duplicate-name"

// A Document is a document in a file.
type Document struct {
	Kind Kind
	// Name is "" if the document has none; then it has problems.
	Name string
	File string
	// JSON is the document as it is published.
	JSON   []byte
	source docfile.Document
}

// Title names the document in messages: its file and its first line.
func (d Document) Title() string { return fmt.Sprintf("%s:%d", d.File, d.source.Line) }

// Locate returns problems of the document with their positions in its file.
func (d Document) Locate(problems problem.List) problem.List { return d.source.Locate(problems) }

// Files are the documents of folders.
type Files struct {
	// Documents are in the order in which they can be published.
	Documents []Document
	// Has are the kinds that have a folder, also without documents.
	Has map[Kind]bool
	// Refused are the documents that the server need not be asked about.
	Refused []Refused
}

// A Refused document, or a file that has none.
type Refused struct {
	Kind     Kind
	Title    string
	Problems problem.List
}

// A Placer turns the document of a progdef in a file into the one that is published.
type Placer func(d docfile.Document, file string) ([]byte, error)

// Read reads folders and files. A folder has the documents of each kind in a folder with the kind's name, such as progdefs;
// or it is such a folder. A file is in such a folder. Other files and folders are left alone.
func Read(paths []string, place Placer) (Files, error) {
	out := Files{Has: map[Kind]bool{}}
	for _, path := range paths {
		if err := out.read(path, place); err != nil {
			return Files{}, err
		}
	}
	out.unique()
	out.order()
	return out, nil
}

// order puts the documents into the order in which they can be published: types before the progdefs that carry them, and
// progdefs before those whose flows use them.
func (f *Files) order() {
	var out []Document
	for _, kind := range Kinds() {
		some := slices.DeleteFunc(slices.Clone(f.Documents), func(d Document) bool { return d.Kind != kind })
		if kind == Progdef {
			some = progdef.Ordered(some, func(d Document) []byte { return d.JSON })
		}
		out = append(out, some...)
	}
	f.Documents = out
}

func (f *Files) read(path string, place Placer) error {
	full, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		kind, ok := kindOf(filepath.Base(filepath.Dir(full)))
		if !ok {
			return fmt.Errorf("%s is not in a folder with the name types, progdefs or webhooks, so it is not known what it has", path)
		}
		return f.file(kind, path, place)
	}
	if kind, ok := kindOf(filepath.Base(full)); ok {
		return f.folder(kind, path, place)
	}
	found := false
	for _, kind := range Kinds() {
		switch err := f.folder(kind, filepath.Join(path, kind.Folder()), place); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		default:
			found = true
		}
	}
	if !found {
		return fmt.Errorf("%s has none of the folders types, progdefs and webhooks", path)
	}
	return nil
}

func kindOf(folder string) (Kind, bool) {
	for _, kind := range Kinds() {
		if kind.Folder() == folder {
			return kind, true
		}
	}
	return "", false
}

func (f *Files) folder(kind Kind, dir string, place Placer) error {
	files, err := progdefs.Find(dir)
	if err != nil {
		return err
	}
	f.Has[kind] = true
	for _, file := range files {
		if err := f.file(kind, file, place); err != nil {
			return err
		}
	}
	return nil
}

// file adds the documents of a file.
func (f *Files) file(kind Kind, path string, place Placer) error {
	all, err := docfile.ReadFileAll(path)
	var problems problem.List
	if errors.As(err, &problems) {
		f.Refused = append(f.Refused, Refused{kind, path, problems})
		return nil
	}
	if err != nil {
		return err
	}
	for _, source := range all {
		d := Document{Kind: kind, Name: nameOf(source.JSON), File: path, JSON: source.JSON, source: source}
		switch kind {
		case Progdef:
			if d.JSON, err = place(source, path); errors.As(err, &problems) {
				f.refuse(d, problems)
				continue
			} else if err != nil {
				return err
			}
		case Webhook:
			if _, problems := webhook.Check(d.JSON, document.DefaultLimits()); len(problems) > 0 {
				f.refuse(d, problems)
				continue
			}
		}
		f.Documents = append(f.Documents, d)
	}
	return nil
}

func (f *Files) refuse(d Document, problems problem.List) {
	f.Refused = append(f.Refused, Refused{d.Kind, d.Title(), d.Locate(problems)})
}

// nameOf returns the name in a document, or "".
func nameOf(raw []byte) string {
	var named struct{ Name any }
	_ = json.Unmarshal(raw, &named) // a check says what is wrong
	name, _ := named.Name.(string)
	return name
}

// unique refuses documents whose names an earlier one of the kind has: the order of files would decide which one wins.
func (f *Files) unique() {
	type key struct {
		kind Kind
		name string
	}
	first := map[key]Document{}
	var kept []Document
	for _, d := range f.Documents {
		k := key{d.Kind, d.Name}
		if before, has := first[k]; has && d.Name != "" {
			f.refuse(d, problem.List{{
				Code: duplicateName, Pointer: "/name",
				Message: fmt.Sprintf("%s has a %s with this name, too", before.Title(), d.Kind),
				Hint:    "remove one of them, or give it another name",
			}})
			continue
		}
		first[k] = d
		kept = append(kept, d)
	}
	f.Documents = kept
}
