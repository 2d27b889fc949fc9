package progdef

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/schemas"
)

func TestCheckFindsEveryProblem(t *testing.T) {
	tests := []struct {
		name, raw string
		want      []string
	}{
		{"nothing wrong", `{"name":"p","command":["true"]}`, nil},
		{"not JSON", `{`, []string{
			"(document): not JSON at line 1, column 2: unexpected end of JSON input [not-json]"}},
		{"nothing to run", `{"name":"p"}`, []string{
			"(document): the progdef has nothing to run [nothing-to-run] — " +
				"set an image, a command or a flow"}},
		{"nothing to run yet", `{"name":"p","build":{}}`, []string{
			"/build: the progdef has nothing to run: its image is not built yet [nothing-to-run] — " +
				"apply what `dagyo progdef build` prints"}},
		{"a malformed command counts as a command", `{"name":"p","command":"true"}`, []string{
			"/command: must be an array, not a string [schema]"}},
		{"bad image", `{"name":"p","image":"--privileged"}`, []string{
			`/image: "--privileged" is not an image reference [bad-image]`}},
		{"scaling", `{"name":"p","image":"p","scaling":{"minExecutors":3,"maxExecutors":2}}`,
			[]string{"/scaling: minExecutors is 3, more than maxExecutors, 2 [bad-scaling]"}},
		{"scaling by default", `{"name":"p","image":"p","scaling":{"minExecutors":21}}`,
			[]string{"/scaling: minExecutors is 21, more than maxExecutors, 20 by default " +
				"[bad-scaling]"}},
		{"no conclusion from a faulty bound",
			`{"name":"p","image":"p","scaling":{"minExecutors":21,"maxExecutors":"x"}}`,
			[]string{"/scaling/maxExecutors: must be a whole number, not a string [schema]"}},
		{"health", `{"name":"p","image":"p","health":{"interval":"1m","timeout":"90s"}}`,
			[]string{"/health/timeout: the timeout is 1m30s; it must be at least twice the " +
				"interval, 1m0s [bad-duration]"}},
		{"health by default", `{"name":"p","image":"p","health":{"interval":"1m"}}`,
			[]string{"/health: the timeout is 10s by default; it must be at least twice the " +
				"interval, 1m0s [bad-duration]"}},
		{"health interval too short", `{"name":"p","image":"p","health":{"interval":"9ms"}}`,
			[]string{"/health/interval: the interval is 9ms; it must be at least 10ms " +
				"[bad-duration]"}},
		{"typenames", `{"name":"p","image":"p","inputs":{"a":"list<","b":{"type":"9"},"c":1}}`,
			[]string{
				`/inputs/a: "list<" is not a typename: a typename cannot end here: ` +
					`a letter must follow [bad-typename]`,
				`/inputs/b/type: "9" is not a typename: byte 1 of a typename must be a letter ` +
					`[bad-typename]`,
				"/inputs/c: must be a string or an object, not a number [schema]"}},
		{"type parameters", `{"name":"p","image":"p","typeParams":["T","Err2"],` +
			`"inputs":{"a":"list<T>"},"outputs":{"b":{"type":"Result<Pair<T, Err2>>"}}}`, nil},
		{"bad type parameters", `{"name":"p","image":"p","typeParams":["Result","t","T-1",1,""],` +
			`"inputs":{"a":"json"}}`, []string{
			`/typeParams/0: "Result" is a built-in typename; a type parameter needs another name ` +
				`[bad-type-param]`,
			"/typeParams/1: the name of a type parameter is a capital letter, then letters and " +
				"digits, at most 32 in total [bad-type-param]",
			"/typeParams/2: the name of a type parameter is a capital letter, then letters and " +
				"digits, at most 32 in total [bad-type-param]",
			"/typeParams/3: must be a string, not a number [schema]",
			"/typeParams/4: the name of a type parameter is a capital letter, then letters and " +
				"digits, at most 32 in total [bad-type-param]"}},
		{"too many type parameters", `{"name":"p","image":"p","inputs":{"a":"x<A>"},"typeParams":[` +
			`"A","B","C","D","E","F","G","H","I","J","K","L","M","N","O","P","Q"]}`,
			[]string{"/typeParams: must have at most 16 items, not 17 [schema]"}},
		{"the same type parameter", `{"name":"p","image":"p","inputs":{"a":"T"},` +
			`"typeParams":["T","T"]}`,
			[]string{"/typeParams: the items 0 and 1 are equal [schema]"}},
		{"unused type parameter", `{"name":"p","image":"p","typeParams":["T","U"],` +
			`"outputs":{"a":"list<U>"}}`, []string{
			`/typeParams/0: no port uses the type parameter "T" [unused-type-param] — ` +
				`use it in the typename of a port, or remove it`}},
		{"type parameter with arguments", `{"name":"p","image":"p","typeParams":["T","U"],` +
			`"inputs":{"a":"list<T<json>>"}}`, []string{
			`/inputs/a: "list<T<json>>" is not a typename: T is a type parameter, which takes no ` +
				`arguments [bad-typename]`}},
		{"type parameters may be unused if a port is faulty", `{"name":"p","image":"p",` +
			`"typeParams":["T"],"inputs":{"a":"list<T","b":1}}`, []string{
			`/inputs/a: "list<T" is not a typename: a typename cannot end here: "," or ">" must ` +
				`follow [bad-typename]`,
			"/inputs/b: must be a string or an object, not a number [schema]"}},
		{"ports that every node has", `{"name":"p","image":"p","inputs":{"stop":"json","panic":"json"},` +
			`"outputs":{"panic":"json","stop":"json"}}`, []string{
			`/inputs/stop: "stop" is one of the inputs of every node; a progdef cannot declare it ` +
				`[bad-name] — give the port another name`,
			`/outputs/panic: "panic" is one of the outputs of every node; a progdef cannot declare it ` +
				`[bad-name] — give the port another name`}},
		{"environment", `{"name":"p","image":"p","env":{"":"","1A":"","DAGYO_JOBS":"","a_1":"",` +
			`"OK":1},"envFrom":[{},{"secret":"a","configMap":"b"},{"secret":"a"}]}`, []string{
			"/env/: the name of an environment variable consists of letters, digits and " +
				"underscores and does not start with a digit [bad-environment]",
			"/env/1A: the name of an environment variable consists of letters, digits and " +
				"underscores and does not start with a digit [bad-environment]",
			`/env/DAGYO_JOBS: "DAGYO_JOBS" begins with DAGYO_, which is reserved for ` +
				`variables that Dagyo sets [bad-environment]`,
			"/env/OK: must be a string, not a number [schema]",
			"/envFrom/0: must name either a secret or a configMap [bad-environment]",
			"/envFrom/1: must name either a secret or a configMap [bad-environment]"}},
		{"quantities", `{"name":"p","image":"p","resources":{"requests":{"cpu":"1 core",` +
			`"memory":"1.5Gi","x":"1e3","y":"100m"},"limits":{"cpu":"-1","memory":1}}}`, []string{
			`/resources/limits/cpu: "-1" is not a quantity such as "100m", "64Mi" or "1.5" ` +
				`[bad-resource]`,
			"/resources/limits/memory: must be a string, not a number [schema]",
			`/resources/requests/cpu: "1 core" is not a quantity such as "100m", "64Mi" or ` +
				`"1.5" [bad-resource]`}},
		{"all together", `{"nmae":"p","scaling":{"jobsPerExecutor":0,"minExecutors":30},` +
			`"inputs":{"A":"x","b":""}}`, []string{
			"(document): the progdef has nothing to run [nothing-to-run] — " +
				"set an image, a command or a flow",
			`(document): the field "name" is missing [schema]`,
			`/inputs/A: "A" is not a name: 1 to 63 lower-case letters, digits, "-" or "_", ` +
				`a letter or a digit at both ends [bad-name]`,
			`/inputs/b: "" is not a typename: a typename cannot end here: ` +
				`a letter must follow [bad-typename]`,
			`/nmae: unknown field "nmae" [unknown-field] — did you mean "name"?`,
			"/scaling: minExecutors is 30, more than maxExecutors, 20 by default [bad-scaling]",
			"/scaling/jobsPerExecutor: must be at least 1, not 0 [schema]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := Check([]byte(tt.raw), document.DefaultLimits())
			if got, want := problems.Error(), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestCheckFillsInDefaults(t *testing.T) {
	raw := `{"name":"p","image":"p","build":{},"inputs":{"a":"list< json >","b":{"type":"json",
		"description":"d"}},"scaling":{"jobsPerExecutor":1e3}}`
	got, problems := Check([]byte(raw), document.DefaultLimits())
	if problems != nil {
		t.Fatal(problems)
	}
	want := Document{
		Name:    "p",
		Image:   "p",
		Build:   &Build{Context: ".", Dockerfile: "Dockerfile"},
		Inputs:  map[string]Port{"a": {Type: "list<json>"}, "b": {Type: "json", Description: "d"}},
		Outputs: map[string]Port{},
		Scaling: Scaling{
			JobsPerExecutor: 1000, MaxExecutors: 20, IdleTimeout: document.Duration(5 * time.Minute),
		},
		Health: Health{
			Interval: document.Duration(2 * time.Second),
			Timeout:  document.Duration(10 * time.Second),
		},
		Drain: Drain{GracePeriod: document.Duration(24 * time.Hour)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The document that Check returns passes Check unchanged.
func TestCheckedExamplesCheckAgain(t *testing.T) {
	for _, name := range []string{
		"progdef", "progdef-generic", "progdef-minimal", "progdef-sink",
	} {
		first := example(t, name)
		raw, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		second, problems := Check(raw, document.DefaultLimits())
		if problems != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%s: got %+v, %v; want %+v", name, second, problems, first)
		}
	}
}

func example(t *testing.T, name string) Document {
	t.Helper()
	raw, err := schemas.Files.ReadFile("examples/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := Check(raw, document.DefaultLimits())
	if problems != nil {
		t.Fatalf("%s: %v", name, problems)
	}
	return doc
}

// A changed revision means a new mailbox for every progdef, so it must not change by accident.
func TestRevisionIsStable(t *testing.T) {
	for name, want := range map[string]string{
		"progdef":         "be23c46aeb9ca28a",
		"progdef-generic": "c36d37284ca02a68",
		"progdef-minimal": "1a62e343f19fb444",
		"progdef-sink":    "c8367e5978d2b038",
	} {
		if got := example(t, name).Revision(); got != want {
			t.Errorf("the revision of %s is %s, want %s", name, got, want)
		}
	}
}

func TestRevisionDependsOnWhatRuns(t *testing.T) {
	base := example(t, "progdef").Revision()
	counts := map[string]func(*Document){
		"image":   func(d *Document) { d.Image += "0" },
		"build":   func(d *Document) { d.Build = nil },
		"command": func(d *Document) { d.Command = append(d.Command, "-v") },
		"input":   func(d *Document) { d.Inputs = map[string]Port{"names": d.Inputs["name"]} },
		"output":  func(d *Document) { d.Outputs = nil },
		"type":    func(d *Document) { d.Inputs = map[string]Port{"name": {Type: "json"}} },
		"params":  func(d *Document) { d.TypeParams = []string{"T"} },
		"code":    func(d *Document) { d.Code = "sha256:0" },
		"env":     func(d *Document) { d.Env = nil },
		"envFrom": func(d *Document) { slices.Reverse(d.EnvFrom) },
		"request": func(d *Document) { d.Resources.Requests = nil },
		"limit":   func(d *Document) { d.Resources.Limits = nil },
		"machine": func(d *Document) { d.Machine.Tolerations = nil },
		"jobs":    func(d *Document) { d.Scaling.JobsPerExecutor++ },
	}
	for name, change := range counts {
		doc := example(t, "progdef")
		change(&doc)
		if doc.Revision() == base {
			t.Errorf("%s does not change the revision", name)
		}
	}
}

func TestRevisionIgnoresTheRest(t *testing.T) {
	doc := example(t, "progdef")
	base := doc.Revision()
	doc.Name, doc.Description = "other", "other"
	doc.Inputs = map[string]Port{"name": {Type: " utf8-string ", Description: "other"}}
	doc.Scaling = Scaling{JobsPerExecutor: doc.Scaling.JobsPerExecutor, MinExecutors: 7}
	doc.Health, doc.Drain = Health{}, Drain{}
	doc.TypeParams = []string{}
	if got := doc.Revision(); got != base {
		t.Errorf("got %s, want %s", got, base)
	}
}

// The order of fields, ports and variables in a document does not matter.
func TestRevisionIgnoresOrder(t *testing.T) {
	raw, err := schemas.Files.ReadFile("examples/progdef.json")
	if err != nil {
		t.Fatal(err)
	}
	want := example(t, "progdef").Revision()
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		doc, problems := Check([]byte(shuffled(t, tree)), document.DefaultLimits())
		if problems != nil || doc.Revision() != want {
			t.Fatalf("got %s, %v; want %s", doc.Revision(), problems, want)
		}
	})
}

// shuffled writes a tree as JSON with the keys of every object in a random order.
func shuffled(t *rapid.T, tree any) string {
	var parts []string
	switch v := tree.(type) {
	case map[string]any:
		keys := rapid.Permutation(slices.Sorted(maps.Keys(v))).Draw(t, "keys")
		for _, k := range keys {
			parts = append(parts, `"`+k+`":`+shuffled(t, v[k]))
		}
		return "{" + strings.Join(parts, " , ") + "}"
	case []any:
		for _, e := range v {
			parts = append(parts, shuffled(t, e))
		}
		return "[" + strings.Join(parts, ",") + "]"
	default:
		out, _ := json.Marshal(v)
		return string(out)
	}
}

func FuzzCheck(f *testing.F) {
	for _, name := range []string{"progdef", "progdef-generic", "progdef-minimal", "progdef-sink"} {
		raw, err := schemas.Files.ReadFile("examples/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"name":1,"inputs":{"a":{}},"env":[],"envFrom":[1],"scaling":{"x":1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, problems := Check(raw, document.DefaultLimits())
		for _, p := range problems {
			if p.Code == "internal-failure" {
				t.Fatalf("%s for %q", p, raw)
			}
		}
		if problems == nil && len(doc.Revision()) != 16 {
			t.Fatalf("revision %q", doc.Revision())
		}
	})
}
