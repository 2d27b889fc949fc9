package document

import (
	"cmp"
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
	b := bundle{name: name, defs: map[string]any{}}
	if err := b.redirect(schema, name); err != nil || len(b.defs) == 0 {
		return raw, err
	}
	own, _ := schema["$defs"].(map[string]any)
	maps.Copy(b.defs, own)
	schema["$defs"] = b.defs
	return json.MarshalIndent(schema, "", "  ")
}

// A bundle is a schema with all files that it refers to, in its $defs.
type bundle struct {
	name string
	defs map[string]any
}

// redirect redirects the references in a part of a file to the place of their target in the bundle.
func (b bundle) redirect(part any, file string) error {
	switch p := part.(type) {
	case []any:
		for _, item := range p {
			if err := b.redirect(item, file); err != nil {
				return err
			}
		}
	case map[string]any:
		if ref, ok := p["$ref"].(string); ok {
			target, local, _ := strings.Cut(ref, "#")
			target = cmp.Or(strings.TrimSuffix(target, ".json"), file)
			p["$ref"] = "#" + local
			if target != b.name {
				p["$ref"] = "#/$defs/" + target + local
				if err := b.include(target); err != nil {
					return err
				}
			}
		}
		for _, value := range p {
			if err := b.redirect(value, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// include puts a file into the bundle.
func (b bundle) include(name string) error {
	if _, there := b.defs[name]; there {
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
	b.defs[name] = schema
	return b.redirect(schema, name)
}
