package contract_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/schemas"
)

// documents are the types that have a schema but are not events.
func documents() []string { return []string{"flow", "progdef", "job", "test", "policy", "sign-in"} }

func types() []string {
	var out []string
	for _, e := range contract.Table {
		out = append(out, string(e.Type))
	}
	return out
}

// constants returns the string constants of a type that the package's source declares.
func constants(t *testing.T, typ string) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var out []string
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || spec.Type == nil || len(spec.Values) != 1 {
				return true
			}
			if name, ok := spec.Type.(*ast.Ident); ok && name.Name == typ {
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, value)
			}
			return true
		})
	}
	return out
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := fs.ReadDir(schemas.Files, folder)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			out = append(out, name)
		}
	}
	return out
}

func schemaOf(t *testing.T, name string) map[string]any {
	t.Helper()
	var schema map[string]any
	raw, err := fs.ReadFile(schemas.Files, name+".json")
	if err == nil {
		err = json.Unmarshal(raw, &schema)
	}
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

func TestEveryTypeIsInTheTable(t *testing.T) {
	same(t, "types", types(), constants(t, "Type"))
	for _, e := range contract.Table {
		if e.Doc == "" || len(e.Publishers) == 0 || e.New() == nil {
			t.Errorf("%s: the entry is not complete", e.Type)
		}
	}
}

// TestSchemaFiles checks that each event and document has a schema, and that there are no other files.
func TestSchemaFiles(t *testing.T) {
	needed := map[string]bool{}
	for _, name := range append(types(), documents()...) {
		need(t, name, needed)
	}
	for _, q := range contract.Questions {
		if q.Asked != "" {
			need(t, q.Asked, needed)
		}
		for _, a := range q.Answers {
			if a.Event == "" {
				need(t, a.Schema, needed)
			}
		}
	}
	same(t, "schemas", names(t, "."), slices.Collect(maps.Keys(needed)))
}

func need(t *testing.T, name string, needed map[string]bool) {
	if needed[name] {
		return
	}
	needed[name] = true
	schema := schemaOf(t, name)
	if schema["$id"] != schemas.BaseURL+name+".json" {
		t.Errorf("%s: $id is %v", name, schema["$id"])
	}
	for _, ref := range refs(schema) {
		if file, _, _ := strings.Cut(ref, "#"); file != "" {
			need(t, strings.TrimSuffix(file, ".json"), needed)
		}
	}
}

func refs(schema any) []string {
	var out []string
	switch s := schema.(type) {
	case map[string]any:
		if ref, ok := s["$ref"].(string); ok {
			out = append(out, ref)
		}
		for _, v := range s {
			out = append(out, refs(v)...)
		}
	case []any:
		for _, v := range s {
			out = append(out, refs(v)...)
		}
	}
	return out
}

// TestExampleFiles checks that each event, the job and the policy have an example. Documents may have several, named after what
// they show.
func TestExampleFiles(t *testing.T) {
	var events []string
	for _, name := range names(t, "examples") {
		kind, _, _ := strings.Cut(name, "-")
		if kind == "flow" || kind == "progdef" || kind == "test" {
			continue
		}
		events = append(events, name)
	}
	same(t, "examples", events, append(types(), "job", "policy", "sign-in"))
}

func TestStreamHoldsEveryEvent(t *testing.T) {
	// Events of services about flows arrive on a subject with a prefix, and are stored without it.
	want := []string{"events.>", "flow.cancel.operator.*", "deadletter.operator.*"}
	for _, e := range contract.Table {
		if e.Of != contract.OfFlow || e.Command {
			want = append(want, e.Pattern())
		}
		if e.Command || slices.Contains(e.Publishers, "executor") {
			want = append(want, contract.FromAny(e.Pattern()))
		}
	}
	same(t, "subjects of EVENTS", contract.EventSubjects(), want)
}

func TestSenders(t *testing.T) {
	tests := []struct {
		subject, plain string
		sender         contract.Sender
	}{
		{"flow.submit", "flow.submit", contract.Sender{}},
		{"flow.submit.by.ada", "flow.submit", contract.Sender{Name: "ada"}},
		{"flow.cancel.operator.ada", "flow.cancel", contract.Sender{Name: "ada", Operator: true}},
		{"job.started.f.j", "job.started.f.j", contract.Sender{}},
		{"job.started.f.j.by.x1", "job.started.f.j.by.x1", contract.Sender{}}, // without a mailbox
		{"job.started.f.j.by.greet-a.x1", "job.started.f.j", contract.Sender{Name: "x1", Mailbox: "greet-a"}},
		{"job.started.by.by.by.by.by", "job.started.by.by", contract.Sender{Name: "by", Mailbox: "by"}},
		{"job.done.f.j.by.greet-a.x1", "job.done.f.j.by.greet-a.x1", contract.Sender{}},
		{"job.done.f.j.by.x1", "job.done.f.j", contract.Sender{Name: "x1"}},
		{"health.f.j.by.x1", "health.f.j", contract.Sender{Name: "x1"}},
		{"client.f.c.by.ada", "client.f.c", contract.Sender{Name: "ada"}},
		{"release.f.by.ada", "release.f", contract.Sender{Name: "ada"}},
		{"job.done.by.j", "job.done.by.j", contract.Sender{}}, // a flow named by
		{"job.done.by.by.by.by", "job.done.by.by", contract.Sender{Name: "by"}},
		{"executor.draining.by.x1", "executor.draining.by.x1", contract.Sender{}},
		{"health.by.j", "health.by.j", contract.Sender{}},
		{"release.by", "release.by", contract.Sender{}},
		{"by.ada", "by.ada", contract.Sender{}},
		{"x.by.ada", "x.by.ada", contract.Sender{}},
		{"deadletter.7", "deadletter.7", contract.Sender{}},
		{"", "", contract.Sender{}},
	}
	for _, tt := range tests {
		sender, plain := contract.SplitSender(tt.subject)
		if sender != tt.sender || plain != tt.plain {
			t.Errorf("%s: %+v, %q", tt.subject, sender, plain)
		}
		if plain != "" && sender.On(plain) != tt.subject {
			t.Errorf("%s: %s", tt.subject, sender.On(plain))
		}
	}
	for _, subject := range []string{"executor.draining.p.x.by.x", "flow.cancel.by.ada", "flow.submit.by.ada"} {
		if aggregate, _ := contract.FlowOrExecutor(subject); aggregate != "" {
			t.Errorf("%s is of the aggregate %s, on which services publish", subject, aggregate)
		}
	}
	if got := contract.TypeOf("flow.cancel.operator.ada"); got != contract.TypeFlowCancel {
		t.Errorf("the type of an operator's cancel is %s", got)
	}
}

func TestSenderVectors(t *testing.T) {
	raw, err := fs.ReadFile(schemas.Files, "wire/senders.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Name, Mailbox, Sender, Plain, Subject string }
	if err := json.Unmarshal(raw, &vectors); err != nil || len(vectors) == 0 {
		t.Fatalf("%d vectors: %v", len(vectors), err)
	}
	for _, v := range vectors {
		s := contract.Sender{Name: v.Sender, Mailbox: v.Mailbox}
		if got := s.On(v.Plain); got != v.Subject {
			t.Errorf("%s: published on %s, want %s", v.Name, got, v.Subject)
		}
		if got, plain := contract.SplitSender(v.Subject); got != s || plain != v.Plain {
			t.Errorf("%s: split into %+v and %s", v.Name, got, plain)
		}
	}
}

// Only users and executors publish under their names, and operators only cancel flows.
func TestWhoPublishesWhat(t *testing.T) {
	for _, e := range contract.Table {
		named := e.Command || slices.Contains(e.Publishers, "executor")
		starts := e.Type == contract.TypeJobStarted
		if got := e.From(contract.Sender{Name: "x"}); got != (named && !starts) {
			t.Errorf("%s from a named sender: %t", e.Type, got)
		}
		if got := e.From(contract.Sender{Name: "x", Mailbox: "m"}); got != starts {
			t.Errorf("%s from an executor of a mailbox: %t", e.Type, got)
		}
		if got := e.From(contract.Sender{Name: "x", Operator: true}); got != (e.Type == contract.TypeFlowCancel || e.Type == contract.TypeDeadLetter) {
			t.Errorf("%s from an operator: %t", e.Type, got)
		}
		if !e.From(contract.Sender{}) {
			t.Errorf("%s is not accepted on its plain subject", e.Type)
		}
	}
}

// example reads an event from its file and decodes the payload.
func example(t *testing.T, entry contract.Entry) (e contract.Event, data []byte) {
	t.Helper()
	raw, err := fs.ReadFile(schemas.Files, path.Join("examples", string(entry.Type)+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var envelope struct {
		ID      string
		Type    contract.Type
		Subject string
		Data    json.RawMessage
	}
	if err := json.Unmarshal(raw, &envelope); err != nil {
		t.Fatal(err)
	}
	e = contract.Event{ID: envelope.ID, Type: envelope.Type, Subject: envelope.Subject, Data: entry.New()}
	dec := json.NewDecoder(bytes.NewReader(envelope.Data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(e.Data); err != nil {
		t.Errorf("%s: %v", entry.Type, err)
	}
	return e, envelope.Data
}

func TestExamplesLoseNothing(t *testing.T) {
	for _, entry := range contract.Table {
		e, data := example(t, entry)
		again, err := json.Marshal(e.Data)
		if err != nil || e.Type != entry.Type {
			t.Errorf("%s: %v", entry.Type, err)
		}
		sameJSON(t, string(entry.Type), again, data)
	}
	raw, err := fs.ReadFile(schemas.Files, "examples/job.json")
	if err != nil {
		t.Fatal(err)
	}
	var job contract.Job
	if err := json.Unmarshal(raw, &job); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, "job", again, raw)
	if _, problems := document.Check("job", raw, document.DefaultLimits()); len(problems) > 0 {
		t.Error(problems)
	}
}

// Examples have the ids that are published: the id of a service's event names the event that caused it.
func TestExamplesHaveTheIDsThatArePublished(t *testing.T) {
	for _, entry := range contract.Table {
		e, _ := example(t, entry)
		id := regexp.QuoteMeta(e.NATSSubject())
		switch {
		case entry.Command, entry.Type == contract.TypeTick:
			continue
		case entry.Type == contract.TypeJobStarted:
			id += `\.[a-z0-9-]+\.[A-Za-z0-9]+`
		case entry.Of != contract.OfJob:
			id += `\.[0-9]+`
		}
		if !regexp.MustCompile("^" + id + "$").MatchString(e.ID) {
			t.Errorf("the example of %s has the id %q", entry.Type, e.ID)
		}
	}
}

func TestQuestionsAreNamedInTheContract(t *testing.T) {
	var asked []string
	for _, q := range contract.Questions {
		asked = append(asked, q.Subject)
		if q.Doc == "" || q.By == "" || len(q.Answers) == 0 {
			t.Errorf("%s: the entry is not complete", q.Subject)
		}
	}
	same(t, "questions", asked, []string{
		contract.AskCatalogCheck, contract.AskCatalogCompatible, contract.AskCatalogGet, contract.AskCatalogList,
		contract.AskCatalogTypes, contract.AskExecutors, contract.AskFlowGet, contract.AskFlowKeys, contract.AskFlowList, contract.AskFlowValidate,
		contract.AskJobExecutor, contract.AskUsage, contract.AskWebhookList,
	})
}

func sameJSON(t *testing.T, what string, got, want []byte) {
	t.Helper()
	var g, w any
	if json.Unmarshal(got, &g) != nil || json.Unmarshal(want, &w) != nil || !reflect.DeepEqual(g, w) {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

func TestPatternMatchesSubject(t *testing.T) {
	for _, entry := range contract.Table {
		e, _ := example(t, entry)
		expression := strings.ReplaceAll(regexp.QuoteMeta(entry.Pattern()), `\*`, `[^.]+`)
		if !regexp.MustCompile("^" + expression + "$").MatchString(e.NATSSubject()) {
			t.Errorf("%s does not match %s", e.NATSSubject(), entry.Pattern())
		}
		if flow := e.Flow(); (flow != "") != (entry.Of == contract.OfFlow || entry.Of == contract.OfJob) {
			t.Errorf("%s is of flow %q", entry.Type, flow)
		}
	}
}

// An aggregate is everything that services publish about one thing, and nothing else.
func TestAggregate(t *testing.T) {
	tests := []struct {
		e    contract.Event
		want string
	}{
		{contract.Event{Type: contract.TypeFlowPanic, Subject: "f"}, "flow.*.f"},
		{contract.Event{Type: contract.TypeFlowCompleted, Subject: "f"}, "flow.*.f"},
		{contract.Event{
			Type: contract.TypeExecutorExited, Subject: "x", Data: &contract.ExecutorExited{Progdef: "p"},
		}, "executor.*.p.x"},
		{contract.Event{Type: contract.TypeProgdefApplied, Subject: "p"}, "progdef.*.p"},
		{contract.Event{Type: contract.TypeTypeRejected, Subject: "t"}, "type.*.t"},
		{contract.Event{
			Type: contract.TypeJobDone, Subject: "f", Data: &contract.JobDone{Job: "j"},
		}, "job.done.f.j"},
		{contract.Event{Type: contract.TypeDeadLetter, Subject: "deadletter"}, ""},
		{contract.Event{Type: "act.stop", Subject: "f"}, ""},
	}
	for _, tt := range tests {
		if got := tt.e.Aggregate(); got != tt.want {
			t.Errorf("%s of %s: %q, want %q", tt.e.Type, tt.e.Subject, got, tt.want)
		}
	}
}

// Only the events of services about flows reach EVENTS on a separate subject.
func TestIngressSubject(t *testing.T) {
	panicked := contract.Event{Type: contract.TypeFlowPanic, Subject: "f"}
	if got := panicked.IngressSubject(); got != "events.flow.panic.f" {
		t.Errorf("flow.panic goes to %s", got)
	}
	for _, other := range []contract.Event{
		{Type: contract.TypeFlowSubmit, Subject: "f"}, {Type: contract.TypeProgdefApplied, Subject: "p"},
	} {
		if got := other.IngressSubject(); got != other.NATSSubject() {
			t.Errorf("%s goes to %s", other.Type, got)
		}
	}
}

// TestSchemasFitTheStructs walks payload types and schemas side by side: the same fields, the same
// of them required, the same kinds of value.
func TestSchemasFitTheStructs(t *testing.T) {
	for _, entry := range contract.Table {
		typ := reflect.TypeOf(entry.New()).Elem()
		if typ != reflect.TypeFor[json.RawMessage]() {
			fit(t, string(entry.Type), schemaOf(t, string(entry.Type)), typ)
		}
	}
	fit(t, "job", schemaOf(t, "job"), reflect.TypeFor[contract.Job]())
	fit(t, "flow-status", schemaOf(t, "flow-status"), reflect.TypeFor[contract.FlowStatus]())
	fit(t, "job-executor", schemaOf(t, "job-executor"), reflect.TypeFor[contract.JobExecutor]())
	fit(t, "flow-keys", schemaOf(t, "flow-keys"), reflect.TypeFor[contract.FlowKeys]())
	fit(t, "flow-query", schemaOf(t, "flow-query"), reflect.TypeFor[contract.FlowQuery]())
	fit(t, "flow-page", schemaOf(t, "flow-page"), reflect.TypeFor[contract.FlowPage]())
	fit(t, "type-line", schemaOf(t, "type-line"), reflect.TypeFor[contract.TypeLine]())
	fit(t, "usage", schemaOf(t, "usage"), reflect.TypeFor[contract.Usage]())
	fit(t, "capacity", schemaOf(t, "capacity"), reflect.TypeFor[contract.Capacity]())
	same(t, "kinds", enum(schemaOf(t, "kind")), constants(t, "Kind"))
	state := schemaOf(t, "job-summary")["properties"].(map[string]any)["state"]
	same(t, "states", enum(state.(map[string]any)), constants(t, "JobState"))
}

func enum(schema map[string]any) []string {
	var out []string
	for _, v := range schema["enum"].([]any) {
		out = append(out, v.(string))
	}
	return out
}

func fit(t *testing.T, at string, schema map[string]any, typ reflect.Type) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		file, local, _ := strings.Cut(ref, ".json#")
		if local != "" {
			return // the definition is in another file, which has its own tests
		}
		schema = schemaOf(t, strings.TrimSuffix(file, ".json"))
	}
	want := jsonType(typ)
	if schema["type"] != want {
		t.Errorf("%s is %v in the schema, %s in Go", at, schema["type"], want)
		return
	}
	switch {
	case typ == reflect.TypeFor[json.RawMessage](): // any JSON object
	case want == "array":
		fit(t, at+"/*", schema["items"].(map[string]any), typ.Elem())
	case typ.Kind() == reflect.Pointer:
		fit(t, at, schema, typ.Elem())
	case typ.Kind() == reflect.Map && typ.Elem().Kind() == reflect.Interface:
		// any JSON object
	case typ.Kind() == reflect.Map:
		fit(t, at+"/*", schema["additionalProperties"].(map[string]any), typ.Elem())
	case want == "object":
		fitStruct(t, at, schema, typ)
	}
}

func jsonType(typ reflect.Type) string {
	switch typ {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[document.Duration](),
		reflect.TypeFor[flow.Value](), reflect.TypeFor[contract.Key]():
		return "string"
	case reflect.TypeFor[json.RawMessage]():
		return "object"
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return jsonType(typ.Elem())
	case reflect.Struct, reflect.Map:
		return "object"
	case reflect.Slice:
		return "array"
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	default:
		return "integer"
	}
}

func fitStruct(t *testing.T, at string, schema map[string]any, typ reflect.Type) {
	t.Helper()
	if schema["additionalProperties"] != false {
		t.Errorf("%s allows unknown fields", at)
	}
	properties, _ := schema["properties"].(map[string]any)
	var fields, required []string
	delete(properties, "$schema") // for editors; it has no struct field
	for _, f := range reflect.VisibleFields(typ) {
		name, option, tagged := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous {
			continue
		}
		fields = append(fields, name)
		if option != "omitempty" && option != "omitzero" || !tagged {
			required = append(required, name)
		}
		property, ok := properties[name].(map[string]any)
		if !ok {
			t.Errorf("%s lacks %s", at, name)
			continue
		}
		if property["description"] == nil {
			t.Errorf("%s/%s has no description", at, name)
		}
		fit(t, at+"/"+name, property, f.Type)
	}
	same(t, at, slices.Collect(maps.Keys(properties)), fields)
	list, _ := schema["required"].([]any)
	var demanded []string
	for _, v := range list {
		demanded = append(demanded, v.(string))
	}
	same(t, at+" requires", demanded, required)
}

func TestNameHasTheContractsPattern(t *testing.T) {
	if got := schemaOf(t, "name")["pattern"]; got != document.NamePattern {
		t.Errorf("name: %v", got)
	}
	if got := schemaOf(t, "duration")["pattern"]; got != document.DurationPattern {
		t.Errorf("duration: %v", got)
	}
}
