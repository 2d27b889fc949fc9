package flowtest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/records"
)

func texts(texts ...string) [][]byte {
	out := [][]byte{}
	for _, s := range texts {
		out = append(out, []byte(s))
	}
	return out
}

// readAll reads a file of the format that holds the content.
func readAll(t *testing.T, f format, content, typename string) ([][]byte, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file"+string(f))
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return readBack(path, typename)
}

func readBack(path, typename string) ([][]byte, error) {
	out := [][]byte{}
	for r, err := range readFile(path, typename) {
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
		{"nothing", lines, records.TypeText, "", texts()},
		{"lines", lines, records.TypeText, "a\nb\n", texts("a", "b")},
		{"no newline at the end", lines, records.TypeText, "a\nb", texts("a", "b")},
		{"empty records", lines, records.TypeText, "\n\n", texts("", "")},
		{"lines of another system", lines, records.TypeText, "a\r\nb\r\n", texts("a", "b")},
		{"a byte-order mark", lines, records.TypeText, "\ufeffa\nb", texts("a", "b")},
		{"a byte-order mark in JSON", values, records.TypeJSON, "\ufeff1\n", texts("1")},
		{"what is not UTF-8 is for the flow to refuse", lines, records.TypeText, "\xff\n", texts("\xff")},
		{"strings", values, records.TypeText, `"a\nb"` + "\n", texts("a\nb")},
		{"octets", values, "octets", `{"base64": "AAH/"}` + "\n", texts("\x00\x01\xff")},
		{"JSON as it is", values, records.TypeJSON, "{\"b\": 1}\n[]\n", texts(`{"b": 1}`, "[]")},
		{"text that is no JSON, of typename json", lines, records.TypeJSON, "oops\n", texts("oops")},
		{"the whole file", whole, "octets", "a\nb\n", texts("a\nb\n")},
		{"an empty record", whole, "octets", "", texts("")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readAll(t, tt.f, tt.content, tt.typename)
			if err != nil || !slices.EqualFunc(got, tt.want, bytes.Equal) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestBadLinesAreTold(t *testing.T) {
	for content, want := range map[string]string{
		"\"a\"\noops\n":            "line 2: not a JSON value: invalid character 'o' looking for beginning of value at column 1; it begins with \"oops\"",
		"7\n":                      "line 1: ",
		`{"base46": "AAH/"}`:       `line 1: a value is a string or {"base64": "…"}`,
		`{"base64": "not base"}`:   "line 1: illegal base64",
		"\n":                       "line 1: not a JSON value: it is empty",
		"\"a\" \"b\"\n\"never\"\n": "line 1: not a JSON value",
	} {
		if _, err := readAll(t, values, content, records.TypeText); err == nil ||
			!strings.Contains(err.Error(), ".jsonl: "+want) {
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
		typename := []string{records.TypeText, records.TypeJSON, "octets"}[kind%3]
		all := [][]byte{a, b}
		for _, chosen := range []format{lines, values, each, suits(all, typename)} {
			if !chosen.holds(all, typename) {
				continue
			}
			path := filepath.Join(t.TempDir(), "file"+string(chosen))
			if chosen == each {
				_ = os.Mkdir(path, 0o700)
			}
			if err := chosen.write(path, all, typename); err != nil {
				t.Fatal(err)
			}
			again, err := readBack(path, typename)
			c := comparison{typename: typename, format: chosen, got: all, want: again}
			if err != nil {
				t.Fatal(err)
			}
			if d := c.diff("file", "records"); d != "" {
				t.Errorf("%s of %s: %s", chosen, typename, d)
			}
			if typename != records.TypeJSON && !slices.EqualFunc(all, again, bytes.Equal) {
				t.Errorf("%s of %s: wrote %q, read %q", chosen, typename, all, again)
			}
		}
	})
}
