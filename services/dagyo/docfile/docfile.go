// Package docfile reads documents in JSON or YAML and converts them to JSON, the only format that the
// services accept. It maps problems of a document to positions in its file.
package docfile

import (
	"fmt"
	"io"
	"os"

	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Document is one document of a file.
type Document struct {
	// JSON is the document as JSON.
	JSON []byte
	// Line is the first line of the document in the file, counted from 1.
	Line int
	// origin is the original document; nil for the zero value.
	origin origin
}

// An origin is a document in its file.
type origin interface {
	// places returns the positions of the parts at the pointers that exist.
	places(wanted targets) map[string]place
}

// ReadFile reads a file with exactly one document. If it has none or several, the error is a problem.List.
func ReadFile(path string) (Document, error) { return one(ReadFileAll(path)) }

// Read reads exactly one document, like [ReadFile].
func Read(in io.Reader, name string) (Document, error) { return one(ReadAll(in, name)) }

// ReadFileAll reads all documents of a file, at least one. If the text is invalid, the error is a problem.List.
func ReadFileAll(path string) ([]Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadAll(f, path)
}

// ReadAll reads documents, at least one. The name is used in errors; with the extension .json, text that may be
// meant as JSON must be JSON. If the text is invalid, the error is a problem.List.
func ReadAll(in io.Reader, name string) ([]Document, error) {
	raw, err := io.ReadAll(io.LimitReader(in, event.SizeLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(raw) > event.SizeLimit {
		return nil, problem.List{{
			Code:    problem.TooLarge,
			Message: fmt.Sprintf("the file is larger than the limit of %d bytes", event.SizeLimit),
		}}
	}
	return split(raw, name)
}

// one returns the only document.
func one(all []Document, err error) (Document, error) {
	if err != nil {
		return Document{}, err
	}
	if len(all) > 1 {
		return Document{}, problem.List{{
			Code: problem.TooMany, Line: all[1].Line, Column: 1,
			Message: fmt.Sprintf("the file has %d documents; only one is allowed here", len(all)),
			Hint:    "move each document to a separate file",
		}}
	}
	return all[0], nil
}
