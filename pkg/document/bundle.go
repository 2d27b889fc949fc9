package document

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/dagyo/dagyo/schemas"
)

// Schema returns schemas/<name>.json as one JSON text without references to other files.
func Schema(name string) ([]byte, error) {
	raw, err := schemas.Files.ReadFile(name + ".json")
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", name, err)
	}
	var schema map[string]any
	if err := json.Unmarshal(raw, &schema); err != nil {
		return nil, fmt.Errorf("schema %s: %w", name, err)
	}
	defs := map[string]any{}
	if err := bundle(schema, name, defs); err != nil || len(defs) == 0 {
		return raw, err
	}
	own, _ := schema["$defs"].(map[string]any)
	maps.Copy(defs, own)
	schema["$defs"] = defs
	return json.MarshalIndent(schema, "", "  ")
}

// bundle redirects references to whole files in a part of a schema to defs, and adds the files there.
func bundle(part any, name string, defs map[string]any) error {
	switch p := part.(type) {
	case []any:
		for _, item := range p {
			if err := bundle(item, name, defs); err != nil {
				return err
			}
		}
	case map[string]any:
		if ref, ok := p["$ref"].(string); ok {
			file, local, _ := strings.Cut(ref, "#")
			other := strings.TrimSuffix(file, ".json")
			switch {
			case other == name:
				p["$ref"] = "#" + local
			case other != "":
				p["$ref"] = "#/$defs/" + other + local
				if err := include(other, defs); err != nil {
					return err
				}
			}
		}
		for _, value := range p {
			if err := bundle(value, name, defs); err != nil {
				return err
			}
		}
	}
	return nil
}

// include puts a file into defs.
func include(name string, defs map[string]any) error {
	if _, there := defs[name]; there {
		return nil
	}
	raw, err := schemas.Files.ReadFile(name + ".json")
	if err != nil {
		return err
	}
	var schema map[string]any
	if err := json.Unmarshal(raw, &schema); err != nil {
		return err
	}
	delete(schema, "$id")
	delete(schema, "$schema")
	defs[name] = schema
	return bundle(schema, name, defs)
}
