package flow

import (
	"testing"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// catalog is what the flows of the tests are made of.
func catalog(t testing.TB) Catalog {
	t.Helper()
	out := Catalog{}
	for _, raw := range []string{
		`{"name":"greet","image":"i","inputs":{"name":"utf8-string"},
			"outputs":{"greeting":"utf8-string"}}`,
		`{"name":"join","image":"i","inputs":{"left":"utf8-string","right":"utf8-string"},
			"outputs":{"both":"utf8-string"}}`,
		`{"name":"split","image":"i","inputs":{"all":"utf8-string"},
			"outputs":{"left":"utf8-string","right":"utf8-string"}}`,
		`{"name":"parse","image":"i","inputs":{"text":"utf8-string"},
			"outputs":{"value":"json","errors":"list<utf8-string>"}}`,
		`{"name":"void_sink","image":"i","inputs":{"items":"json"}}`,
		`{"name":"render","image":"i","inputs":{"in":"json"},"outputs":{"out":"utf8-string"}}`,
		`{"name":"count","image":"i","inputs":{"items":"list<utf8-string>"},
			"outputs":{"count":"json"}}`,
	} {
		doc, problems := progdef.Check([]byte(raw), document.DefaultLimits())
		if problems != nil {
			t.Fatal(problems)
		}
		out[doc.Name] = doc.Pin()
	}
	return out
}
