package flowtest

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func records(texts ...string) [][]byte {
	out := [][]byte{}
	for _, s := range texts {
		out = append(out, []byte(s))
	}
	return out
}

func readAll(f format, content, typename string) ([][]byte, error) {
	out := [][]byte{}
	for r, err := range f.read(strings.NewReader(content), typename) {
		if err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}

func TestFilesOfRecords(t *testing.T) {
	for _, tt := range []struct {
		name     string
		f        format
		typename string
		content  string
		want     [][]byte
	}{
		{"nothing", lines, typeText, "", records()},
		{"lines", lines, typeText, "a\nb\n", records("a", "b")},
		{"no newline at the end", lines, typeText, "a\nb", records("a", "b")},
		{"empty records", lines, typeText, "\n\n", records("", "")},
		{"lines of another system", lines, typeText, "a\r\nb\r\n", records("a", "b")},
		{"strings", values, typeText, `"a\nb"` + "\n", records("a\nb")},
		{"octets", values, "octets", `{"base64": "AAH/"}` + "\n", records("\x00\x01\xff")},
		{"JSON as it is", values, typeJSON, "{\"b\": 1}\n[]\n", records(`{"b": 1}`, "[]")},
		{"text that is no JSON, of typename json", lines, typeJSON, "oops\n", records("oops")},
		{"the whole file", whole, "octets", "a\nb\n", records("a\nb\n")},
		{"an empty record", whole, "octets", "", records("")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readAll(tt.f, tt.content, tt.typename)
			if err != nil || !slices.EqualFunc(got, tt.want, bytes.Equal) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestBadLinesAreTold(t *testing.T) {
	for content, want := range map[string]string{
		"\"a\"\noops\n":            "line 2: this is not a JSON value",
		"7\n":                      "line 1: ",
		`{"base46": "AAH/"}`:       `line 1: a value is a string or {"base64": "…"}`,
		`{"base64": "not base"}`:   "line 1: illegal base64",
		"\n":                       "line 1: this is not a JSON value",
		"\"a\" \"b\"\n\"never\"\n": "line 1: this is not a JSON value",
	} {
		if _, err := readAll(values, content, typeText); err == nil ||
			!strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", content, err, want)
		}
	}
}

// What update writes is what the next run reads.
func FuzzUpdatedFilesHoldTheirRecords(f *testing.F) {
	f.Add([]byte("a"), []byte("b\nc"), uint8(0))
	f.Add([]byte(`{"a": "\u007f"}`), []byte(`[1.0]`), uint8(1))
	f.Add([]byte{0xff, '\r'}, []byte("\u0085\u2028<"), uint8(2))
	f.Fuzz(func(t *testing.T, a, b []byte, kind uint8) {
		typename := []string{typeText, typeJSON, "octets"}[kind%3]
		all := [][]byte{a, b}
		for _, chosen := range append(formats(), suits(all, typename)) {
			if !chosen.holds(all, typename) {
				continue
			}
			again, err := readAll(chosen, string(chosen.encode(all, typename)), typename)
			c := comparison{typename: typename, format: chosen, got: all, want: again}
			if err != nil {
				t.Fatal(err)
			}
			if d := c.diff("file", "records"); d != "" {
				t.Errorf("%s of %s: %s", chosen, typename, d)
			}
			if typename != typeJSON && !slices.EqualFunc(all, again, bytes.Equal) {
				t.Errorf("%s of %s: wrote %q, read %q", chosen, typename, all, again)
			}
		}
	})
}
