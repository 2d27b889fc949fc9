package flowtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dagyo/dagyo/pkg/flow"
)

// A format is how records stand in a file; it is the ending of the file's name.
type format string

const (
	// lines is one record on each line, as it is.
	lines format = ".txt"
	// values is one JSON value on each line: of typename json the record itself, of any other type a
	// record as in a flow's constants, a string or {"base64": "…"}.
	values format = ".jsonl"
	// whole is a file that is one record.
	whole format = ".bin"
)

func formats() []format { return []format{lines, values, whole} }

// Typenames that are told apart here.
const (
	typeText = "utf8-string"
	typeJSON = "json"
)

// lineLimit bounds a line of a file of records, and a file that is one, in octets.
const lineLimit = 64 << 20

// read yields the records in a file of the typename. A yielded record is the caller's.
func (f format) read(in io.Reader, typename string) iter.Seq2[[]byte, error] {
	if f == whole {
		return func(yield func([]byte, error) bool) { yield(readWhole(in)) }
	}
	return func(yield func([]byte, error) bool) {
		s := bufio.NewScanner(in)
		s.Buffer(nil, lineLimit)
		for n := 1; s.Scan(); n++ {
			record, err := f.parse(s.Bytes(), typename)
			if err != nil {
				err = fmt.Errorf("line %d: %w", n, err)
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield(nil, err)
		}
	}
}

func readWhole(in io.Reader) ([]byte, error) {
	record, err := io.ReadAll(io.LimitReader(in, lineLimit+1))
	if err == nil && len(record) > lineLimit {
		err = fmt.Errorf("it has more than %d octets", lineLimit)
	}
	return record, err
}

func (f format) parse(line []byte, typename string) ([]byte, error) {
	switch {
	case f == lines:
		return bytes.Clone(line), nil
	case !json.Valid(line):
		return nil, errors.New("this is not a JSON value; a .jsonl file has one on each line")
	case typename == typeJSON:
		return bytes.Clone(line), nil
	}
	var v flow.Value
	err := json.Unmarshal(line, &v)
	return v, err
}

// holds reports whether a file of this format can hold exactly these records.
func (f format) holds(records [][]byte, typename string) bool {
	switch f {
	case whole:
		return len(records) == 1
	case lines:
		return !slices.ContainsFunc(records, func(r []byte) bool {
			return !utf8.Valid(r) || bytes.ContainsRune(r, '\n') || bytes.HasSuffix(r, []byte("\r"))
		})
	}
	return typename != typeJSON || !slices.ContainsFunc(records, func(r []byte) bool { return !json.Valid(r) })
}

// suits is the format for records that have no file yet.
func suits(records [][]byte, typename string) format {
	if typename == typeText && lines.holds(records, typename) {
		return lines
	}
	return values
}

// render writes each record as one line. Two lines are equal if and only if their records are, or are
// JSON values that differ in spaces and the order of members.
func (f format) render(records [][]byte, typename string) []string {
	out := make([]string, len(records))
	for i, r := range records {
		switch {
		case f == lines && typename != typeJSON:
			out[i] = string(r)
		case typename == typeJSON:
			out[i] = canonical(r)
		default:
			out[i] = constant(r)
		}
	}
	return out
}

// canonical is a JSON text without spaces, the members of objects in their order. What is not JSON is
// told in a form that no JSON has.
func canonical(record []byte) string {
	dec := json.NewDecoder(bytes.NewReader(record))
	dec.UseNumber()
	var v any
	if !json.Valid(record) || dec.Decode(&v) != nil {
		return fmt.Sprintf("not JSON: %q", record)
	}
	return plain(v)
}

// constant is a record as it stands in a flow document.
func constant(record []byte) string {
	if utf8.Valid(record) {
		return plain(string(record))
	}
	return plain(flow.Value(record))
}

// plain is JSON with <, > and & as they are, and all control characters escaped.
func plain(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // strings, and what was decoded from JSON, can be encoded
	return escaped(strings.TrimSuffix(b.String(), "\n"))
}

// escaped escapes the control characters beyond ASCII's, which JSON leaves as they are.
func escaped(text string) string {
	if !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// encode is the content of a file that holds the records.
func (f format) encode(records [][]byte, typename string) []byte {
	var b bytes.Buffer
	switch f {
	case whole:
		return records[0]
	case lines:
		for _, r := range records {
			b.Write(r)
			b.WriteByte('\n')
		}
		return b.Bytes()
	}
	for _, line := range f.render(records, typename) {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.Bytes()
}
