package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/quick"
)

// all reads every record, up to an error.
func all(r *Reader) (out []string, err error) {
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, string(record))
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name     string
		format   Format
		typename string
		text     string
		want     []string
	}{
		{"nothing", Lines, TypeText, "", nil},
		{"lines", Lines, TypeText, "a\n\nb\n", []string{"a", "", "b"}},
		{"no newline at the end", Lines, TypeText, "a\nb", []string{"a", "b"}},
		{"carriage returns", Lines, TypeText, "a\r\n\r\nb\r", []string{"a", "", "b"}},
		{"one carriage return goes", Lines, TypeText, "a\r\r\nb\rc\n", []string{"a\r", "b\rc"}},
		{"a byte-order mark", Lines, TypeText, "\ufeffa\n\ufeffb\n", []string{"a", "\ufeffb"}},
		{"only a byte-order mark", Lines, TypeText, "\ufeff", nil},
		{"a byte-order mark and an empty line", Lines, TypeText, "\ufeff\n", []string{""}},
		{"half a byte-order mark", Lines, "octets", "\xef\xbb", []string{"\xef\xbb"}},
		{"JSON", Lines, TypeJSON, "{\"a\": 1}\r\n2\n", []string{`{"a": 1}`, "2"}},
		{"base64", Base64, "octets", "AAH/\r\n\n", []string{"\x00\x01\xff", ""}},
		{"values", JSONLines, TypeText, "\"a\\nb\"\n", []string{"a\nb"}},
		{"values that are not text", JSONLines, "octets", `{"base64": "AAH/"}`, []string{"\x00\x01\xff"}},
		{"values of typename json", JSONLines, TypeJSON, "{\"b\": 1}\n", []string{`{"b": 1}`}},
		{"a file", Whole, "octets", "\x89PNG\r\n\x1a\n", []string{"\x89PNG\r\n\x1a\n"}},
		{"an empty file", Whole, "octets", "", []string{""}},
		{"a file of text", Whole, TypeText, "\ufeffa\r\nb\n", []string{"a\r\nb\n"}},
		{"a file of bytes keeps all of them", Whole, "octets", "\ufeffa", []string{"\ufeffa"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
				got, err := all(NewReader(in, c.format, c.typename))
				if err != nil || !slices.Equal(got, c.want) {
					t.Errorf("got %q, %v; want %q", got, err, c.want)
				}
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct {
		format         Format
		typename, text string
		want           string
	}{
		{Lines, TypeText, "a\nb\xff\n", "line 2: not valid UTF-8: byte 2 is 0xff"},
		{Lines, TypeText, "\xff\xfea\x00", "line 1: not valid UTF-8: byte 1 is 0xff (this looks like UTF-16: convert the file to UTF-8)"},
		{Whole, TypeText, "\xfe\xff\x00a", "not valid UTF-8: byte 1 is 0xfe (this looks like UTF-16: convert the file to UTF-8)"},
		{Whole, TypeText, "a\xc3", "not valid UTF-8: byte 2 is 0xc3"},
		{Lines, TypeText, "a\ufffd\xed\xa0\x80", "line 1: not valid UTF-8: byte 5 is 0xed"},
		{Lines, TypeJSON, "1\n{\"a\" 1}\n", `line 2: not a JSON value: invalid character '1' after object key at column 6; it begins with "{\"a\" 1}"`},
		{Lines, TypeJSON, "1\n\n", "line 2: not a JSON value: it is empty"},
		{Whole, TypeJSON, "{", `not a JSON value: unexpected end of JSON input at column 2; it begins with "{"`},
		{Base64, "octets", "AAH/\n\x89PNG\n", "line 2: not base64: illegal base64 data at input byte 0"},
		{JSONLines, TypeText, "Ada\n", `line 1: not a JSON value: invalid character 'A' looking for beginning of value at column 1; it begins with "Ada"`},
		{JSONLines, TypeText, "7\n", `line 1: `},
	} {
		_, err := all(NewReader(strings.NewReader(c.text), c.format, c.typename))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || c.want != "line 1: " && err.Error() != c.want {
			t.Errorf("%s of %s, %q: got %v, want %s", c.format, c.typename, c.text, err, c.want)
		}
		lenient := NewReader(strings.NewReader(c.text), c.format, c.typename)
		lenient.Lenient = true
		if _, err := all(lenient); c.format != Base64 && c.format != JSONLines && err != nil {
			t.Errorf("leniently, %q: %v", c.text, err)
		}
	}
}

// letters are as many as are wanted.
type letters struct{}

func (letters) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func TestLongLines(t *testing.T) {
	line := func(n int64) io.Reader { return io.LimitReader(letters{}, n) }
	r := NewReader(io.MultiReader(strings.NewReader("a\n"), line(LineLimit), strings.NewReader("\r\nb\n")), Lines, TypeText)
	got, err := all(r)
	if err != nil || len(got) != 3 || len(got[1]) != LineLimit {
		t.Errorf("a line as long as the limit: %d records, %v", len(got), err)
	}
	for _, behind := range []string{"", "\n", "x\n", "\r\n"} {
		r := NewReader(io.MultiReader(strings.NewReader("a\n"), line(LineLimit+1), strings.NewReader(behind)), Lines, TypeText)
		got, err := all(r)
		want := fmt.Sprintf("line 2 is longer than the limit of %d bytes", LineLimit)
		if len(got) != 1 || err == nil || err.Error() != want {
			t.Errorf("a longer line: %d records, %v", len(got), err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	for _, format := range []Format{Lines, Whole} {
		in := io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := all(NewReader(in, format, TypeText)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %v", format, err)
		}
	}
}

// What is written is read again, as far as the format can hold it.
func TestWrittenIsReadAgain(t *testing.T) {
	for _, format := range []Format{Base64, JSONLines} {
		same := func(want [][]byte) bool {
			var text []byte
			for _, record := range want {
				text = format.Append(text, "octets", record)
			}
			got, err := all(NewReader(bytes.NewReader(text), format, "octets"))
			return err == nil && slices.EqualFunc(got, want, func(a string, b []byte) bool { return a == string(b) })
		}
		if err := quick.Check(same, nil); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		format                 Format
		typename, record, want string
	}{
		{OnLines(TypeText), TypeText, "Ada", "Ada\n"},
		{OnLines(TypeJSON), TypeJSON, `{"a":1}`, `{"a":1}` + "\n"},
		{OnLines("octets"), "octets", "\x00\xff", "AP8=\n"},
		{OnLines("list<utf8-string>"), "list<utf8-string>", "x", "eA==\n"},
		{Whole, "octets", "\x00\n", "\x00\n"},
		{JSONLines, TypeText, "<a>\n", `"<a>\n"` + "\n"},
		{JSONLines, TypeJSON, "{\"a\":\n1}", `{"a":1}` + "\n"},
		{JSONLines, TypeJSON, "no", "no\n"},
		{JSONLines, "octets", "\xff", `{"base64":"/w=="}` + "\n"},
	} {
		if got := string(c.format.Append(nil, c.typename, []byte(c.record))); got != c.want {
			t.Errorf("%s %q as %s: got %q, want %q", c.typename, c.record, c.format, got, c.want)
		}
	}
}

func TestParseFormat(t *testing.T) {
	if f, err := ParseFormat("jsonl"); f != JSONLines || err != nil {
		t.Errorf("got %q, %v", f, err)
	}
	want := `unknown format "raw": must be lines, jsonl, base64 or file`
	if _, err := ParseFormat("raw"); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
