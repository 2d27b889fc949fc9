// Package docfile reads the documents that people write, in JSON or YAML, as JSON: the services
// take nothing else.
package docfile

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// ReadFile reads a file and returns its document as JSON. A file that holds none is a problem.List.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, path)
}

// Read reads a document; the name says where it is from, and that it is JSON by the ending .json. A
// text that is no document is a problem.List.
func Read(in io.Reader, name string) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(in, event.SizeLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(raw) > event.SizeLimit {
		return nil, problem.List{{
			Code:    problem.TooLarge,
			Message: fmt.Sprintf("the document has more than %d octets", event.SizeLimit),
		}}
	}
	return convert(raw, name)
}

func convert(raw []byte, name string) ([]byte, error) {
	if json.Valid(raw) {
		return raw, nil
	}
	if strings.HasSuffix(name, ".json") || len(strings.TrimSpace(string(raw))) == 0 {
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
