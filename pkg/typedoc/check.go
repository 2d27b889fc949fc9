package typedoc

import (
	"encoding/json"
	"errors"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// Check reads the document of a type. It returns either the document or all of its problems at once. With problems, the
// document contains only its name, if that could be read.
func Check(raw []byte, limits document.Limits) (Document, problem.List) {
	var report document.Report
	var doc Document
	raw = document.TrimBOM(raw)
	tree, ok := document.CheckInto(&report, "type", raw, limits).(map[string]any)
	if !ok {
		return doc, report.List()
	}
	doc.Name, _ = tree["name"].(string)
	sound := report.List() == nil
	checkName(&report, doc.Name)
	checkParams(&report, tree["typeParams"])
	if sound {
		if err := json.Unmarshal(raw, &doc); err != nil {
			report.Add(problem.InternalFailure, "cannot be read: "+err.Error(), "")
		}
		checkLayout(&report, tree["schema"], doc)
	}
	return doc, report.List()
}

// checkName checks a name, if there is one, against the grammar of identifiers.
func checkName(report *document.Report, name string) {
	if name == "" {
		return
	}
	t, err := progdef.ParseTypename(name)
	switch {
	case err != nil:
		report.Add(problem.BadTypename, document.Quote(name)+" is not a typename: "+err.Error(), "",
			"name")
	case len(t.Args) > 0:
		report.Add(problem.BadTypename, document.Quote(name)+" has arguments; a document is about the "+
			"identifier, "+document.Quote(t.Name), `name the arguments in "typeParams"`, "name")
	case t.Name != name:
		report.Add(problem.BadTypename, document.Quote(name)+" has spaces around it",
			document.DidYouMean(t.Name), "name")
	case progdef.IsBuiltin(name):
		report.Add(problem.BuiltinType, document.Quote(name)+
			" is a built-in type, whose documentation cannot be changed", "", "name")
	}
}

func checkParams(report *document.Report, written any) {
	params, _ := written.([]any)
	for i, w := range params {
		if name, ok := w.(string); ok {
			if message := progdef.BadTypeParam(name); message != "" {
				report.Add(problem.BadTypeParam, message, "", "typeParams", strconv.Itoa(i))
			}
		}
	}
}

// checkLayout checks the fields that describe the layout of a record.
func checkLayout(report *document.Report, schema any, doc Document) {
	if schema == nil {
		return
	}
	if doc.Protobuf != "" {
		report.Add(problem.SchemaMismatch, `the fields "schema" and "protobuf" are mutually exclusive`, "")
	}
	checkSchema(report, schema)
}

// checkSchema reports why a tree is not a valid JSON Schema.
func checkSchema(report *document.Report, tree any) {
	const name = "type:schema"
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	err := c.AddResource(name, tree)
	if err == nil {
		_, err = c.Compile(name)
	}
	var schema *jsonschema.SchemaValidationError
	var load *jsonschema.LoadURLError
	var where *jsonschema.ValidationError
	switch {
	case err == nil:
	case errors.As(err, &schema) && errors.As(schema.Err, &where):
		report.Add(problem.SchemaMismatch, "is not allowed here in a JSON Schema", "",
			append([]string{"schema"}, deepest(where)...)...)
	case errors.As(err, &load):
		report.Add(problem.SchemaMismatch, "the JSON Schema refers to "+document.Quote(load.URL)+
			", which is outside of it", "put what it refers to into its $defs", "schema")
	default:
		report.Add(problem.SchemaMismatch, "is not a JSON Schema: "+err.Error(), "", "schema")
	}
}

// deepest returns the place of the most deeply nested violation: the enclosing ones only follow from it.
func deepest(e *jsonschema.ValidationError) []string {
	at := e.InstanceLocation
	for _, c := range e.Causes {
		if inner := deepest(c); len(inner) > len(at) {
			at = inner
		}
	}
	return at
}

// nowhere rejects references to anything outside of the schema.
type nowhere struct{}

func (nowhere) Load(string) (any, error) { return nil, errors.ErrUnsupported }
