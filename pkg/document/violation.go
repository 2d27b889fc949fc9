package document

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/dagyo/dagyo/pkg/problem"
)

// A violation is one way in which a document breaks its schema.
type violation struct {
	at      []string
	code    problem.Code
	message string
	hint    string
}

// A translator turns the validator's tree of errors into violations that a person can understand.
type translator struct {
	library *library
	tree    any
}

func (t translator) violations(e *jsonschema.ValidationError) []violation {
	switch k := e.ErrorKind.(type) {
	case *kind.Group, *kind.AllOf, *kind.Reference:
		return t.all(atoms(e))
	case *kind.AnyOf:
		return t.union(e)
	case *kind.OneOf:
		if e.SchemaURL == recordSchema {
			return t.record(e)
		}
		if len(k.Subschemas) > 0 {
			return []violation{t.overlap(e, k)}
		}
		return t.union(e)
	case *kind.AdditionalProperties:
		return t.unknown(e, k)
	case *kind.FalseSchema:
		return []violation{t.refused(e)}
	case *kind.PropertyNames:
		return t.badName(e, k)
	case *kind.Required:
		return t.missing(e, k)
	default:
		return []violation{t.value(e)}
	}
}

func (t translator) all(causes []*jsonschema.ValidationError) []violation {
	var out []violation
	for _, c := range causes {
		out = append(out, t.violations(c)...)
	}
	return out
}

// unknown reports each property that the schema does not have. If the schema knows properties only
// by pattern, they have bad names and are not unknown.
func (t translator) unknown(
	e *jsonschema.ValidationError, k *kind.AdditionalProperties,
) []violation {
	schema := t.library.source(e.SchemaURL)
	known := fieldNames(schema)
	var out []violation
	for _, name := range slices.Sorted(slices.Values(k.Properties)) {
		v := violation{at: below(e, name), code: problem.UnknownField}
		v.message, v.hint = "unknown field "+Quote(name), oneOfThem(name, known)
		if patterns, _ := schema["patternProperties"].(map[string]any); len(known) == 0 &&
			len(patterns) == 1 {
			v.code, v.message = mismatch(name, sortedKeys(patterns)[0])
			v.hint = ""
		}
		out = append(out, v)
	}
	return out
}

// refused is a place where the schema allows nothing; unevaluatedProperties reports an unknown
// property this way.
func (t translator) refused(e *jsonschema.ValidationError) violation {
	v := violation{at: e.InstanceLocation, code: problem.UnknownField}
	if len(v.at) == 0 {
		v.code, v.message = problem.SchemaMismatch, "nothing is allowed here"
		return v
	}
	v.message = "unknown field " + Quote(v.at[len(v.at)-1])
	return v
}

// badName reports a property whose name the schema refuses; see [names].
func (t translator) badName(e *jsonschema.ValidationError, k *kind.PropertyNames) []violation {
	if strings.HasSuffix(e.SchemaURL, "/propertyNames") {
		return nil
	}
	rule := resolve(t.library, e.SchemaURL+"/propertyNames")
	pattern, _ := rule["pattern"].(string)
	v := violation{at: below(e, k.Property)}
	v.code, v.message = mismatch(k.Property, pattern)
	return []violation{v}
}

func (t translator) missing(e *jsonschema.ValidationError, k *kind.Required) []violation {
	var out []violation
	for _, name := range k.Missing {
		out = append(out, violation{
			at: e.InstanceLocation, code: problem.SchemaMismatch,
			message: "the field " + Quote(name) + " is missing",
		})
	}
	return out
}

// value is a violation by the value itself.
func (t translator) value(e *jsonschema.ValidationError) violation {
	v := violation{at: e.InstanceLocation, code: problem.SchemaMismatch}
	switch k := e.ErrorKind.(type) {
	case *kind.Pattern:
		v.code, v.message = mismatch(k.Got, k.Want)
	case *kind.Enum:
		v.message = "must be " + listed(k.Want)
		if got, ok := k.Got.(string); ok {
			v.hint = DidYouMean(Suggest(got, words(k.Want)))
		}
	default:
		v.message = sentence(e.ErrorKind)
	}
	return v
}

// recordSchema is the schema of a record in a flow document.
const recordSchema = base + "flow.json#/$defs/value"

// record reports a record written as JSON instead of text, and how to write it.
func (t translator) record(e *jsonschema.ValidationError) []violation {
	written := valueAt(t.tree, e.InstanceLocation)
	if object, ok := written.(map[string]any); ok {
		if _, encoded := object["base64"]; encoded {
			return t.union(e)
		}
	}
	text, _ := json.Marshal(written) // was read from JSON
	return []violation{{
		at: e.InstanceLocation, code: problem.SchemaMismatch,
		message: `a record must be a string or {"base64": "…"}, not ` + kindOf(written),
		hint:    "write JSON as a string: " + Quote(string(text)),
	}}
}

// valueAt returns the part of a tree at a location, which must exist.
func valueAt(tree any, at []string) any {
	for _, token := range at {
		tree = child(tree, token)
	}
	return tree
}

// union reports a value that none of several schemas accepts.
func (t translator) union(e *jsonschema.ValidationError) []violation {
	if want, ok := t.alternatives(e); ok {
		return []violation{{
			at: e.InstanceLocation, code: problem.SchemaMismatch,
			message: "one of the fields " + or(quoted(want)) + " is missing",
		}}
	}
	fitting, kinds := t.fitting(e)
	if len(fitting) == 0 {
		return []violation{{
			at: e.InstanceLocation, code: problem.SchemaMismatch, message: wrongKind(kinds),
		}}
	}
	best := t.violations(fitting[0])
	for _, c := range fitting[1:] {
		if other := t.violations(c); len(other) < len(best) {
			best = other
		}
	}
	return best
}

// fitting returns the branches of a union that accept at least this kind of value, and the kinds
// that the others require.
func (t translator) fitting(
	e *jsonschema.ValidationError,
) (out []*jsonschema.ValidationError, kinds kind.Type) {
	for _, c := range e.Causes {
		k := wrongType(c)
		if k == nil || len(c.InstanceLocation) > len(e.InstanceLocation) {
			out = append(out, c)
			continue
		}
		kinds.Got = k.Got
		kinds.Want = append(kinds.Want, k.Want...)
	}
	return out, kinds
}

// wrongType returns the error's kind if it reports only that the value has the wrong type.
func wrongType(e *jsonschema.ValidationError) *kind.Type {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		return k
	case *kind.Reference:
		if len(e.Causes) == 1 {
			return wrongType(e.Causes[0])
		}
	}
	return nil
}

// alternatives returns the fields of a union that requires only that one of them is present.
func (t translator) alternatives(e *jsonschema.ValidationError) ([]string, bool) {
	var want []string
	for _, c := range e.Causes {
		k, ok := c.ErrorKind.(*kind.Required)
		if !ok || len(k.Missing) != 1 || len(c.InstanceLocation) > len(e.InstanceLocation) {
			return nil, false
		}
		want = append(want, k.Missing[0])
	}
	return want, len(want) > 0
}

// overlap is a value that two schemas accept where only one may.
func (t translator) overlap(e *jsonschema.ValidationError, k *kind.OneOf) violation {
	v := violation{at: e.InstanceLocation, code: problem.SchemaMismatch}
	var fields []any
	branches, _ := t.library.source(e.SchemaURL)["oneOf"].([]any)
	for _, i := range k.Subschemas {
		branch, _ := branches[i].(map[string]any)
		required, _ := branch["required"].([]any)
		fields = append(fields, required...)
	}
	v.message = "matches more than one of the allowed forms"
	if len(fields) > 1 {
		v.message = "the fields " + and(quoted(words(fields))) + " are mutually exclusive"
	}
	return v
}

// below returns the location of a member of the error's object.
func below(e *jsonschema.ValidationError, name string) []string {
	return append(slices.Clip(e.InstanceLocation), name)
}

// resolve returns a subschema, following one $ref within its file or to another.
func resolve(l *library, location string) map[string]any {
	schema := l.source(location)
	ref, ok := schema["$ref"].(string)
	if !ok {
		return schema
	}
	if file, _, _ := strings.Cut(location, "#"); strings.HasPrefix(ref, "#") {
		return l.source(file + ref)
	}
	return l.source(base + ref)
}

// fieldNames returns the names of an object's fields, for hints. It omits $schema, which is for editors.
func fieldNames(schema map[string]any) []string {
	known, _ := schema["properties"].(map[string]any)
	return slices.DeleteFunc(sortedKeys(known), func(name string) bool { return name == "$schema" })
}
