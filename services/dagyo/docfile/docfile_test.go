package docfile

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/dagyo/dagyo/pkg/problem"
)

func read(t *testing.T, text, name string) ([]Document, problem.List) {
	t.Helper()
	all, err := ReadAll(strings.NewReader(text), name)
	var problems problem.List
	if err != nil && !errors.As(err, &problems) {
		t.Fatal(err)
	}
	return all, problems
}

// What YAML means in JSON.
func TestYAML(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"scalars", "a: x\nb: 1\nc: -2.50\nd: true\ne: ~\nf:\n", `{"a":"x","b":1,"c":-2.50,"d":true,"e":null,"f":null}`},
		{"numbers", "[+7, 0x1F, 0o17, 1., .5, -.5e3, 1e3, 0, -0, 0.5, 00.5]", `[7,31,15,1,0.5,-0.5e3,1e3,0,-0,0.5,0.5]`},
		{"large numbers", "[12345678901234567890123, 0xFFFFFFFFFFFFFFFFFF]", `[12345678901234567890123,4722366482869645213695]`},
		{"text that YAML 1.1 read otherwise", "[yes, no, on, off, y, 12:30:45, 2026-03-01, 1_000, 0b11, .5.5, 1.2.3]",
			`["yes","no","on","off","y","12:30:45","2026-03-01","1_000","0b11",".5.5","1.2.3"]`},
		{"text by its form", `["010", '.inf', "null", '1', "a\tb", 'it''s']`, `["010",".inf","null","1","a\tb","it's"]`},
		{"blocks", "a: |\n  x\n  y\nb: >-\n  x\n  y\nc: |-\n  010\n", `{"a":"x\ny\n","b":"x y","c":"010"}`},
		{"a plain text of two lines", "a: x\n  y\nb: 1\n", `{"a":"x y","b":1}`},
		{"tags", "[!!str 5, !!int \"5\", !!float 1, !!bool true, !!null ~, !!str 010, !!timestamp 2026-03-01]",
			`["5",5,1,true,null,"010","2026-03-01"]`},
		{"collections with tags", "a: !!map {x: !!seq [1]}\n", `{"a":{"x":[1]}}`},
		{"bytes", "values:\n- !!binary aGVs\n- !!binary |\n    aGVs\n    bG8=\n", `{"values":[{"base64":"aGVs"},{"base64":"aGVsbG8="}]}`},
		{"names", "1: a\ntrue: b\n\"x y\": c\n'q': d\n? e\n: f\nnull: g\n010: h\n", `{"1":"a","true":"b","x y":"c","q":"d","e":"f","null":"g","010":"h"}`},
		{"an alias", "a: &x {b: [1]}\nc: *x\nd: [*x]\n", `{"a":{"b":[1]},"c":{"b":[1]},"d":[{"b":[1]}]}`},
		{"an anchor that is set again", "a: &x 1\nb: *x\nc: &x 2\nd: *x\n", `{"a":1,"b":1,"c":2,"d":2}`},
		{"an anchor beside its merge", "a: {x: &q {b: 1}, <<: *q}\n", `{"a":{"x":{"b":1},"b":1}}`},
		{"an anchor of a name", "&a b: c\nd: *a\n", `{"b":"c","d":"b"}`},
		{"a tag directive", "%TAG !e! tag:example.com,2000:\n---\na: 1\n", `{"a":1}`},
		{"an alias of text", "a: &x \"010\"\nb: *x\n*x : c\n", `{"a":"010","b":"010","010":"c"}`},
		{"a merge", "g: &g {p: 1, w: 2}\nn:\n  <<: *g\n  w: 3\n", `{"g":{"p":1,"w":2},"n":{"w":3,"p":1}}`},
		{"a merge in braces", "g: &g {p: 1, w: 2}\nn: {<<: *g, w: 3}\n", `{"g":{"p":1,"w":2},"n":{"w":3,"p":1}}`},
		{"a merge behind its override", "g: &g {p: 1, w: 2}\nn:\n  w: 3\n  <<: *g\n", `{"g":{"p":1,"w":2},"n":{"w":3,"p":1}}`},
		{"merges of several", "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nn: {<<: [*a, *b], z: 3}\n",
			`{"a":{"x":1},"b":{"x":2,"y":2},"n":{"z":3,"x":1,"y":2}}`},
		{"a merge of a merge", "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nn: {<<: *b, z: 3}\n",
			`{"a":{"x":1,"y":1},"b":{"y":2,"x":1},"n":{"z":3,"y":2,"x":1}}`},
		{"only a merge", "a: &a {x: 1}\nn: {<<: *a}\nm:\n  <<: *a\n", `{"a":{"x":1},"n":{"x":1},"m":{"x":1}}`},
		{"a merge of what is written there", "n: {<<: {x: 1}, y: 2}\n", `{"n":{"y":2,"x":1}}`},
		{"a name that is no merge", "\"<<\": 1\n", `{"<<":1}`},
		{"a repeated name, which the schema refuses", "a: 1\na: 2\n", `{"a":1,"a":2}`},
		{"comments", "# one\na: 1 # two\n# three\nb:\n  # four\n  - 2\n", `{"a":1,"b":[2]}`},
		{"a directive", "%YAML 1.2\n---\na: 1\n...\n", `{"a":1}`},
		{"Windows' lines", "a: 1\r\nb:\r\n  - x\r\n", `{"a":1,"b":["x"]}`},
		{"a byte-order mark", "\ufeffa: 1\n", `{"a":1}`},
		{"a byte-order mark before JSON", "\ufeff{\"a\": 1}", `{"a": 1}`},
		{"an empty mapping", "a: {}\nb: []\n", `{"a":{},"b":[]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, problems := read(t, tt.text, "x.yaml")
			if problems != nil || len(all) != 1 || string(all[0].JSON) != tt.want || !json.Valid(all[0].JSON) {
				t.Errorf("got %d documents %v, %v\nwant %s", len(all), texts(all), problems, tt.want)
			}
		})
	}
}

func texts(all []Document) []string {
	var out []string
	for _, d := range all {
		out = append(out, string(d.JSON))
	}
	return out
}

// What is not supported, or more than one, is refused where it stands.
func TestRefused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"infinity", "a: 1\nb: .inf\n", `line 2, column 4: /b: JSON does not support the number .inf [bad-value]`},
		{"minus infinity", "b: [-.INF]\n", `line 1, column 5: /b/0: JSON does not support the number -.INF [bad-value]`},
		{"no number", "b: .NaN\n", `line 1, column 4: /b: JSON does not support the number .NaN [bad-value]`},
		{"a leading zero", "a:\n  b: 010\n", `line 2, column 6: /a/b: 010 is an octal number in YAML 1.1 and a decimal number in YAML 1.2`},
		{"no octal digit", "b: -08\n", `line 1, column 4: /b: -08 is text in YAML 1.1 and a decimal number in YAML 1.2 [bad-value] — write the number without leading zeros (-8), or text in quotation marks ("-08")`},
		{"a negative octal number", "b: -010\n", `write the number without leading zeros (-10), or text in quotation marks ("-010")`},
		{"bytes that are no base64", "b: !!binary \"???\"\n", `line 1, column 4: /b: the value of !!binary must be base64`},
		{"an unknown tag", "a: 1\nb: !mine x\n", `line 2, column 4: /b: the tag !mine is not supported`},
		{"a wrong tag", "b: !!int x\n", `does not have the type !!int`},
		{"an alias inside of itself", "a: &a\n  b: *a\n", `line 2, column 6: /a/b: the alias *a refers to a value that contains it`},
		{"an alias in a list inside of itself", "a: &a [1, *a]\n", `line 1, column 11: /a/1: the alias *a refers to`},
		{"two aliases inside of each other", "a: &a\n  b: &b\n    c: [*a, *b]\n", `the alias *a refers to a value`},
		{"an alias above its anchor", "a: *x\nb: &x 1\n", `line 1, column 4: anchor &x not found above this alias`},
		{"a percent sign", "a: %x\n", `neither JSON nor YAML`},
		{"a merge inside of itself", "a: &a {b: {<<: *a}}\n", `nested deeper than the limit of 1000 levels`},
		{"an alias with an anchor", "a: &a *a\n", `neither JSON nor YAML`},
		{"an alias with a tag", "a: &a x\nb: !!str *a\n", `an alias cannot have an anchor or a tag`},
		{"an alias of nothing", "a: 1\nb: *nope\n", `line 2, column 4: anchor &nope not found above this alias`},
		{"a merge of itself", "a: &a\n  <<: *a\n  b: 1\n", `the mapping merges itself`},
		{"a merge of text", "a: &a x\nb: {<<: *a}\n", `the value of a merge key (<<) must be a mapping or a list of mappings`},
		{"a list as a name", "? [a]\n: 1\n", `line 2, column 1: neither JSON nor YAML: found an invalid key`},
		{"a tab", "a:\n  b: 1\n\tc: 2\n", `line 3, column 1: neither JSON nor YAML: a tab stands where YAML allows only spaces [not-json] — indent with spaces`},
		{"a wrong indentation", "a:\n  b: 1\n c: 2\n", `line 3, column 2: neither JSON nor YAML`},
		{"an open bracket", "a: 1\nb: [1, 2\n", `line 2, column 4: neither JSON nor YAML`},
		{"broken JSON", "{\n  \"a\": 1,\n  \"b\": }}\n}", `line 3, column 8: not JSON: invalid character`},
		{"nothing", " \n", `the file is empty`},
		{"only a comment", "# nothing\n", `the file is empty`},
		{"only separators", "---\n---\n", `the file is empty`},
		{"no text", "a: \xff\n", `line 1, column 4: the file is not UTF-8 text`},
		{"UTF-16 without a mark", "a\x00:\x00 \x001\x00", `line 1, column 2: the file is not UTF-8 text`},
		{"UTF-32", "\xff\xfe\x00\x00a\x00\x00\x00:\x00\x00\x00", `line 1, column 1: the file is not UTF-8 text`},
		{"half a character of UTF-16", "\xff\xfea\x00:\x00x", `line 1, column 3: the file is not UTF-8 text`},
		{"half a surrogate pair", "{\"a\":\n \"\\ud800\"}", `line 2, column 3: not JSON: the text is not Unicode`},
		{"many levels", strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "nested deeper than the limit of 1000 levels"},
		{"many open brackets", strings.Repeat("[", 1<<20), "nested deeper than the limit of 1000 levels"},
		{"many dashes", strings.Repeat("- ", 5000), "nested deeper than the limit of 1000 levels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := "x.yaml"
			if tt.name == "broken JSON" {
				name = "-"
			}
			all, problems := read(t, tt.text, name)
			if problems == nil && strings.HasPrefix(tt.name, "many") {
				return // valid JSON of that depth is for the services to refuse
			}
			if !strings.Contains(problems.Error(), tt.want) {
				t.Errorf("got %v, %v\nwant %s", texts(all), problems, tt.want)
			}
		})
	}
}

// A few lines may stand for more than there is memory.
func TestAliasesAreBounded(t *testing.T) {
	text := "a0: &a0 [" + strings.Repeat("lol,", 100) + "]\n"
	for i := range 12 {
		prev, next := string(rune('0'+i)), string(rune('1'+i))
		text += "a" + next + ": &a" + next + " [" + strings.Repeat("*a"+prev+",", 10) + "]\n"
	}
	if _, problems := read(t, text, "x.yaml"); len(problems) != 1 || problems[0].Code != problem.TooLarge {
		t.Errorf("got %.200v", problems)
	}
}

func TestMergesAreBounded(t *testing.T) {
	text := "a0: &a0 {}\n"
	for i := range 9 {
		prev, next := string(rune('0'+i)), string(rune('1'+i))
		text += "a" + next + ": &a" + next + " {<<: [" + strings.Repeat("*a"+prev+",", 10) + "]}\n"
	}
	if _, problems := read(t, text, "x.yaml"); len(problems) != 1 || problems[0].Code != problem.TooLarge {
		t.Errorf("got %.200v", problems)
	}
}

func TestSeveralDocuments(t *testing.T) {
	tests := []struct {
		name, file, text string
		want             []string
		lines            []int
	}{
		{"YAML", "x.yaml", "a: 1\n---\n# two\nb: 2\n--- {c: 3}\n", []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}, []int{1, 4, 5}},
		{"empty ones", "x.yaml", "---\na: 1\n---\n---\n# none\n---\nb: 2\n---\n", []string{`{"a":1}`, `{"b":2}`}, []int{2, 7}},
		{"an anchor of each", "x.yaml", "a: &x 1\nb: *x\n---\na: &x 2\nb: *x\n", []string{`{"a":1,"b":1}`, `{"a":2,"b":2}`}, []int{1, 4}},
		{"JSON", "x.json", "{\"a\":1}\n\n{\"b\":2}", []string{`{"a":1}`, `{"b":2}`}, []int{1, 3}},
		{"YAML in a .json file", "x.json", "a: 1\n---\nb: 2\n", []string{`{"a":1}`, `{"b":2}`}, []int{1, 3}},
		{"a stream of YAML in a .json file", "x.json", "{\"a\": 1}\n---\n{\"b\": 2}\n", []string{`{"a":1}`, `{"b":2}`}, []int{1, 3}},
		{"JSON in a stream of YAML", "x.yaml", "{\"a\": 1}\n---\n{\"b\": 2}\n", []string{`{"a":1}`, `{"b":2}`}, []int{1, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, problems := read(t, tt.text, tt.file)
			if problems != nil || len(all) != len(tt.want) {
				t.Fatalf("got %v, %v", texts(all), problems)
			}
			for i, d := range all {
				if string(d.JSON) != tt.want[i] || d.Line != tt.lines[i] {
					t.Errorf("document %d is %s at line %d, want %s at line %d", i, d.JSON, d.Line, tt.want[i], tt.lines[i])
				}
			}
			_, err := Read(strings.NewReader(tt.text), tt.file)
			var list problem.List
			if !errors.As(err, &list) || list[0].Line != tt.lines[1] || list[0].Code != problem.TooMany {
				t.Errorf("one document: got %v, want a problem at line %d", err, tt.lines[1])
			}
		})
	}
}

// In a .json file, what may be meant as JSON must be JSON, although YAML would allow it.
func TestJSONFilesAreJSON(t *testing.T) {
	for _, text := range []string{"{a: 1}", `{"a": 1,}`, "[1,]", "hello", "- a\n- b\n", "{\"a\": [\n", "a: 1\n---\nhello\n", "a: ["} {
		_, problems := read(t, text, "x.JSON")
		hinted := !strings.ContainsAny(text[:1], "{[")
		if len(problems) != 1 || !strings.HasPrefix(problems[0].Message, "not JSON: ") || problems[0].Line == 0 ||
			(problems[0].Hint != "") != hinted {
			t.Errorf("%q: got %v", text, problems)
		}
	}
}

func TestUTF16(t *testing.T) {
	for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
		var raw []byte
		for _, unit := range utf16.Encode([]rune("\ufeffa: é😀\n")) {
			raw = order.AppendUint16(raw, unit)
		}
		all, problems := read(t, string(raw), "x.yaml")
		if problems != nil || string(all[0].JSON) != `{"a":"é😀"}` {
			t.Errorf("%s: got %v, %v", name, texts(all), problems)
		}
	}
}

func TestLocate(t *testing.T) {
	const yamlText = `# a flow
nodes:
  hello: &h
    progdef: gret
    with: {name: ["é", 5]}
  more:
    <<: *h
    wiht: {}
  last:
    progdef: gret
    progdef: greet
edges:
  - from: a.b
    to: c.d
  - {from: é.x, to: y}
outputs: {g: hello.greeting, "q/r": x}
`
	const jsonText = "{\n  \"a\": {\"é\": 1, \"b\": [true,\n    {\"c\" : null}]},\n  \"a\": 2, \"x/y\": \"{\"\n}"
	tests := []struct {
		name, text, pointer string
		code                problem.Code
		line, column        int
	}{
		{"the document", yamlText, "", problem.SchemaMismatch, 2, 1},
		{"a value", yamlText, "/nodes/hello/progdef", problem.UnknownProgdef, 4, 14},
		{"a name", yamlText, "/nodes/more/wiht", problem.UnknownField, 8, 5},
		{"a block", yamlText, "/nodes/hello", problem.NoSink, 3, 3},
		{"a list in braces", yamlText, "/nodes/hello/with/name", problem.NoSink, 5, 18},
		{"an item in brackets", yamlText, "/nodes/hello/with/name/1", problem.SchemaMismatch, 5, 24},
		{"through a merge", yamlText, "/nodes/more/progdef", problem.UnknownProgdef, 4, 14},
		{"a repeated name", yamlText, "/nodes/last/progdef", problem.DuplicateKey, 11, 5},
		{"an item of a block", yamlText, "/edges/0", problem.SchemaMismatch, 13, 5},
		{"a member of an item", yamlText, "/edges/0/to", problem.BadEndpoint, 14, 9},
		{"behind a letter of two bytes", yamlText, "/edges/1/to", problem.BadEndpoint, 15, 21},
		{"a name that is escaped", yamlText, "/outputs/q~1r", problem.BadName, 16, 30},
		{"nowhere", yamlText, "/nodes/none/x", problem.SchemaMismatch, 0, 0},
		{"JSON", jsonText, "", problem.SchemaMismatch, 1, 1},
		{"a value of JSON", jsonText, "/a/b", problem.SchemaMismatch, 2, 22},
		{"a name of JSON", jsonText, "/a/b", problem.UnknownField, 2, 17},
		{"an item of JSON", jsonText, "/a/b/1", problem.SchemaMismatch, 3, 5},
		{"deep in JSON", jsonText, "/a/b/1/c", problem.SchemaMismatch, 3, 12},
		{"a repeated name of JSON", jsonText, "/a", problem.DuplicateKey, 4, 3},
		{"an escaped name of JSON", jsonText, "/x~1y", problem.SchemaMismatch, 4, 18},
		{"nowhere in JSON", jsonText, "/a/b/7", problem.SchemaMismatch, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, problems := read(t, tt.text, "x.yaml")
			if problems != nil {
				t.Fatal(problems)
			}
			got := all[0].Locate(problem.List{{Code: tt.code, Pointer: tt.pointer}})[0]
			if got.Line != tt.line || got.Column != tt.column {
				t.Errorf("got line %d, column %d; want %d, %d", got.Line, got.Column, tt.line, tt.column)
			}
		})
	}
}

// All that is read is JSON, and its parts are found where they are.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"a: &a {b: [1, *a]}", "? x\n: - y\n  - z\n", "<<: {a: 1}\na: .inf", "{\"a\": [1, {\"b\": null}]} {}", "--- !!binary x\n...\n# c\n",
		"a: |+\n  x\n\nb: 'y'", "*x : 1", "- - - 1\n-\n", "&a *a : 1", "!!str\n", "&x\n", "a: &b !!map\n", "? &a *a\n: *a\n", "<<: *a\n", "x: &a {<<: [*a, {b: *a}]}", "\"\\ud83d\\ude00\"", "!!str : !!null", "&a : *a", "? &b [*b]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ReadAll(strings.NewReader(text), "x.yaml")
		for _, d := range all {
			if err != nil || !json.Valid(d.JSON) {
				t.Fatalf("%q was read as %q, %v", text, d.JSON, err)
			}
			d.Locate(problem.List{{Pointer: "/a"}, {Pointer: "/a/b/0"}, {Pointer: "/0"}})
		}
	})
}
