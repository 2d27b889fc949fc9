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

// stdin is the argument that means standard input.
const stdin = "-"

// readDocument reads the only JSON or YAML document of a file and returns it as JSON. It becomes the document of
// the command: see [app.located]. If the file has none or several documents, the error is a problem.List.
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

// wrongPath turns the error of a file that cannot be opened into a usage error.
func wrongPath(err error) error {
	var missing *fs.PathError
	if errors.As(err, &missing) && missing.Op == "open" {
		return usage(err)
	}
	return err
}

// flowID returns the id that the user set, else a new one derived from the file name.
func flowID(chosen, path string) (string, error) {
	if chosen == "" {
		return newID(path), nil
	}
	if !document.ValidName(chosen) {
		return "", usage(fmt.Errorf(
			"--id is %q: an id has 1 to 63 characters of a-z, 0-9, - and _, and starts and ends with a letter or digit",
			chosen))
	}
	return chosen, nil
}

// digest identifies a document: a different document under the same id is rejected.
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

// flowName checks that an argument is a valid flow id.
func flowName(name string) error {
	if !document.ValidName(name) {
		return usage(errors.New(document.Quote(name) + " is not a valid flow id"))
	}
	return nil
}
