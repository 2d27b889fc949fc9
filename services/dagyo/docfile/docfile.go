// Package docfile reads the documents that people write, in JSON or YAML, as JSON, which is all that the
// services take. It knows where each part of a document stands in its file.
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
	// Line is the line of the file at which the document begins, from 1.
	Line int
	// origin is the document as it was written; nil for the zero value.
	origin origin
}

// An origin is a document in its file.
type origin interface {
	// places returns the positions of the parts that the pointers lead to, as far as they exist.
	places(wanted targets) map[string]place
}

// ReadFile reads a file that holds exactly one document. A file that holds none or several is a problem.List.
func ReadFile(path string) (Document, error) { return one(ReadFileAll(path)) }

// Read reads exactly one document, like [ReadFile].
func Read(in io.Reader, name string) (Document, error) { return one(ReadAll(in, name)) }

// ReadFileAll reads all documents of a file, at least one. A text that is no document is a problem.List.
func ReadFileAll(path string) ([]Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadAll(f, path)
}

// ReadAll reads documents, at least one. The name says where they are from, and that they are JSON by the
// ending .json. A text that is no document is a problem.List.
func ReadAll(in io.Reader, name string) ([]Document, error) {
	raw, err := io.ReadAll(io.LimitReader(in, event.SizeLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(raw) > event.SizeLimit {
		return nil, problem.List{{
			Code:    problem.TooLarge,
			Message: fmt.Sprintf("the file has more than %d bytes", event.SizeLimit),
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
			Message: fmt.Sprintf("the file holds %d documents; only one is allowed here", len(all)),
			Hint:    "move each document into a file of its own",
		}}
	}
	return all[0], nil
}
