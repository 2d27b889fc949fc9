package cli

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// stdin names standard input on the command line.
const stdin = "-"

// readDocument reads a JSON or YAML document and returns it as JSON. A file that is neither is a
// problem.List.
func (a *app) readDocument(path string) ([]byte, error) {
	raw, err := a.readFile(path)
	if err != nil {
		return nil, err
	}
	if json.Valid(raw) {
		return raw, nil
	}
	if strings.HasSuffix(path, ".json") || len(strings.TrimSpace(string(raw))) == 0 {
		_, problems := document.Check("flow", raw, document.Limits{Bytes: len(raw), Depth: 1000})
		return nil, problems
	}
	converted, err := yaml.YAMLToJSON(raw)
	if err != nil {
		return nil, problem.List{{
			Code: problem.NotJSON, Message: "the document is neither JSON nor YAML: " + err.Error(),
		}}
	}
	return converted, nil
}

func (a *app) readFile(path string) ([]byte, error) {
	in := a.In
	if path != stdin {
		f, err := os.Open(path)
		if err != nil {
			return nil, usage(err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, event.SizeLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(raw) > event.SizeLimit {
		return nil, problem.List{{
			Code:    problem.TooLarge,
			Message: fmt.Sprintf("the document has more than %d octets", event.SizeLimit),
		}}
	}
	return raw, nil
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
