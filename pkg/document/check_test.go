package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/schemas"
)

func TestCheckFindsEveryProblem(t *testing.T) {
	tests := []struct {
		name, schema, raw string
		want              []string
	}{
		{"nothing wrong", "flow", `{}`, nil},
		{"empty", "flow", " \n", []string{
			"(document): not JSON: the document is empty [not-json]"}},
		{"cut off", "flow", "{\"nodes\":\n {", []string{
			"(document): not JSON at line 2, column 3: unexpected end of JSON input [not-json]"}},
		{"trailing data", "flow", `{} {}`, []string{
			"(document): not JSON at line 1, column 4: " +
				"invalid character '{' after top-level value [not-json]"}},
		{"not UTF-8", "flow", "{\n\"é\xff\":1}", []string{
			"(document): not JSON at line 2, column 3: the text is not Unicode [not-json]"}},
		{"half of a surrogate pair", "flow", `{"\ud800":1}`, []string{
			"(document): not JSON at line 1, column 3: the text is not Unicode [not-json]"}},
		{"a whole surrogate pair", "flow", `{"nodes":{"a":{"progdef":"\ud83d\ude00"}}}`, nil},
		{"duplicate keys", "flow", `{"nodes":{},"edges":[],"nodes":{},"edges":[]}`, []string{
			`/edges: the key "edges" is repeated [duplicate-key]`,
			`/nodes: the key "nodes" is repeated [duplicate-key]`}},
		{"number out of range", "flow", `{"deadline":1e-999999999}`, []string{
			"/deadline: the number is too large or too long to be represented exactly [too-large]"}},
		{"wrong kind", "flow", `[]`, []string{
			"(document): must be an object, not an array [schema]"}},
		{"unknown field, near", "flow", `{"edgs":[]}`, []string{
			`/edgs: unknown field "edgs" [unknown-field] — did you mean "edges"?`}},
		{"letters swapped", "flow", `{"nodes":{"a":{"progdef":"p","wiht":{}}}}`, []string{
			`/nodes/a/wiht: unknown field "wiht" [unknown-field] — ` +
				`did you mean "with"?`}},
		{"unknown field, far", "flow", `{"edges":[{"from":"a.b","to":"a.b","~/":1}]}`, []string{
			`/edges/0/~0~1: unknown field "~/" [unknown-field] — ` +
				`the fields are "from" and "to"`}},
		{"missing field", "flow", `{"edges":[{"from":"a.b"}]}`, []string{
			`/edges/0: the field "to" is missing [schema]`}},
		{"bad name", "flow", `{"nodes":{"A.b":{"progdef":"p"}},"edges":[]}`, []string{
			`/nodes/A.b: "A.b" is not a name: 1 to 63 lower-case letters, digits, "-" or "_", ` +
				`a letter or a digit at both ends [bad-name]`}},
		{"bad duration", "flow", `{"deadline":"10"}`, []string{
			`/deadline: "10" is not a duration such as "250ms" or "10m" [bad-duration]`}},
		{"duration out of range", "flow", `{"deadline":"9999999999h"}`, []string{
			`/deadline: "9999999999h" is not a duration such as "250ms" or "10m" ` +
				`[bad-duration]`}},
		{"none of several", "flow", `{"nodes":{"a":{}}}`, []string{
			`/nodes/a: one of the fields "progdef" or "const" is missing [schema]`}},
		{"two of several", "flow",
			`{"nodes":{"a":{"progdef":"p","const":{"type":"t","values":[]}}}}`, []string{
				`/nodes/a: the fields "progdef" and "const" are mutually exclusive [schema]`}},
		{"union of kinds", "progdef", `{"name":"p","inputs":{"x":1}}`, []string{
			"/inputs/x: must be a string or an object, not a number [schema]"}},
		{"inside a union", "progdef", `{"name":"p","inputs":{"x":{"type":1}}}`, []string{
			"/inputs/x/type: must be a string, not a number [schema]"}},
		{"dependent field", "flow",
			`{"nodes":{"a":{"with":{},"const":{"type":"t","values":[]}}}}`, []string{
				`/nodes/a: the field "with" also needs "progdef" [schema]`}},
		{"numbers", "progdef",
			`{"name":"p","scaling":{"jobsPerExecutor":1.5,"minExecutors":-1}}`, []string{
				"/scaling/jobsPerExecutor: must be a whole number [schema]",
				"/scaling/minExecutors: must be at least 0, not -1 [schema]"}},
		{"too few", "progdef", `{"name":"p","command":[]}`, []string{
			"/command: must not be empty [schema]"}},
		{"enumeration", "progdef",
			`{"name":"p","machine":{"tolerations":[{"operator":"exists"}]}}`, []string{
				`/machine/tolerations/0/operator: must be "Exists" or "Equal" [schema] — ` +
					`did you mean "Exists"?`}},
		{"unknown schema", "no-such", `{}`, []string{
			`(document): schema no-such: failing loading "` + schemas.BaseURL + `no-such.json": ` +
				`open no-such.json: file does not exist [internal-failure]`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := Check(tt.schema, []byte(tt.raw), DefaultLimits())
			if got, want := problems.Error(), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// A record is text. JSON instead of text is reported once, with the text to write.
func TestRecordsThatAreJSON(t *testing.T) {
	for record, want := range map[string]string{
		`5`:       `not a number [schema] — write JSON as a string: "5"`,
		`null`:    `not null [schema] — write JSON as a string: "null"`,
		`true`:    `not a boolean [schema] — write JSON as a string: "true"`,
		`[1]`:     `not an array [schema] — write JSON as a string: "[1]"`,
		`{"a":1}`: `not an object [schema] — write JSON as a string: "{\"a\":1}"`,
	} {
		_, problems := Check("flow", []byte(`{"nodes":{"n":{"progdef":"p","with":{"x":[`+record+`]}}}}`),
			DefaultLimits())
		want = `/nodes/n/with/x/0: a record must be a string or {"base64": "…"}, ` + want
		if got := problems.Error(); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", record, got, want)
		}
	}
}

// Editors find a document's schema by the field $schema. Some begin files with a byte-order mark.
func TestAdditionsOfEditorsAreAccepted(t *testing.T) {
	for schema, fields := range map[string]string{
		"flow": "", "progdef": `,"name":"p"`, "test": "", "policy": "", "type": `,"name":"t","description":"d"`,
	} {
		raw := "\ufeff" + `{"$schema":"https://example.com/x.json"` + fields + `}`
		if _, problems := Check(schema, []byte(raw), DefaultLimits()); problems != nil {
			t.Errorf("%s: %v", schema, problems)
		}
	}
	_, problems := Check("flow", []byte(`{"x":1}`), DefaultLimits())
	if len(problems) != 1 || strings.Contains(problems[0].Hint, "schema") {
		t.Errorf("%v", problems)
	}
}

// The schemas for editors stand alone.
func TestSchemasForEditors(t *testing.T) {
	for _, name := range []string{"flow", "policy", "progdef", "sign-in", "test", "type"} {
		text, err := Schema(name)
		if err != nil {
			t.Fatal(err)
		}
		var schema any
		if err := json.Unmarshal(text, &schema); err != nil {
			t.Fatal(name, err)
		}
		alone := jsonschema.NewCompiler()
		alone.UseLoader(nowhere{})
		if err := alone.AddResource(name, schema); err != nil {
			t.Fatal(name, err)
		}
		if _, err := alone.Compile(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Schema("no-such"); err == nil {
		t.Error("found a schema that does not exist")
	}
}

type nowhere struct{}

func (nowhere) Load(address string) (any, error) { return nil, errors.New("refers to " + address) }

func TestWhyNotJSON(t *testing.T) {
	for text, want := range map[string]string{
		"{}":           "",
		" ":            "it is empty",
		"{\"a\":\n x}": `invalid character 'x' looking for beginning of value at line 2, column 2; it begins with "{\"a\":\n x}"`,
		"[1":           `unexpected end of JSON input at column 3; it begins with "[1"`,
		"1 2":          `invalid character '2' after top-level value at column 3; it begins with "1 2"`,
		"x" + strings.Repeat("é", 60): `invalid character 'x' looking for beginning of value at column 1; ` +
			`it begins with "x` + strings.Repeat("é", 39) + `…"`,
	} {
		if got := WhyNotJSON([]byte(text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestCheckLimits(t *testing.T) {
	limits := Limits{Bytes: 20, Depth: 3}
	tests := []struct{ raw, want string }{
		{strings.Repeat(" ", 21), "(document): the document has 21 bytes; " +
			"the limit is 20 [too-large]"},
		{`{"a":[{"b":{}}]}`, "/a/0/b: nested more than 3 levels deep " +
			"[too-deep]"},
	}
	for _, tt := range tests {
		tree, problems := Check("flow", []byte(tt.raw), limits)
		if tree != nil || problems.Error() != tt.want {
			t.Errorf("Check(%s) = %v, %q; want %q", tt.raw, tree, problems.Error(), tt.want)
		}
	}
}

func TestDeepJSONIsNotASyntaxError(t *testing.T) {
	raw := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	_, problems := Check("flow", []byte(raw), DefaultLimits())
	if len(problems) != 1 || problems[0].Code != problem.TooDeep {
		t.Error(problems)
	}
}

func TestDeepGarbageIsRejected(t *testing.T) {
	for _, open := range []string{"[", `{"a":`, `[{"a":`} {
		raw := strings.Repeat(open, DefaultLimits().Bytes/len(open))
		tree, problems := Check("flow", []byte(raw), DefaultLimits())
		if tree != nil || len(problems) != 1 {
			t.Errorf("%s…: %d problems", open, len(problems))
		}
	}
}

// The validator overwrites its location of a bad name when it continues.
func TestBadNamesHaveTheRightPointer(t *testing.T) {
	raw := `{"inputs":{"A":"a.b"},"nodes":{"B":{"progdef":"p"}},"outputs":{"C":"a.b"},"edges":[]}`
	for range 50 {
		_, problems := Check("flow", []byte(raw), DefaultLimits())
		got := make([]string, len(problems))
		for i, p := range problems {
			got[i] = p.Pointer + " " + string(p.Code)
		}
		want := "/inputs/A bad-name, /nodes/B bad-name, /outputs/C bad-name"
		if s := strings.Join(got, ", "); s != want {
			t.Fatalf("got %s, want %s", s, want)
		}
	}
}

func TestReportsStayBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"` + strings.Repeat("k", 100_000) + `":1`)
	for i := range 20_000 {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	b.WriteString("}")
	_, first := Check("flow", []byte(b.String()), DefaultLimits())
	_, second := Check("flow", []byte(b.String()), DefaultLimits())
	if first.Error() != second.Error() {
		t.Error("the same document got two different answers")
	}
	last := first[len(first)-1]
	if len(first) != reportProblems+1 || last.Code != problem.TooMany {
		t.Errorf("%d problems, the last is %s", len(first), last)
	}
}

// The problems that a full report omits must not depend on the order of map iteration.
func TestFullReportsAreDeterministic(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, `,"A%d":{"x%d":1}`, i, i)
	}
	raw := []byte(`{"nodes":{` + b.String()[1:] + `}}`)
	_, first := Check("flow", raw, DefaultLimits())
	for range 3 {
		if _, again := Check("flow", raw, DefaultLimits()); again.Error() != first.Error() {
			t.Fatal("the same document got two different answers")
		}
	}
}

func TestConcurrentChecks(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			schema := []string{"flow", "progdef"}[i%2]
			if _, problems := Check(schema, []byte(`{"x":1}`), DefaultLimits()); problems == nil {
				t.Error("found nothing")
			}
		})
	}
	all.Wait()
}

func TestExamplesKeepTheirSchemas(t *testing.T) {
	for _, schema := range []string{"flow", "progdef", "test"} {
		for _, name := range examples(t, schema) {
			raw, err := schemas.Files.ReadFile("examples/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if _, problems := Check(schema, raw, DefaultLimits()); problems != nil {
				t.Errorf("%s: %v", name, problems)
			}
		}
	}
}

// examples lists <schema>.json and <schema>-*.json.
func examples(t *testing.T, schema string) []string {
	t.Helper()
	entries, err := schemas.Files.ReadDir("examples")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		stem := strings.TrimSuffix(e.Name(), ".json")
		_, err := schemas.Files.Open(e.Name())
		own := err == nil // the example of a schema of that name
		if stem == schema || strings.HasPrefix(stem, schema+"-") && !own {
			out = append(out, e.Name())
		}
	}
	if len(out) < 2 {
		t.Fatalf("%d examples of %s", len(out), schema)
	}
	return out
}

func TestSchemasUseThePatternsVerbatim(t *testing.T) {
	for location, want := range map[string]string{
		"flow.json#/properties/nodes/propertyNames":   NamePattern,
		"flow.json#/properties/inputs/propertyNames":  NamePattern,
		"flow.json#/properties/outputs/propertyNames": NamePattern,
		"flow.json#/$defs/duration":                   DurationPattern,
		"progdef.json#/$defs/name":                    NamePattern,
		"progdef.json#/$defs/duration":                DurationPattern,
	} {
		file, _, _ := strings.Cut(location, ".")
		if _, err := compiled().schema(file); err != nil {
			t.Fatal(err)
		}
		if got := compiled().source(base + location)["pattern"]; got != want {
			t.Errorf("the pattern at %s is %v, want %s", location, got, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	words := []string{"greeting", "name", "names", "unordered_cartesian_product", "with"}
	tests := []struct{ word, want string }{
		{"greting", "greeting"}, {"GREETING", "greeting"}, {"nmae", "name"}, {"nam", "name"},
		{"namess", "names"}, {"unordered-cartesian-product", "unordered_cartesian_product"},
		{"path", ""}, {"", ""}, {"x", ""}, {strings.Repeat("name", 1000), ""},
	}
	for _, tt := range tests {
		if got := Suggest(tt.word, words); got != tt.want {
			t.Errorf("Suggest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"a\"b":                   `"a\"b"`,
		strings.Repeat("é", 80):  `"` + strings.Repeat("é", 80) + `"`,
		strings.Repeat("é", 999): `"` + strings.Repeat("é", 80) + `…"`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `null`, `{"a":1,"a":2}`, `{"nodes":{"a":{}},"edges":[1]}`, `[[[[`,
		`{"name":"p","inputs":{"A":{"type":1}},"scaling":{"jobsPerExecutor":1e400}}`,
		`{"nodes":{"a":{"const":{"type":"t","values":[{"base64":1},"\ud800"]}}}}`,
	} {
		f.Add([]byte(seed))
	}
	limits := Limits{Bytes: 4096, Depth: 8}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, schema := range []string{"flow", "progdef"} {
			_, problems := Check(schema, raw, limits)
			for _, p := range problems {
				if !exists(raw, p.Pointer) {
					t.Errorf("%s: %s points nowhere in %q", schema, p, raw)
				}
			}
		}
	})
}

// exists reports whether a pointer refers to a value. If a key is repeated, it may refer to any of its values.
func exists(raw []byte, pointer string) bool {
	if pointer == "" {
		return true
	}
	token, _, _ := strings.Cut(pointer[1:], "/")
	rest := pointer[1+len(token):]
	token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	open, _ := dec.Token()
	for i := 0; dec.More(); i++ {
		key := strconv.Itoa(i)
		if open == json.Delim('{') {
			t, _ := dec.Token()
			key, _ = t.(string)
		}
		var v json.RawMessage
		if dec.Decode(&v) != nil {
			return false
		}
		if key == token && exists(v, rest) {
			return true
		}
	}
	return false
}

// The tree equals the result of encoding/json.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5,-0,true,false,null,"x\"\\\u00e9"],"b":{}, "":[ ] }`, ` "s" `, `[[],{}]`, `7`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var report Report
		got, ok := read(raw, DefaultLimits(), &report)
		if !ok || report.List() != nil {
			return
		}
		var want any
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("%q was read but is not JSON: %v", raw, err)
		}
		text, _ := json.Marshal(got)
		var again any
		if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%q reads as %s", raw, text)
		}
	})
}

func TestShorten(t *testing.T) {
	for _, tt := range []struct {
		text string
		most int
		want string
	}{
		{"", 0, ""}, {"short", 5, "short"}, {"longer", 5, "lo…"}, {"ééé", 5, "é…"}, {"ab\xffcdef", 6, "ab…"}, {"longer", 2, "…"},
	} {
		if got := Shorten(tt.text, tt.most); got != tt.want {
			t.Errorf("Shorten(%q, %d) = %q, want %q", tt.text, tt.most, got, tt.want)
		}
	}
}
