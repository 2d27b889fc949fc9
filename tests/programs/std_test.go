package programs

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/contract"
)

func program(t *testing.T, name string) executor.Program {
	t.Helper()
	p, ok := std.Find(name)
	if !ok {
		t.Fatalf("no standard progdef %q", name)
	}
	return p.Program
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// numbers returns n records of at least size bytes each.
func numbers(n, size int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%0*d", size, i)
	}
	return out
}

// A stdCase is one job of a standard progdef: its inputs, and the expected outputs or panic. A port's value is its
// typename, followed by its records.
type stdCase struct {
	name, program string
	in, want      map[string][]string
	panics        string
}

func TestStandardProgdefs(t *testing.T) {
	ok := func(v string) string { return "\x00" + v }
	bad := func(v string) string { return "\x01" + v }
	rs := []string{"Result<utf8-string>", ok("a"), bad("no b"), ok("c"), bad("no d"), ok("")}
	text, js := "utf8-string", "json"
	tests := []stdCase{
		{"tee", "tee", map[string][]string{"in": {"x<y>", "1", "", "3"}},
			map[string][]string{"a": {"x<y>", "1", "", "3"}, "b": {"x<y>", "1", "", "3"}}, ""},
		{"merge", "merge", map[string][]string{"a": {text, "1"}, "b": {text}},
			map[string][]string{"out": {text, "1"}}, ""},
		{"concat", "concat", map[string][]string{"a": {text, "1", "2"}, "b": {text, "3"}},
			map[string][]string{"out": {text, "1", "2", "3"}}, ""},
		{"zip", "zip", map[string][]string{"a": {text, "a", "bc"}, "b": {text, "", "d"}},
			map[string][]string{"pair": {"list<utf8-string>", "\x01a\x00", "\x02bc\x01d"}}, ""},
		{"zip of empty inputs", "zip", map[string][]string{"a": {text}, "b": {text}},
			map[string][]string{"pair": {"list<utf8-string>"}}, ""},
		{"zip, a too short", "zip", map[string][]string{"a": {text, "1"}, "b": {text, "1", "2"}},
			map[string][]string{"pair": {"list<utf8-string>"}}, "input a ended after 1 record, but b has more"},
		{"zip, b too short", "zip", map[string][]string{"a": {text, "1"}, "b": {text}},
			map[string][]string{"pair": {"list<utf8-string>"}}, "input b ended after 0 records, but a has more"},
		{"flatten", "flatten", map[string][]string{"in": {"list<json>", "\x011\x012", "", "\x013"}},
			map[string][]string{"out": {js, "1", "2", "3"}}, ""},
		{"flatten something other than a list", "flatten", map[string][]string{"in": {"list<json>", "\x09abc"}},
			map[string][]string{"out": {js}}, "deserialization at in 0: the record is not list<T>: element 0: it should have 9 bytes, but only 3 are left"},
		{"head", "head", map[string][]string{"n": {js, "2"}, "in": {text, "1", "2", "3"}},
			map[string][]string{"out": {text, "1", "2"}}, ""},
		{"head of a shorter input", "head", map[string][]string{"n": {js, "5"}, "in": {text, "1"}},
			map[string][]string{"out": {text, "1"}}, ""},
		{"head with n zero", "head", map[string][]string{"n": {js, "0"}, "in": {text, "1"}},
			map[string][]string{"out": {text}}, ""},
		{"head without n", "head", map[string][]string{"n": {js}, "in": {text, "1"}},
			map[string][]string{"out": {text}}, "input n has no record"},
		{"head with two values of n", "head", map[string][]string{"n": {js, "1", "2"}, "in": {text, "1"}},
			map[string][]string{"out": {text}}, "input n has more than one record"},
		{"head with negative n", "head", map[string][]string{"n": {js, "-1"}, "in": {text, "1"}},
			map[string][]string{"out": {text}}, "n is -1; it must not be negative"},
		{"head with n null", "head", map[string][]string{"n": {js, "null"}, "in": {text, "1"}},
			map[string][]string{"out": {text}}, "deserialization at n 0: the record is not json: it is null, not int64"},
		{"head with n that is not JSON", "head", map[string][]string{"n": {js, "two"}, "in": {text, "1"}},
			map[string][]string{"out": {text}}, `deserialization at n 0: the record is not json: invalid character 'w' in literal true (expecting 'r') at column 2; it begins with "two"`},
		{"head with fractional n", "head", map[string][]string{"n": {js, "0.5"}, "in": {text, "1"}},
			map[string][]string{"out": {text}}, "deserialization at n 0"},
		{"count", "count", map[string][]string{"in": {"x", "", "", "3"}}, map[string][]string{"count": {js, "3"}}, ""},
		{"void_sink", "void_sink", map[string][]string{"in": {"list<x>", "1", "2"}}, nil, ""},
		{"assert", "assert", map[string][]string{"in": {"Result<json>", ok("1"), ok("")}},
			map[string][]string{"out": {js, "1", ""}}, ""},
		{"assert an error", "assert", map[string][]string{"in": rs},
			map[string][]string{"out": {text}}, "error at in 1: no b"},
		{"assert something other than a result", "assert", map[string][]string{"in": {"Result<json>", "2"}},
			map[string][]string{"out": {js}}, "deserialization at in 0: the record is not Result<T>: its first byte is 50"},
		{"assert nothing", "assert", map[string][]string{"in": {"Result<json>", ""}},
			map[string][]string{"out": {js}}, "deserialization at in 0: the record is not Result<T>: it is empty"},
		{"ignore_errors", "ignore_errors", map[string][]string{"in": rs},
			map[string][]string{"out": {text, "a", "c", ""}}, ""},
		{"log_errors", "log_errors", map[string][]string{"in": rs},
			map[string][]string{"out": {text, "a", "c", ""}}, ""},
		{"split_errors", "split_errors", map[string][]string{"in": rs},
			map[string][]string{"out": {text, "a", "c", ""}, "errors": {text, "no b", "no d"}}, ""},
		{"lines", "lines", map[string][]string{"in": {"octets", "a\nb", "c\r\n\n", "", "d\xc3", "\xa4"}},
			map[string][]string{"line": {text, "a", "bc", "", "dä"}}, ""},
		{"lines, not UTF-8", "lines", map[string][]string{"in": {text, "a\nb\xff\n"}},
			map[string][]string{"line": {text}}, "line 2 is not valid UTF-8"},
		{"jq", "jq", map[string][]string{"filter": {text, ".[] | {a}"}, "in": {js, `[{"a":1,"b":2},{"a":100000000000000000000}]`, "[]"}},
			map[string][]string{"out": {js, `{"a":1}`, `{"a":100000000000000000000}`}}, ""},
		{"jq, not jq", "jq", map[string][]string{"filter": {text, ".a |"}, "in": {js, "1"}},
			map[string][]string{"out": {js}}, `invalid jq filter ".a |": byte 4: unexpected EOF`},
		{"jq, unknown function", "jq", map[string][]string{"filter": {text, "nope"}, "in": {js, "1"}},
			map[string][]string{"out": {js}}, `cannot compile the filter "nope": function not defined: nope/0`},
		{"jq fails", "jq", map[string][]string{"filter": {text, ".a"}, "in": {js, "{}", "1"}},
			map[string][]string{"out": {js}}, "error at in 1: the filter failed: expected an object but got: number (1)"},
		{"jq halts", "jq", map[string][]string{"filter": {text, "if . > 1 then halt else . end"}, "in": {js, "1", "2", "3"}},
			map[string][]string{"out": {js, "1"}}, ""},
		{"jq halts with an error", "jq", map[string][]string{"filter": {text, `"enough" | halt_error`}, "in": {js, "1"}},
			map[string][]string{"out": {js}}, "error at in 0: the filter failed: halt error: enough"},
		{"jq of something other than JSON", "jq", map[string][]string{"filter": {text, "."}, "in": {js, "1 2"}},
			map[string][]string{"out": {js}}, `deserialization at in 0: the record is not json: invalid character '2' after top-level value at column 3; it begins with "1 2"`},
	}
	for _, c := range tests {
		t.Run(c.name, c.test)
	}
}

func (c stdCase) test(t *testing.T) {
	b := newBench(t)
	inputs, outputs := edges{}, edges{}
	for port, records := range c.in {
		inputs[port] = b.given(records[0], records[1:]...)
	}
	for port, records := range c.want {
		outputs[port] = b.edge(records[0])
	}
	j := b.run(program(t, c.program), inputs, outputs)
	if c.panics != "" {
		if got := told(j.panic()); !strings.Contains(got, c.panics) {
			t.Errorf("panic %q, want %q", got, c.panics)
		}
		return
	}
	for port, records := range c.want {
		equal(t, "output "+port, b.receive(outputs[port]), records[1:]...)
	}
	j.done()
}

// told formats a panic.
func told(p *contract.JobPanic) string {
	if p.Record == nil {
		return fmt.Sprintf("%s: %s", p.Kind, p.Message)
	}
	return fmt.Sprintf("%s at %s %d: %s", p.Kind, p.Port, *p.Record, p.Message)
}

// A type parameter must stand for the same typename on all ports.
func TestTypeParamsStandForOneTypename(t *testing.T) {
	b := newBench(t)
	j := b.run(program(t, "tee"), edges{"in": b.given("json")}, edges{"a": b.edge("json"), "b": b.edge("octets")})
	want := `T is json on input "in", but octets on output "b"`
	if got := j.panic().Message; !strings.HasSuffix(got, want) {
		t.Errorf("panic %q, want %q", got, want)
	}
	j = b.run(program(t, "assert"), edges{"in": b.given("list<json>")}, edges{"out": b.edge("json")})
	want = `input "in" carries list<json>, the program expects Result<T>`
	if got := j.panic().Message; !strings.HasSuffix(got, want) {
		t.Errorf("panic %q, want %q", got, want)
	}
}

// head ends an endless source, also through nodes in between, and takes only its n records.
func TestHeadEndsEndlessSource(t *testing.T) {
	b := newBench(t)
	numbers, copies, unread, out := b.edge("json"), b.edge("json"), b.edge("json"), b.edge("json")
	counter := b.run(program(t, "counter"), nil, edges{"number": numbers})
	tee := b.run(program(t, "tee"), edges{"in": numbers}, edges{"a": copies, "b": unread})
	head := b.run(program(t, "head"), edges{"in": copies, "n": b.given("json", "3")}, edges{"out": out})
	if err := b.reader(unread).Close(b.ctx()); err != nil {
		t.Fatal(err)
	}
	equal(t, "head", b.receive(out), "0", "1", "2")
	done := head.done()
	if got := done.Inputs["in"].Records; got != 3 || !slices.Contains(done.ClosedEarly, "in") {
		t.Errorf("head has read %d records, closed early: %v", got, done.ClosedEarly)
	}
	tee.done()
	counter.done()
}

// A reader that closes early does not block the other one, and neither reader is ahead of the other by more than the
// windows.
func TestTeeContinuesWithOneReader(t *testing.T) {
	b := newBench(t)
	records := numbers(5000, 100) // several windows
	first, second := b.edge("octets"), b.edge("octets")
	j := b.run(program(t, "tee"), edges{"in": b.given("octets", records...)}, edges{"a": first, "b": second})
	r := b.reader(first)
	equal(t, "before it closes", b.some(r, 10), records[:10]...)
	if err := r.Close(b.ctx()); err != nil {
		t.Fatal(err)
	}
	equal(t, "the other", b.receive(second), records...)
	j.done()
}

// Two branches that are joined again do not wait for each other forever.
func TestBranchesMeetAgain(t *testing.T) {
	for _, meet := range []string{"zip", "merge"} {
		t.Run(meet, func(t *testing.T) {
			b := newBench(t)
			records := numbers(5000, 100)
			first, second := b.edge("octets"), b.edge("octets")
			port, typename := "out", "octets"
			if meet == "zip" {
				port, typename = "pair", "list<octets>"
			}
			out, total := b.edge(typename), b.edge("json")
			b.run(program(t, "tee"), edges{"in": b.given("octets", records...)}, edges{"a": first, "b": second})
			b.run(program(t, meet), edges{"a": first, "b": second}, edges{port: out})
			b.run(program(t, "count"), edges{"in": out}, edges{"count": total})
			want := map[string]string{"zip": "5000", "merge": "10000"}[meet]
			equal(t, "records", b.receive(total), want)
		})
	}
}

// merge keeps the order of each source.
func TestMergeKeepsOrderOfEachSource(t *testing.T) {
	b := newBench(t)
	out := b.edge("utf8-string")
	left, right := numbers(3000, 50), numbers(3000, 51)
	j := b.run(program(t, "merge"),
		edges{"a": b.given("utf8-string", left...), "b": b.given("utf8-string", right...)}, edges{"out": out})
	var as, bs []string
	for _, r := range b.receive(out) {
		if len(r) == 50 {
			as = append(as, r)
		} else {
			bs = append(bs, r)
		}
	}
	equal(t, "a", as, left...)
	equal(t, "b", bs, right...)
	j.done()
}

// If its output has no reader any more, merge closes both inputs, also a silent one.
func TestMergeEndsWithItsReader(t *testing.T) {
	b := newBench(t)
	number, silent, out := b.edge("json"), b.edge("json"), b.edge("json")
	counter := b.run(program(t, "counter"), nil, edges{"number": number})
	j := b.run(program(t, "merge"), edges{"a": number, "b": silent}, edges{"out": out})
	r := b.reader(out)
	b.some(r, 1)
	if err := r.Close(b.ctx()); err != nil {
		t.Fatal(err)
	}
	equal(t, "closed early", j.done().ClosedEarly, "a", "b")
	counter.done()
}

// log_errors logs the first errors one by one, and then the total number.
func TestLogErrorsLogsABoundedNumber(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	var log strings.Builder
	b.log = slog.New(slog.NewTextHandler(writer(func(line []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(line)
	}), nil))
	records := slices.Repeat([]string{"\x01no"}, 2500)
	j := b.run(program(t, "log_errors"), edges{"in": b.given("Result<x>", records...)}, edges{"out": b.edge("x")})
	j.done()
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "error=no"); n != 100 || !strings.Contains(log.String(), "errors=2500") {
		t.Errorf("%d errors are logged:\n%s", n, log.String())
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// http_get answers in the order of the URLs, retries if that may help, and describes errors.
func TestHTTPGet(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		n := asked[r.URL.Path]
		mu.Unlock()
		switch r.URL.Path {
		case "/missing":
			http.NotFound(w, r)
		case "/busy":
			if n == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write([]byte("at last"))
		case "/large":
			w.Header().Set("Content-Length", strconv.Itoa(std.BodyLimit+1))
			_, _ = w.Write(make([]byte, std.BodyLimit+1))
		default:
			_, _ = w.Write([]byte("page " + r.URL.Path))
		}
	}))
	defer server.Close()
	t.Setenv(contract.EnvHTTPGetAllow, "127.0.0.1")
	b := newBench(t)
	out := b.edge("Result<octets>")
	urls := []string{server.URL + "/busy", server.URL + "/missing", "ftp://x/y", server.URL + "/large"}
	want := []string{"\x00at last", "\x01GET " + server.URL + "/missing: the server responded 404 Not Found (try 1 of 4)",
		"\x01http_get cannot fetch the URL \"ftp://x/y\": write http://… or https://…",
		"\x01GET " + server.URL + "/large: the body is longer than 16777216 bytes (try 1 of 4)"}
	refused := server.URL[:strings.LastIndexByte(server.URL, ':')] + ":1/"
	urls = append(urls, refused)
	want = append(want, "\x01GET "+refused+": dial tcp 127.0.0.1:1: connect: connection refused (try 4 of 4)")
	for i := range 40 {
		urls = append(urls, fmt.Sprintf("%s/%d", server.URL, i))
		want = append(want, fmt.Sprintf("\x00page /%d", i))
	}
	j := b.run(program(t, "http_get"), edges{"url": b.given("utf8-string", urls...)}, edges{"body": out})
	equal(t, "results", b.receive(out), want...)
	j.done()
}
