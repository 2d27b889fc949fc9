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
		with("greet", greeter()),
		with("source", source()),
		with("unordered_cartesian_product", cartesianProduct()),
		with("void_sink", voidSink()),
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
