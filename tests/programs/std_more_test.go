package programs

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/contract"
)

// Progdefs that group, choose, order and join records: what they write, at the bounds too, and what they say about bad
// settings.
func TestStandardProgdefsForCollections(t *testing.T) {
	const text, js, list = "utf8-string", "json", "list<utf8-string>"
	in := func(setting, value string, records ...string) map[string][]string {
		return map[string][]string{setting: {js, value}, "in": append([]string{text}, records...)}
	}
	lists := func(records ...string) map[string][]string {
		return map[string][]string{"list": append([]string{list}, records...)}
	}
	windows := func(records ...string) map[string][]string {
		return map[string][]string{"window": append([]string{list}, records...)}
	}
	out := func(typename string, records ...string) map[string][]string {
		return map[string][]string{"out": append([]string{typename}, records...)}
	}
	objects := func(setting, value string, records ...string) map[string][]string {
		return map[string][]string{setting: {js, value}, "in": append([]string{js}, records...)}
	}
	join := func(options string, a, b []string) map[string][]string {
		return map[string][]string{"options": {js, options}, "a": append([]string{js}, a...), "b": append([]string{js}, b...)}
	}
	divided := func(matching, others []string) map[string][]string {
		return map[string][]string{"matching": append([]string{js}, matching...), "others": append([]string{js}, others...)}
	}
	filtered := func(filter string, records ...string) map[string][]string {
		return map[string][]string{"filter": {text, filter}, "in": append([]string{js}, records...)}
	}
	filled := func(template string, records ...string) map[string][]string {
		return map[string][]string{"template": {text, template}, "in": append([]string{js}, records...)}
	}
	texts := func(records ...string) map[string][]string {
		return map[string][]string{"text": append([]string{text}, records...)}
	}
	ten := numbers(10, 1)
	customers := []string{`{"id": 1.0, "name": "Ada"}`, `{"id":2,"name":"Bob"}`, `{"id":null,"name":"none"}`, `{"id":2,"name":"Rob"}`}
	orders := []string{`{"n":1,"c":2}`, `{"n":2,"c":3}`, `{"n":3,"c":1}`, `{"n":4}`}
	keys := `{"a": ".c", "b": ".id"}`
	tests := []stdCase{
		{"batch", "batch", in("n", "2", "a", "", "bc"), lists("\x01a\x00", "\x02bc"), ""},
		{"batch of everything", "batch", in("n", "9", "a", "b"), lists("\x01a\x01b"), ""},
		{"batch, the last one full", "batch", in("n", "2", "a", "b"), lists("\x01a\x01b"), ""},
		{"batch of nothing", "batch", in("n", "2"), lists(), ""},
		{"batch of zero", "batch", in("n", "0", "a"), lists(), "n is 0; it must be at least 1"},
		{"batch without n", "batch", map[string][]string{"n": {js}, "in": {text, "1"}}, lists(), "input n has no record; it needs exactly one"},
		{"batch with two n", "batch", map[string][]string{"n": {js, "1", "2"}, "in": {text, "1"}}, lists(), "input n has more than one record"},

		{"window of records", "window", in("options", `{"records": 2}`, "a", "b", "c"), windows("\x01a\x01b", "\x01c"), ""},
		{"window that slides", "window", in("options", `{"records": 3, "step": 1}`, "a", "b", "c", "d"), windows("\x01a\x01b\x01c", "\x01b\x01c\x01d"), ""},
		{"window that slides by two", "window", in("options", `{"records": 3, "step": 2}`, ten[:6]...),
			windows("\x010\x011\x012", "\x012\x013\x014", "\x014\x015"), ""},
		{"window that slides, too few", "window", in("options", `{"records": 3, "step": 1}`, "a"), windows("\x01a"), ""},
		{"window of time and records", "window", in("options", `{"time": "1h", "records": 2}`, "a", "b", "c"), windows("\x01a\x01b", "\x01c"), ""},
		{"window of time", "window", in("options", `{"time": "1h"}`, "a", "b"), windows("\x01a\x01b"), ""},
		{"window of nothing", "window", in("options", `{"time": "1h"}`), windows(), ""},
		{"window without bounds", "window", in("options", `{}`, "a"), windows(), `input options: there is neither records nor time; write, for example, {"records": 100}`},
		{"window of zero records", "window", in("options", `{"records": 0}`, "a"), windows(), "records is 0; it must be at least 1"},
		{"window with a large step", "window", in("options", `{"records": 2, "step": 3}`, "a"), windows(), "step is 3; it must be from 1 to records, which is 2"},
		{"window with a step of time", "window", in("options", `{"time": "2s", "records": 2, "step": 1}`, "a"), windows(), "step and time exclude each other"},
		{"window of no time", "window", in("options", `{"time": "0s"}`, "a"), windows(), "time is 0s; it must be more than 0"},
		{"window of a number of time", "window", in("options", `{"time": 5}`, "a"), windows(), `a duration is a string such as "10m"`},
		{"window with an unknown option", "window", in("options", `{"record": 2}`, "a"), windows(), `input options: there is no option "record"`},
		{"window with half a record", "window", in("options", `{"records": 1.5}`, "a"), windows(), `records is the number 1.5; it must be an integer`},
		{"window with an array", "window", in("options", `[2]`, "a"), windows(), "input options: it is not an object"},
		{"window with null", "window", in("options", `null`, "a"), windows(), "input options: it is not an object"},
		{"window with text", "window", in("options", `{records: 2}`, "a"), windows(), "deserialization at options 0: the record is not json"},
		{"window without options", "window", map[string][]string{"options": {js}, "in": {text}}, windows(), "input options has no record"},
		{"window with two options", "window", map[string][]string{"options": {js, "{}", "{}"}, "in": {text}}, windows(), "input options has more than one record"},

		{"sample", "sample", in("options", `{"every": 3}`, ten...), out(text, "0", "3", "6", "9"), ""},
		{"sample of every record", "sample", in("options", `{"every": 1}`, ten...), out(text, ten...), ""},
		{"sample of nothing", "sample", in("options", `{"every": 3}`), out(text), ""},
		{"sample by chance", "sample", in("options", `{"probability": 0.5, "seed": 1}`, ten...), out(text, "0", "2", "3", "6", "7", "9"), ""},
		{"sample of none", "sample", in("options", `{"probability": 0}`, ten...), out(text), ""},
		{"sample of all", "sample", in("options", `{"probability": 1}`, ten...), out(text, ten...), ""},
		{"sample without a way", "sample", in("options", `{}`), out(text), "input options: it needs either every or probability"},
		{"sample in two ways", "sample", in("options", `{"every": 2, "probability": 1}`), out(text), "input options: it needs either every or probability"},
		{"sample of every zeroth", "sample", in("options", `{"every": 0}`), out(text), "every is 0; it must be at least 1"},
		{"sample with a percentage", "sample", in("options", `{"probability": 10}`), out(text), "probability is 10; it must be from 0 to 1"},
		{"sample with a useless seed", "sample", in("options", `{"every": 2, "seed": 1}`), out(text), "seed is for probability only"},
		{"sample with a negative seed", "sample", in("options", `{"probability": 1, "seed": -1}`), out(text), "seed is the number -1; it must be a non-negative integer"},

		{"throttle", "throttle", in("rate", `100000.5`, ten...), out(text, ten...), ""},
		{"throttle nothing", "throttle", in("rate", `0.001`), out(text), ""},
		{"throttle the first only", "throttle", in("rate", `0.001`, "a"), out(text, "a"), ""},
		{"throttle to nothing", "throttle", in("rate", `0`, "a"), out(text), "rate is 0; it must be more than 0"},
		{"throttle by text", "throttle", in("rate", `"1"`, "a"), out(text), "deserialization at rate 0"},
		{"throttle to far too much", "throttle", in("rate", `1e10`, "a"), out(text), "at most 1e+09 records a second"},

		{"sleep", "sleep", in("options", `{"start": "1ms", "each": "1ms"}`, "a", "b"), out(text, "a", "b"), ""},
		{"sleep at the start", "sleep", in("options", `{"start": "1ms"}`, ten...), out(text, ten...), ""},
		{"sleep before nothing", "sleep", in("options", `{"each": "1h"}`), out(text), ""},
		{"sleep not at all", "sleep", in("options", `{}`, "a"), out(text), "input options: there is neither start nor each"},
		{"sleep back in time", "sleep", in("options", `{"each": "-1s"}`, "a"), out(text), "input options: a duration is negative"},
		{"sleep for five", "sleep", in("options", `{"each": "5"}`, "a"), out(text), `input options: time: missing unit in duration "5"`},

		{"template", "template", filled("Dear {{.name}}, {{.sum}}{{ \"{{}\" }}} {{.l | join(\"+\")}}", `{"name": "Ada", "sum": 1.50, "l": ["a","b"]}`),
			texts("Dear Ada, 1.50{{}} a+b"), ""},
		{"template of objects", "template", filled("{{.}}", `{"a":[1,null]}`, `"x"`, `true`), texts(`{"a":[1,null]}`, "x", "true"), ""},
		{"template without placeholders", "template", filled("same }}", "1", "2"), texts("same }}", "same }}"), ""},
		{"empty template", "template", filled("", "1"), texts(""), ""},
		{"template of nothing", "template", filled("{{.a}}"), texts(), ""},
		{"template, missing", "template", filled("{{.a}}", `{"a": ""}`, `{"b": 1}`), texts(), `error at in 1: {{.a}}: it is missing or null; write {{… // "text"}}`},
		{"template with an alternative", "template", filled(`{{.a // "?"}}`, `{}`), texts("?"), ""},
		{"template, no object", "template", filled("{{.a}}", `1`), texts(), `error at in 0: {{.a}}: the filter failed: expected an object but got: number (1)`},
		{"template, many results", "template", filled("{{.[]}}", `[1,2]`), texts(), "error at in 0: {{.[]}}: the filter failed: it has more than one result"},
		{"template, no result", "template", filled("{{empty}}", `1`), texts(), "the filter failed: it has no result"},
		{"template without end", "template", filled("é {{.a", `1`), texts(), "input template: byte 3: {{ without }}"},
		{"template with an empty placeholder", "template", filled("a{{ }}", `1`), texts(), "input template: byte 1: the placeholder is empty"},
		{"template with a bad filter", "template", filled("a{{.a |}}", `1`), texts(), `input template: the placeholder at byte 1: invalid jq filter ".a |": byte 4`},
		{"template that is too long", "template", filled(`{{"x" * 20000000}}`, `1`), texts(), "error at in 0: the text is longer than 16777216 bytes"},
		{"template with two templates", "template", map[string][]string{"template": {text, "a", "b"}, "in": {js, "1"}}, texts(), "input template has more than one record"},

		{"dedupe", "dedupe", in("options", `{}`, "a", "b", "a", "", "b", ""), out(text, "a", "b", ""), ""},
		{"dedupe nothing", "dedupe", in("options", `{}`), out(text), ""},
		{"dedupe by key", "dedupe", objects("options", `{"key": ".id"}`, `{"id":1}`, `{"id":1.0,"x":2}`, `{ "id": "1" }`, `{}`, `{"id":null}`),
			out(js, `{"id":1}`, `{ "id": "1" }`, `{}`), ""},
		{"dedupe at the bound", "dedupe", in("options", `{"remember": 2}`, "a", "b", "a", "b"), out(text, "a", "b"), ""},
		{"dedupe above the bound", "dedupe", in("options", `{"remember": 2}`, "a", "b", "c"), out(text),
			`error at in 2: there are more than 2 different keys; raise the option remember (to 1000000 at most), or set full to "forget"`},
		{"dedupe that forgets", "dedupe", in("options", `{"remember": 2, "full": "forget"}`, "a", "b", "a", "c", "b", "a"), out(text, "a", "b", "c", "a"), ""},
		{"dedupe of text by key", "dedupe", in("options", `{"key": "."}`, "1", "x"), out(text), "error at in 1: the record is not JSON, which the option key needs"},
		{"dedupe by a bad key", "dedupe", in("options", `{"key": ".["}`, "1"), out(text), `input options: key: invalid jq filter ".["`},
		{"dedupe by a key that fails", "dedupe", objects("options", `{"key": ".a"}`, `{}`, `1`), out(js), "error at in 1: the filter failed"},
		{"dedupe with too much memory", "dedupe", in("options", `{"remember": 1000001}`), out(text), "remember is 1000001; it must be from 1 to 1000000"},
		{"dedupe, full of what", "dedupe", in("options", `{"full": "yes"}`), out(text), `full is "yes"; it must be "panic" or "forget"`},

		{"sort", "sort", in("options", `{}`, "b", "a", "", "ab", "a"), out(text, "", "a", "a", "ab", "b"), ""},
		{"sort nothing", "sort", in("options", `{}`), out(text), ""},
		{"sort descending", "sort", in("options", `{"order": "descending"}`, "b", "a", "c"), out(text, "c", "b", "a"), ""},
		{"sort by key", "sort", objects("options", `{"key": ".n"}`, `{"n":10}`, `{"n":9,"i":1}`, `{"n":"1"}`, `{}`, `{"n":9.0,"i":2}`, `{"n":100000000000000000000}`),
			out(js, `{}`, `{"n":9,"i":1}`, `{"n":9.0,"i":2}`, `{"n":10}`, `{"n":100000000000000000000}`, `{"n":"1"}`), ""},
		{"sort by key, descending", "sort", objects("options", `{"key": ".n", "order": "descending"}`, `{"n":1,"i":1}`, `{"n":1,"i":2}`, `{"n":2}`),
			out(js, `{"n":2}`, `{"n":1,"i":1}`, `{"n":1,"i":2}`), ""},
		{"sort by two keys", "sort", objects("options", `{"key": "[.a, .b]"}`, `{"a":2,"b":1}`, `{"a":1,"b":2}`, `{"a":1,"b":1}`),
			out(js, `{"a":1,"b":1}`, `{"a":1,"b":2}`, `{"a":2,"b":1}`), ""},
		{"sort up", "sort", in("options", `{"order": "up"}`, "b"), out(text), `input options: order is "up"; it must be "ascending" or "descending"`},
		{"sort by a key of text", "sort", in("options", `{"key": "."}`, "1", "b"), out(text), "error at in 1: the record is not JSON, which the option key needs"},

		{"join", "join", join(keys, orders, customers),
			out(js, `{"a":{"n":1,"c":2},"b":{"id":2,"name":"Bob"}}`, `{"a":{"n":1,"c":2},"b":{"id":2,"name":"Rob"}}`,
				`{"a":{"n":3,"c":1},"b":{"id": 1.0, "name": "Ada"}}`), ""},
		{"left join", "join", join(`{"a": ".c", "b": ".id", "type": "left"}`, orders[1:], customers[:1]),
			out(js, `{"a":{"n":2,"c":3},"b":null}`, `{"a":{"n":3,"c":1},"b":{"id": 1.0, "name": "Ada"}}`, `{"a":{"n":4},"b":null}`), ""},
		{"join with nothing", "join", join(keys, orders, nil), out(js), ""},
		{"join of nothing", "join", join(keys, nil, customers), out(js), ""},
		{"left join with nothing", "join", join(`{"a": ".c", "b": ".id", "type": "left"}`, orders[:1], nil), out(js, `{"a":{"n":1,"c":2},"b":null}`), ""},
		{"join without keys", "join", join(`{"a": ".c"}`, nil, nil), out(js), "input options: it needs both a and b, the filters of the keys"},
		{"join of another type", "join", join(`{"a": ".c", "b": ".d", "type": "outer"}`, nil, nil), out(js), `type is "outer"; it must be "inner" or "left"`},
		{"join by a key that fails", "join", join(keys, []string{`{"c":1}`, `1`}, nil), out(js), "error at a 1: the filter failed"},
		{"join with a key that fails", "join", join(keys, nil, []string{`1`}), out(js), "error at b 0: the filter failed"},
		{"join of something other than JSON", "join", join(keys, []string{"{"}, nil), out(js), "deserialization at a 0: the record is not json"},
		{"join by a bad key", "join", join(`{"a": ".c", "b": "nope"}`, nil, nil), out(js), "input options: b: cannot compile the filter"},

		{"partition", "partition", filtered(".n > 1", `{"n":1}`, `{ "n": 2.0 }`, `{"n":3}`, `{}`),
			divided([]string{`{ "n": 2.0 }`, `{"n":3}`}, []string{`{"n":1}`, `{}`}), ""},
		{"partition by truth", "partition", filtered(".", `0`, `""`, `null`, `false`, `true`),
			divided([]string{`0`, `""`, `true`}, []string{`null`, `false`}), ""},
		{"partition nothing", "partition", filtered("."), divided(nil, nil), ""},
		{"partition that fails", "partition", filtered(".a", `{}`, `1`), divided(nil, nil), "error at in 1: the filter failed: expected an object"},
		{"partition without a result", "partition", filtered("select(.)", `true`, `false`), divided(nil, nil), "error at in 1: the filter failed: it has no result"},
		{"partition of something other than JSON", "partition", filtered(".", `1`, `x`), divided(nil, nil), "deserialization at in 1"},
		{"partition without a filter", "partition", map[string][]string{"filter": {text}, "in": {js, "1"}}, divided(nil, nil), "input filter has no record"},
	}
	for _, c := range tests {
		t.Run(c.name, c.test)
	}
}

// What does not need all of its input ends an endless source, also when its own reader closes.
func TestSettingsDoNotHideEarlyEnds(t *testing.T) {
	for name, setting := range map[string][2]string{
		"batch": {"n", "7"}, "window": {"options", `{"records": 5, "step": 2}`}, "sample": {"options", `{"every": 3}`},
		"throttle": {"rate", "1e6"}, "sleep": {"options", `{"start": "1ms"}`}, "dedupe": {"options", `{"remember": 9, "full": "forget"}`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			port, typename := "out", "json"
			switch name {
			case "batch":
				port, typename = "list", "list<json>"
			case "window":
				port, typename = "window", "list<json>"
			}
			number, out := b.edge("json"), b.edge(typename)
			counter := b.run(program(t, "counter"), nil, edges{"number": number})
			j := b.run(program(t, name), edges{setting[0]: b.given("json", setting[1]), "in": number}, edges{port: out})
			r := b.reader(out)
			b.some(r, 3)
			if err := r.Close(b.ctx()); err != nil {
				t.Fatal(err)
			}
			equal(t, "closed early", j.done().ClosedEarly, "in")
			counter.done()
		})
	}
}

// What reads all of its input first, or writes texts of its own, ends normally too if its reader closes early.
func TestReadersOfCollectionsMayCloseEarly(t *testing.T) {
	texts := numbers(5000, 100)
	objects := make([]string, len(texts))
	for i := range objects {
		objects[i] = fmt.Sprintf(`{"id":%d,"text":%q}`, i%50, texts[i])
	}
	for name, c := range map[string]struct{ in, out map[string][]string }{
		"sort":     {map[string][]string{"options": {"json", "{}"}, "in": append([]string{"utf8-string"}, texts...)}, map[string][]string{"out": {"utf8-string"}}},
		"join":     {map[string][]string{"options": {"json", `{"a": ".id", "b": ".id"}`}, "a": append([]string{"json"}, objects...), "b": append([]string{"json"}, objects...)}, map[string][]string{"out": {"json"}}},
		"template": {map[string][]string{"template": {"utf8-string", "{{.text}}"}, "in": append([]string{"json"}, objects...)}, map[string][]string{"text": {"utf8-string"}}},
		"partition": {map[string][]string{"filter": {"utf8-string", ".id % 2 == 0"}, "in": append([]string{"json"}, objects...)},
			map[string][]string{"matching": {"json"}, "others": {"json"}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			inputs, outputs := edges{}, edges{}
			for port, records := range c.in {
				inputs[port] = b.given(records[0], records[1:]...)
			}
			for port, records := range c.out {
				outputs[port] = b.edge(records[0])
			}
			j := b.run(program(t, name), inputs, outputs)
			for _, a := range outputs {
				r := b.reader(a)
				b.some(r, 2)
				if err := r.Close(b.ctx()); err != nil {
					t.Fatal(err)
				}
			}
			j.done()
		})
	}
}

// A window of time ends while its input is silent.
func TestWindowOfTimeEndsOfItself(t *testing.T) {
	b := newBench(t)
	in, out := b.edge("utf8-string"), b.edge("list<utf8-string>")
	more, seen := make(chan struct{}), make(chan struct{})
	b.feed(in, func(send func(string) error) error {
		if err := send("a"); err != nil {
			return err
		}
		<-more
		if err := send("b"); err != nil {
			return err
		}
		<-seen
		return nil
	})
	j := b.run(program(t, "window"), edges{"options": b.given("json", `{"time": "50ms"}`), "in": in}, edges{"window": out})
	r := b.reader(out)
	equal(t, "the first window", b.some(r, 1), "\x01a")
	close(more)
	equal(t, "the second window", b.some(r, 1), "\x01b")
	close(seen)
	equal(t, "the rest", b.rest(r))
	j.done()
}

// A partition continues with one reader.
func TestPartitionContinuesWithOneReader(t *testing.T) {
	b := newBench(t)
	var records, odd []string
	for i := range 5000 {
		records = append(records, fmt.Sprintf(`{"n":%d,"pad":%q}`, i, strings.Repeat("x", 50)))
		if i%2 == 1 {
			odd = append(odd, records[i])
		}
	}
	matching, others := b.edge("json"), b.edge("json")
	j := b.run(program(t, "partition"), edges{"filter": b.given("utf8-string", ".n % 2 == 0"), "in": b.given("json", records...)},
		edges{"matching": matching, "others": others})
	if err := b.reader(matching).Close(b.ctx()); err != nil {
		t.Fatal(err)
	}
	equal(t, "others", b.receive(others), odd...)
	j.done()
}

// throttle loses nothing, and takes its time.
func TestThrottleKeepsItsRate(t *testing.T) {
	b := newBench(t)
	records := numbers(300, 10)
	out := b.edge("utf8-string")
	begin := time.Now()
	j := b.run(program(t, "throttle"), edges{"rate": b.given("json", "1000"), "in": b.given("utf8-string", records...)}, edges{"out": out})
	equal(t, "records", b.receive(out), records...)
	if took := time.Since(begin); took < 250*time.Millisecond {
		t.Errorf("300 records at 1,000 a second took %s", took)
	}
	j.done()
}

// http_post posts one body after the other, and repeats what the server has not taken.
func TestHTTPPost(t *testing.T) {
	var mu sync.Mutex
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = append(got, string(body))
		times := len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s != string(body) }))
		mu.Unlock()
		switch {
		case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.ContentLength != int64(len(body)):
			w.WriteHeader(http.StatusTeapot)
		case string(body) == "busy" && times < 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case string(body) == "broken":
			w.WriteHeader(http.StatusInternalServerError)
		case string(body) == "large":
			_, _ = w.Write(bytes.Repeat([]byte("x"), std.BodyLimit+1))
		default:
			_, _ = w.Write(append([]byte("got "), body...))
		}
	}))
	defer server.Close()
	t.Setenv(contract.EnvHTTPGetAllow, "127.0.0.1")
	b := newBench(t)
	out := b.edge("Result<octets>")
	j := b.run(program(t, "http_post"), edges{
		"url": b.given("utf8-string", server.URL+"/x"), "content_type": b.given("utf8-string", "application/json"),
		"body": b.given("octets", "a", "busy", "broken", "large", ""),
	}, edges{"answer": out})
	equal(t, "answers", b.receive(out), "\x00got a", "\x00got busy",
		"\x01POST "+server.URL+"/x: the server responded 500 Internal Server Error (try 1 of 4)",
		"\x01POST "+server.URL+"/x: the body is longer than 16777216 bytes (try 1 of 4)", "\x00got ")
	j.done()
	mu.Lock()
	defer mu.Unlock()
	equal(t, "bodies", got, "a", "busy", "busy", "broken", "large", "")
}

func TestHTTPPostChecksItsSettings(t *testing.T) {
	for name, c := range map[string]struct{ url, contentType, want string }{
		"url":  {"example.com", "a/b", `input url: http_post cannot fetch the URL "example.com": write http://… or https://…`},
		"type": {"http://example.com", "a b/\n", `input content_type: "a b/\n" is not a media type such as application/json`},
		"bare": {"http://example.com", "json", `input content_type: "json" is not a media type such as application/json`},
	} {
		t.Run(name, func(t *testing.T) {
			stdCase{program: "http_post", in: map[string][]string{"url": {"utf8-string", c.url},
				"content_type": {"utf8-string", c.contentType}, "body": {"octets", "x"}},
				want: map[string][]string{"answer": {"Result<octets>"}}, panics: c.want}.test(t)
		})
	}
}
