package flow

import (
	"maps"
	"testing"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// catalog contains the progdefs of the tests.
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
		`{"name":"same","image":"i","typeParams":["T"],"inputs":{"in":"T"},"outputs":{"out":"T"}}`,
		`{"name":"tee","image":"i","typeParams":["T"],"inputs":{"in":"T"},
			"outputs":{"left":"T","right":"T"}}`,
		`{"name":"wrap","image":"i","typeParams":["X"],"inputs":{"in":"X"},
			"outputs":{"out":"list<X>"}}`,
		`{"name":"first","image":"i","typeParams":["E"],"inputs":{"in":"list<E>"},
			"outputs":{"out":"E"}}`,
		`{"name":"zip","image":"i","typeParams":["A","B"],"inputs":{"a":"A","b":"B"},
			"outputs":{"out":"Pair<A,B>"}}`,
		`{"name":"unzip","image":"i","typeParams":["A","B"],"inputs":{"in":"Pair<A,B>"},
			"outputs":{"a":"A","b":"B"}}`,
		`{"name":"twice","image":"i","typeParams":["T"],"inputs":{"in":"T"},
			"outputs":{"out":"Pair<T,T>"}}`,
		`{"name":"append","image":"i","typeParams":["T"],"inputs":{"item":"T","to":"list<T>"},
			"outputs":{"out":"list<T>"}}`,
		`{"name":"assert","image":"i","typeParams":["T"],"inputs":{"in":"Result<T>"},
			"outputs":{"out":"T"}}`,
		`{"name":"attempt","image":"i","typeParams":["T"],"inputs":{"in":"T"},"outputs":{"out":"Result<T>"}}`,
		`{"name":"merge","image":"i","typeParams":["T"],"inputs":{"a":"T","b":"T"},"outputs":{"out":"T"}}`,
		`{"name":"ignore","image":"i","typeParams":["T"],"inputs":{"in":"T"}}`,
	} {
		doc, problems := progdef.Check([]byte(raw), document.DefaultLimits())
		if problems != nil {
			t.Fatal(problems)
		}
		out[doc.Name] = doc.Pin()
	}
	return out
}

// plain is the catalogue without its generic progdefs.
func plain(t testing.TB) Catalog {
	out := catalog(t)
	maps.DeleteFunc(out, func(_ string, p progdef.Pinned) bool {
		return len(p.Document.TypeParams) > 0
	})
	return out
}
