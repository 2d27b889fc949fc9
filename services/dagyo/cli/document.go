package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
)

// stdin names standard input on the command line.
const stdin = "-"

// readDocument reads the one JSON or YAML document of a file and returns it as JSON. It stays the document of
// the command: see [app.located]. A file that holds none or several is a problem.List.
func (a *app) readDocument(path string) ([]byte, error) {
	var err error
	if path == stdin {
		a.document, err = docfile.Read(a.In, path)
	} else {
		a.document, err = docfile.ReadFile(path)
	}
	return a.document.JSON, wrongPath(err)
}

// located returns problems with their positions in the file of the command's document.
func (a *app) located(problems problem.List) problem.List { return a.document.Locate(problems) }

// readDocuments reads all documents of a file.
func (a *app) readDocuments(path string) ([]docfile.Document, error) {
	if path == stdin {
		return docfile.ReadAll(a.In, path)
	}
	all, err := docfile.ReadFileAll(path)
	return all, wrongPath(err)
}

// wrongPath makes a file that cannot be opened an error of the arguments.
func wrongPath(err error) error {
	var missing *fs.PathError
	if errors.As(err, &missing) && missing.Op == "open" {
		return usage(err)
	}
	return err
}

// flowID returns the id that the user has chosen, else a new one that reminds of the file.
func flowID(chosen, path string) (string, error) {
	if chosen == "" {
		return newID(path), nil
	}
	if !document.ValidName(chosen) {
		return "", usage(fmt.Errorf(
			"--id is %q: an id is 1 to 63 of a-z, 0-9, - and _, with a letter or digit at both ends",
			chosen))
	}
	return chosen, nil
}

// digest identifies a document: another one under the same id is refused.
func digest(doc []byte) string { return document.Digest(doc) }

const (
	idRandom = 8  // letters
	idStem   = 40 // of the file's name
)

func newID(path string) string {
	random := strings.ToLower(rand.Text()[:idRandom])
	stem := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	stem = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(stem))
	if stem = strings.Trim(stem[:min(len(stem), idStem)], "-"); stem == "" {
		stem = "flow"
	}
	return stem + "-" + random
}

// flowName checks an argument that names a flow.
func flowName(name string) error {
	if !document.ValidName(name) {
		return usage(errors.New(document.Quote(name) + " cannot be a flow's id"))
	}
	return nil
}
