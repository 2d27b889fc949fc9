package std

import (
	"embed"
	"fmt"

	"github.com/dagyo/dagyo/executor"
)

//go:embed progdefs/*.json
var documents embed.FS

// A Progdef is a standard progdef and the program behind it.
type Progdef struct {
	Name string
	// Document is the progdef document, JSON.
	Document []byte
	Program  executor.Program
}

// Standard returns every standard progdef, in the order of their names.
func Standard() []Progdef {
	return []Progdef{
		with("assert", assert()),
		with("concat", concat()),
		with("count", count()),
		with("counter", counter()),
		with("flatten", flatten()),
		with("greet", greeter()),
		with("head", head()),
		with("http_get", httpGet()),
		with("ignore_errors", ignoreErrors()),
		with("jq", jq()),
		with("lines", lines()),
		with("log_errors", logErrors()),
		with("merge", merge()),
		with("source", source()),
		with("split_errors", splitErrors()),
		with("tee", tee()),
		with("unordered_cartesian_product", cartesianProduct()),
		with("void_sink", voidSink()),
		with("zip", zip()),
	}
}

// Find returns the standard progdef of that name.
func Find(name string) (Progdef, bool) {
	for _, p := range Standard() {
		if p.Name == name {
			return p, true
		}
	}
	return Progdef{}, false
}

func with(name string, p executor.Program) Progdef {
	document, err := documents.ReadFile("progdefs/" + name + ".json")
	if err != nil { // the embedded files and this list are one; a test reads them all
		panic(fmt.Sprintf("standard progdef %s: %v", name, err))
	}
	return Progdef{Name: name, Document: document, Program: p}
}
