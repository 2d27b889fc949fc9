package progdef

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

const (
	// MaxTypeParam is the maximum length of the name of a type parameter, in bytes.
	MaxTypeParam = 32
	// MaxTypeParams is the maximum number of type parameters, as in the schema.
	MaxTypeParams = 16
)

// typeParams checks the names of the type parameters and records them for the ports.
func (c *checker) typeParams() {
	written, _ := c.fields["typeParams"].([]any)
	for i, w := range written {
		name, ok := w.(string)
		if !ok {
			continue
		}
		c.params = append(c.params, name)
		if message := BadTypeParam(name); message != "" {
			c.report.Add(problem.BadTypeParam, message, "", "typeParams", strconv.Itoa(i))
			c.vague = true
		}
	}
}

// BadTypeParam explains what is wrong with the name of a type parameter, or returns "".
func BadTypeParam(name string) string {
	if IsBuiltin(name) {
		return document.Quote(name) + " is a built-in typename; a type parameter needs another name"
	}
	for i := range len(name) {
		c := name[i]
		capital, small := c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !capital && (i == 0 || !small) {
			name = ""
			break
		}
	}
	if name == "" || len(name) > MaxTypeParam {
		return fmt.Sprintf("the name of a type parameter is a capital letter, "+
			"then letters and digits, at most %d in total", MaxTypeParam)
	}
	return ""
}

// used records the type parameters in a port's typename. A parameter stands for a whole typename, so it has
// no arguments; applied is one that has.
func (c *checker) used(t Typename) (applied string) {
	if slices.Contains(c.params, t.Name) {
		c.uses[t.Name] = true
		if len(t.Args) > 0 {
			applied = t.Name
		}
	}
	for _, arg := range t.Args {
		if wrong := c.used(arg); applied == "" {
			applied = wrong
		}
	}
	return applied
}

// unused reports the parameters that no port uses, unless a faulty port may use them.
func (c *checker) unused() {
	if c.vague || c.faultyIn("inputs") || c.faultyIn("outputs") {
		return
	}
	for i, name := range c.params {
		if !c.uses[name] && !c.faulty("typeParams", strconv.Itoa(i)) {
			c.report.Add(problem.UnusedTypeParam, "no port uses the type parameter "+
				document.Quote(name), "use it in the typename of a port, or remove it",
				"typeParams", strconv.Itoa(i))
		}
	}
}

// faultyIn reports whether any part of the field breaks the schema.
func (c *checker) faultyIn(field string) bool {
	for at := range c.faults {
		if at[0] == field {
			return true
		}
	}
	return false
}
