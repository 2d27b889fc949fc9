package progdef

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// MinHealthInterval is the shortest interval between heartbeats that a progdef may set.
const MinHealthInterval = 10 * time.Millisecond

// Default returns a document with only the defaults that are documented in schemas/progdef.json.
func Default() Document {
	return Document{
		Inputs:  map[string]Port{},
		Outputs: map[string]Port{},
		Scaling: Scaling{
			JobsPerExecutor: 1, MinExecutors: 0, MaxExecutors: 20,
			IdleTimeout: document.Duration(5 * time.Minute),
		},
		Health: Health{
			Interval: document.Duration(2 * time.Second),
			Timeout:  document.Duration(10 * time.Second),
		},
		Drain: Drain{GracePeriod: document.Duration(24 * time.Hour)},
	}
}

// Check reads a progdef document. It returns either the document with its defaults filled in and its
// typenames in canonical form, or every problem at once. With problems, the document contains what could
// be read (such as its name) and must not be run.
func Check(raw []byte, limits document.Limits) (Document, problem.List) {
	c := checker{doc: Default(), uses: map[string]bool{}}
	tree := document.CheckInto(&c.report, "progdef", raw, limits)
	fields, ok := tree.(map[string]any)
	if !ok {
		return c.doc, c.report.List()
	}
	c.fields, c.faults = fields, faults(c.report.List())
	c.decode()
	c.check()
	return c.doc, c.report.List()
}

// HasFlow reports whether a document has a flow in place of a program.
func HasFlow(raw []byte) bool {
	var doc struct {
		Flow json.RawMessage `json:"flow"`
	}
	return json.Unmarshal(raw, &doc) == nil && doc.Flow != nil
}

// A checker checks what the schema cannot. It skips the fields that break the schema, so that no problem
// is reported twice.
type checker struct {
	fields map[string]any
	doc    Document
	// faults holds the fields, and the members of fields, that break the schema.
	faults map[[2]string]bool
	report document.Report
	// params are the type parameters, uses those that a port uses. vague is true if a typename cannot be
	// parsed, so that uses is incomplete.
	params []string
	uses   map[string]bool
	vague  bool
}

// faults returns the first two tokens of every problem's pointer.
func faults(problems problem.List) map[[2]string]bool {
	out := map[[2]string]bool{}
	for _, p := range problems {
		field, member, _ := strings.Cut(strings.TrimPrefix(p.Pointer, "/"), "/")
		member, _, _ = strings.Cut(member, "/")
		out[[2]string{field, member}] = true
	}
	return out
}

func (c *checker) faulty(field, member string) bool {
	return c.faults[[2]string{field, ""}] || c.faults[[2]string{field, member}]
}

// decode fills in each field, and each member of a field, that matches the schema.
func (c *checker) decode() {
	text, err := json.Marshal(c.sound())
	if err == nil {
		err = json.Unmarshal(text, &c.doc)
	}
	if err != nil && len(c.faults) == 0 { // the schema accepted something invalid
		c.report.Add(problem.InternalFailure, "cannot decode the document: "+err.Error(), "")
	}
	if b := c.doc.Build; b != nil {
		b.Context = cmp.Or(b.Context, ".")
		b.Dockerfile = cmp.Or(b.Dockerfile, "Dockerfile")
	}
}

// sound returns the document without the parts that break the schema. A flow stays whole: its own check skips them.
func (c *checker) sound() map[string]any {
	out := maps.Clone(c.fields)
	for at := range c.faults {
		object, ok := out[at[0]].(map[string]any)
		if ok && at[0] == "flow" {
			continue
		}
		if !ok || at[1] == "" {
			delete(out, at[0])
			continue
		}
		object = maps.Clone(object)
		delete(object, at[1])
		out[at[0]] = object
	}
	return out
}

func (c *checker) check() {
	c.typeParams()
	c.ports("inputs", c.doc.Inputs)
	c.ports("outputs", c.doc.Outputs)
	c.unused()
	c.reserved("inputs", StopPort)
	c.reserved("outputs", PanicPort)
	c.program()
	c.scaling()
	c.health()
	c.environment()
	c.sources()
	c.quantities("requests")
	c.quantities("limits")
}

// object returns a field that is an object, as written.
func (c *checker) object(field string) map[string]any {
	object, _ := c.fields[field].(map[string]any)
	return object
}

// ports checks the typenames as written: one bad port must not hide the others.
func (c *checker) ports(field string, ports map[string]Port) {
	written := c.object(field)
	for _, name := range slices.Sorted(maps.Keys(written)) {
		text, path := portType(written[name], field, name)
		if text == nil {
			continue
		}
		t, ok := c.typename(*text, path)
		if p, known := ports[name]; known && ok {
			p.Type = t.String()
			ports[name] = p
		}
	}
}

// typename parses the typename of a port, or reports why it is not one.
func (c *checker) typename(text string, path []string) (Typename, bool) {
	t, err := ParseTypename(text)
	if err == nil {
		if applied := c.used(t); applied != "" {
			err = fmt.Errorf("%s is a type parameter, which takes no arguments", applied)
		}
	}
	if err != nil {
		c.report.Add(problem.BadTypename,
			document.Quote(text)+" is not a typename: "+err.Error(), "", path...)
		c.vague = true
	}
	return t, err == nil
}

// reserved rejects a port that every node has.
func (c *checker) reserved(field, name string) {
	if _, declared := c.object(field)[name]; declared {
		c.report.Add(problem.BadName,
			document.Quote(name)+" is one of the "+field+" of every node; a progdef cannot declare it",
			"give the port another name", field, name)
	}
}

// portType returns the typename of a port in either form and its path. It returns nil if the schema has found
// that there is none.
func portType(port any, path ...string) (*string, []string) {
	if object, ok := port.(map[string]any); ok {
		port, path = object["type"], append(path, "type")
	}
	text, ok := port.(string)
	if !ok {
		return nil, path
	}
	return &text, path
}

func (c *checker) program() {
	if _, flow := c.fields["flow"]; flow {
		c.noProgram()
		return
	}
	_, image := c.fields["image"]
	_, build := c.fields["build"]
	_, command := c.fields["command"]
	switch {
	case image || command:
	case build:
		c.report.Add(problem.NothingToRun, "the progdef has nothing to run: its image is not built yet",
			"apply what `dagyo progdef build` prints", "build")
	default:
		c.report.Add(problem.NothingToRun, "the progdef has nothing to run", "set an image, a command or a flow")
	}
	if image && !c.faulty("image", "") && badImage(c.doc.Image) {
		c.report.Add(problem.BadImage, document.Quote(c.doc.Image)+" is not an image reference", "",
			"image")
	}
}

// noProgram rejects what is about a program in a progdef that is a flow.
func (c *checker) noProgram() {
	for _, field := range slices.Sorted(maps.Keys(c.fields)) {
		switch field {
		case "$schema", "name", "description", "typeParams", "inputs", "outputs", "flow":
		default:
			if !c.faulty(field, "") {
				c.report.Add(problem.SchemaMismatch, document.Quote(field)+" has no meaning in a progdef with a flow",
					"remove it: the programs of the flow's nodes have their own", field)
			}
		}
	}
}

// badImage reports references that are invalid in any registry: white space, control characters, or what a
// command line would take for an option. The registry decides about the rest.
func badImage(image string) bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	return image == "" || image[0] == '-' || strings.ContainsFunc(image, odd)
}
