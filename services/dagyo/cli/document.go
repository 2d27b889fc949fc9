package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
)

// stdin names standard input on the command line.
const stdin = "-"

// readDocument reads a JSON or YAML document and returns it as JSON. A file that is neither is a
// problem.List.
func (a *app) readDocument(path string) ([]byte, error) {
	if path == stdin {
		return docfile.Read(a.In, path)
	}
	raw, err := docfile.ReadFile(path)
	var missing *fs.PathError
	if errors.As(err, &missing) && missing.Op == "open" {
		err = usage(err)
	}
	return raw, err
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
