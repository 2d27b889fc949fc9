package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/dagyo/dagyo/schemas"
)

// A schema contains the parts of a JSON Schema that the page shows.
type schema struct {
	Ref         string   `json:"$ref"`
	Type        string   `json:"type"`
	Description string   `json:"description"`
	Pattern     string   `json:"pattern"`
	Enum        []string `json:"enum"`
	Properties  fields   `json:"properties"`
	Required    []string `json:"required"`
	Items       *schema  `json:"items"`
	// Additional is false or a schema.
	Additional json.RawMessage `json:"additionalProperties"`
}

// fields are an object's properties in the order of the file.
type fields []field

type field struct {
	name   string
	schema schema
}

func (f *fields) UnmarshalJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		next := field{name: fmt.Sprint(key)}
		if err := dec.Decode(&next.schema); err != nil {
			return err
		}
		*f = append(*f, next)
	}
	return nil
}

// values returns the schema of an object's additional properties, or nil if it has none.
func (s schema) values() *schema {
	var out schema
	if !bytes.HasPrefix(s.Additional, []byte("{")) || json.Unmarshal(s.Additional, &out) != nil {
		return nil
	}
	return &out
}

// inline returns the object whose properties belong under the same heading, and the path to them.
func (s schema) inline() (schema, string) {
	switch inner := s.values(); {
	case len(s.Properties) > 0:
		return s, ""
	case inner != nil && len(inner.Properties) > 0:
		return *inner, ".*"
	case s.Items != nil && len(s.Items.Properties) > 0:
		return *s.Items, "[]"
	default:
		return schema{}, ""
	}
}

func load(name string) (schema, error) {
	var out schema
	raw, err := fs.ReadFile(schemas.Files, name+".json")
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fmt.Errorf("schema %s: %w", name, err)
	}
	return out, nil
}

// target is the schema file that a reference refers to, without its extension; whole is false if it refers to a part of
// the file.
func target(ref string) (name string, whole bool) {
	file, fragment, _ := strings.Cut(ref, "#")
	return strings.TrimSuffix(file, ".json"), fragment == ""
}
