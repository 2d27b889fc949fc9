package std

import (
	"embed"
	"fmt"

	"github.com/dagyo/dagyo/executor"
)

//go:embed progdefs/*.json
var documents embed.FS

// A Progdef is a standard progdef and its program.
type Progdef struct {
	Name string
	// Document is the progdef document, JSON.
	Document []byte
	Program  executor.Program
}

// Standard returns every standard progdef, ordered by name.
func Standard() []Progdef {
	return []Progdef{
		with("assert", assert()),
		with("batch", batch()),
		with("concat", concat()),
		with("count", count()),
		with("counter", counter()),
		with("dedupe", dedupe()),
		with("flatten", flatten()),
		with("greet", greeter()),
		with("head", head()),
		with("http_get", httpGet()),
		with("http_post", httpPost()),
		with("ignore_errors", ignoreErrors()),
		with("join", join()),
		with("jq", jq()),
		with("lines", lines()),
		with("log_errors", logErrors()),
		with("merge", merge()),
		with("partition", partition()),
		with("sample", sample()),
		with("sleep", sleeper()),
		with("sort", sorter()),
		with("source", source()),
		with("split_errors", splitErrors()),
		with("tee", tee()),
		with("template", template()),
		with("throttle", throttle()),
		with("unordered_cartesian_product", cartesianProduct()),
		with("void_sink", voidSink()),
		with("window", window()),
		with("zip", zip()),
	}
}

// Find returns the standard progdef with the given name.
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
	if err != nil { // a test checks that every listed progdef is embedded
		panic(fmt.Sprintf("standard progdef %s: %v", name, err))
	}
	return Progdef{Name: name, Document: document, Program: p}
}
