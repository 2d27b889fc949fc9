package flowtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/records"
)

// A format is the format of a file with records; it is the file name extension.
type format string

const (
	// lines is one record per line, as it is.
	lines format = ".txt"
	// values is one JSON value per line: for typename json the record itself, for other types a record as
	// in a flow's constants, a string or {"base64": "…"}.
	values format = ".jsonl"
	// whole is one record per file.
	whole format = ".bin"
	// each is a folder in which each file is a record, sorted by name.
	each format = "/"
)

// fileFormats are the formats of files.
func fileFormats() []format { return []format{lines, values, whole} }

// formatOf returns the format of the file or folder at a path.
func formatOf(path string) format {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return each
	}
	return format(filepath.Ext(path))
}

// as returns the corresponding format of package records.
func (f format) as() records.Format {
	switch f {
	case lines:
		return records.Lines
	case values:
		return records.JSONLines
	}
	return records.Whole
}

// readFile yields the records of the typename in a file or folder. The caller owns yielded records. A test
// may feed records that do not match their typename.
func readFile(path, typename string) iter.Seq2[[]byte, error] {
	f := formatOf(path)
	in, err := records.OpenInput(records.Spec{Path: path, Raw: f == each, Format: f.as()}, nil)
	if err != nil {
		return func(yield func([]byte, error) bool) { yield(nil, err) }
	}
	in.Lenient = true
	return in.Records(typename)
}

// holds reports whether a file in this format can represent exactly these records.
func (f format) holds(all [][]byte, typename string) bool {
	switch f {
	case whole:
		return len(all) == 1 && !marked(all, typename)
	case each:
		return len(all) > 0 && !marked(all, typename)
	case lines:
		return !marked(all[:min(len(all), 1)], records.TypeText) && !slices.ContainsFunc(all, func(r []byte) bool {
			return !utf8.Valid(r) || bytes.ContainsRune(r, '\n') || bytes.HasSuffix(r, []byte("\r"))
		})
	}
	return typename != records.TypeJSON || !slices.ContainsFunc(all, func(r []byte) bool { return !json.Valid(r) })
}

// marked reports whether a text starts with a byte-order mark: a reader would drop it.
func marked(all [][]byte, typename string) bool {
	return records.IsText(typename) && slices.ContainsFunc(all, func(r []byte) bool {
		return bytes.HasPrefix(r, []byte("\ufeff"))
	})
}

// suits returns the format for records that have no file yet.
func suits(all [][]byte, typename string) format {
	if typename == records.TypeText && lines.holds(all, typename) {
		return lines
	}
	return values
}

// render writes each record as one line. Two lines are equal if and only if their records are equal, or
// are JSON values that differ only in white space and the order of members.
func (f format) render(all [][]byte, typename string) []string {
	out := make([]string, len(all))
	for i, r := range all {
		switch {
		case f == lines && typename != records.TypeJSON:
			out[i] = string(r)
		case typename == records.TypeJSON:
			out[i] = canonical(r)
		default:
			out[i] = constant(r)
		}
	}
	return out
}

// canonical returns a JSON text without white space, with the members of objects sorted. Text that is not
// JSON is returned in a form that is not valid JSON.
func canonical(record []byte) string {
	dec := json.NewDecoder(bytes.NewReader(record))
	dec.UseNumber()
	var v any
	if !json.Valid(record) || dec.Decode(&v) != nil {
		return fmt.Sprintf("not JSON: %q", record)
	}
	return plain(v)
}

// constant returns a record as it is written in a flow document.
func constant(record []byte) string {
	if utf8.Valid(record) {
		return plain(string(record))
	}
	return plain(flow.Value(record))
}

// plain encodes a value as JSON without escaping <, > and &, and escapes all control characters.
func plain(v any) string {
	text, _ := records.EncodeJSON(v) // strings and decoded JSON can always be encoded
	return escaped(string(text))
}

// escaped escapes the control characters outside ASCII, which JSON does not escape.
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

// encode returns the content of a file with the records.
func (f format) encode(all [][]byte, typename string) []byte {
	var b bytes.Buffer
	switch f {
	case whole:
		return all[0]
	case lines:
		for _, r := range all {
			b.Write(r)
			b.WriteByte('\n')
		}
		return b.Bytes()
	}
	for _, line := range f.render(all, typename) {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// write writes the records to the file or folder at a path.
func (f format) write(path string, all [][]byte, typename string) error {
	if f != each {
		return replace(path, f.encode(all, typename))
	}
	return replaceFiles(path, all, typename)
}
