package document

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/schemas"
)

// base is the compiler's base URL for schemas. The compiler reads the embedded files and fetches nothing.
const base = schemas.BaseURL

// compiled is the library of this process: compiling is slow, and its result never changes.
var compiled = sync.OnceValue(newLibrary)

// A library compiles each schema on first use.
type library struct {
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
	// sources are the schemas as written, for hints.
	sources map[string]any
}

func newLibrary() *library {
	l := &library{
		compiler: jsonschema.NewCompiler(),
		schemas:  map[string]*jsonschema.Schema{},
		sources:  map[string]any{},
	}
	l.compiler.UseLoader(l)
	l.compiler.UseRegexpEngine(compilePattern)
	l.compiler.RegisterVocabulary(&jsonschema.Vocabulary{
		URL: base + "property-names", Schema: anything(), Compile: compileNames,
	})
	l.compiler.AssertVocabs()
	return l
}

// schema returns the compiled schemas/<name>.json.
func (l *library) schema(name string) (*jsonschema.Schema, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.schemas[name]; s != nil {
		return s, nil
	}
	s, err := l.compiler.Compile(base + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", name, err)
	}
	l.schemas[name] = s
	return s, nil
}

// Load reads one schema from the embedded files. The compiler calls it with the lock held.
func (l *library) Load(address string) (any, error) {
	raw, err := schemas.Files.ReadFile(strings.TrimPrefix(address, base))
	if err != nil {
		return nil, err
	}
	source, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	l.sources[address] = source
	return source, nil
}

// source returns the subschema, as written, at a location such as "https://…/flow.json#/$defs/value".
// It returns nil if not found.
func (l *library) source(location string) map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	file, fragment, _ := strings.Cut(location, "#")
	at := l.sources[file]
	pointer, err := url.PathUnescape(strings.TrimPrefix(fragment, "/"))
	if err != nil || pointer == "" {
		object, _ := at.(map[string]any)
		return object
	}
	for token := range strings.SplitSeq(pointer, "/") {
		at = child(at, strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
	}
	object, _ := at.(map[string]any)
	return object
}

// child returns the member of a schema's object or array, or nil if not found.
func child(parent any, token string) any {
	switch p := parent.(type) {
	case map[string]any:
		return p[token]
	case []any:
		if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(p) {
			return p[i]
		}
	}
	return nil
}

// validate adds every violation of the schema by the tree.
func validate(name string, tree any, report *Report) {
	l := compiled()
	schema, err := l.schema(name)
	if err != nil {
		report.Add(problem.InternalFailure, err.Error(), "")
		return
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(schema.Validate(tree), &invalid) {
		return
	}
	t := translator{library: l, tree: tree}
	// The validator walks maps in random order; the problems that a full report omits must not vary.
	faults := atoms(invalid)
	slices.SortStableFunc(faults, inOrder)
	for i, e := range faults {
		if report.Full() {
			report.dropped += len(faults) - i
			return
		}
		for _, v := range t.violations(e) {
			report.Add(v.code, v.message, v.hint, v.at...)
		}
	}
}

// atoms returns the errors with content of their own; errors that only group others are expanded.
func atoms(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	switch e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		var out []*jsonschema.ValidationError
		for _, c := range e.Causes {
			out = append(out, atoms(c)...)
		}
		return out
	default:
		return []*jsonschema.ValidationError{e}
	}
}

// inOrder orders errors by place. Only errors about names can share a place.
func inOrder(a, b *jsonschema.ValidationError) int {
	if c := slices.Compare(a.InstanceLocation, b.InstanceLocation); c != 0 {
		return c
	}
	x, named := a.ErrorKind.(*kind.PropertyNames)
	y, both := b.ErrorKind.(*kind.PropertyNames)
	if !named || !both {
		return 0
	}
	return strings.Compare(x.Property, y.Property)
}

// names implements the keyword propertyNames again. The validator's own errors for it carry a
// location that later siblings overwrite (its issue 258), so [translator] ignores those and uses
// these.
type names struct{ schema *jsonschema.Schema }

func compileNames(
	ctx *jsonschema.CompilerContext, object map[string]any,
) (jsonschema.SchemaExt, error) {
	if _, ok := object["propertyNames"]; !ok {
		return nil, nil
	}
	return names{ctx.Enqueue([]string{"propertyNames"})}, nil
}

// Validate reports every property whose name the schema refuses.
func (n names) Validate(ctx *jsonschema.ValidatorContext, v any) {
	object, _ := v.(map[string]any)
	for name := range object {
		if !n.accept(name) {
			ctx.AddError(&kind.PropertyNames{Property: name})
		}
	}
}

// accept uses the pattern alone if the schema contains nothing else of interest.
func (n names) accept(name string) bool {
	s := n.schema
	for s.Ref != nil && s.Pattern == nil {
		s = s.Ref
	}
	if s.Pattern != nil && s.MaxLength == nil && s.MinLength == nil {
		return s.Pattern.MatchString(name)
	}
	return n.schema.Validate(name) == nil
}

func anything() *jsonschema.Schema {
	yes := true
	return &jsonschema.Schema{Bool: &yes}
}
