package contract_test

import (
	"encoding/json"
	"io/fs"
	"slices"
	"testing"

	"github.com/dagyo/dagyo/schemas"
)

// keywordsOf are the keywords that strict validators allow for a type; "" is any type.
var keywordsOf = map[string][]string{
	"": {
		"$schema", "$id", "$ref", "$defs", "title", "description", "default", "examples", "type", "const", "enum",
		"oneOf", "allOf", "anyOf",
	},
	"object":  {"properties", "additionalProperties", "propertyNames", "required", "dependentRequired", "minProperties", "maxProperties"},
	"array":   {"items", "minItems", "maxItems", "uniqueItems"},
	"string":  {"minLength", "maxLength", "pattern", "contentEncoding"},
	"integer": {"minimum", "maximum"},
}

// Validators in strict mode, such as ajv, reject unknown keywords, unknown formats, keywords that do not apply to the
// schema's type, and required fields without a description.
func TestSchemasAreStrict(t *testing.T) {
	files, err := fs.Glob(schemas.Files, "*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := fs.ReadFile(schemas.Files, file)
		if err != nil {
			t.Fatal(err)
		}
		var schema any
		if err := json.Unmarshal(raw, &schema); err != nil {
			t.Fatal(file, err)
		}
		strict(t, file, schema, "", nil)
	}
}

// strict checks a subschema. Its parent has a type and describes some fields.
func strict(t *testing.T, at string, schema any, typ string, fields []string) {
	t.Helper()
	s, ok := schema.(map[string]any)
	if !ok {
		return // true or false
	}
	if own, ok := s["type"].(string); ok {
		typ = own
	}
	properties, _ := s["properties"].(map[string]any)
	for name := range properties {
		fields = append(fields, name)
	}
	for keyword, value := range s {
		if !slices.Contains(keywordsOf[""], keyword) && !slices.Contains(keywordsOf[typ], keyword) {
			t.Errorf("%s: %q is not a keyword for the type %q", at, keyword, typ)
		}
		switch keyword {
		case "required":
			for _, name := range value.([]any) {
				if !slices.Contains(fields, name.(string)) {
					t.Errorf("%s: %q is required and not described", at, name)
				}
			}
		case "properties", "$defs":
			for name, inner := range value.(map[string]any) {
				strict(t, at+"/"+name, inner, "", nil)
			}
		case "additionalProperties", "items":
			strict(t, at+"/"+keyword, value, "", nil)
		case "propertyNames":
			strict(t, at+"/"+keyword, value, "string", nil)
		case "oneOf", "allOf", "anyOf":
			for _, inner := range value.([]any) {
				strict(t, at+"/"+keyword, inner, typ, fields)
			}
		}
	}
}
