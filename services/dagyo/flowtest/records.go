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
	"github.com/dagyo/dagyo/services/dagyo/records"
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
	// each is a folder in which each file is a record, in the order of their names.
	each format = "/"
)

// fileFormats are those of files.
func fileFormats() []format { return []format{lines, values, whole} }

// formatOf is the format of the file or folder at a path.
func formatOf(path string) format {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return each
	}
	return format(filepath.Ext(path))
}

// typeJSON is the typename whose records are compared as values.
const typeJSON = records.TypeJSON

// as is the format of the files, as package records names it.
func (f format) as() records.Format {
	switch f {
	case lines:
		return records.Lines
	case values:
		return records.JSONLines
	}
	return records.Whole
}

// readFile yields the records of the typename in a file or folder. A yielded record is the caller's. A
// test may feed what is not of its typename.
func readFile(path, typename string) iter.Seq2[[]byte, error] {
	f := formatOf(path)
	in, err := records.OpenInput(records.Spec{Path: path, Raw: f == each, Format: f.as()}, nil)
	if err != nil {
		return func(yield func([]byte, error) bool) { yield(nil, err) }
	}
	in.Lenient = true
	return in.Records(typename)
}

// holds reports whether a file of this format can hold exactly these records.
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
	return typename != typeJSON || !slices.ContainsFunc(all, func(r []byte) bool { return !json.Valid(r) })
}

// marked reports whether a text begins with a byte-order mark: it would not be read again.
func marked(all [][]byte, typename string) bool {
	return records.IsText(typename) && slices.ContainsFunc(all, func(r []byte) bool {
		return bytes.HasPrefix(r, []byte("\ufeff"))
	})
}

// suits is the format for records that have no file yet.
func suits(all [][]byte, typename string) format {
	if typename == records.TypeText && lines.holds(all, typename) {
		return lines
	}
	return values
}

// render writes each record as one line. Two lines are equal if and only if their records are, or are
// JSON values that differ in spaces and the order of members.
func (f format) render(all [][]byte, typename string) []string {
	out := make([]string, len(all))
	for i, r := range all {
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

// write writes the records into the file or folder at a path.
func (f format) write(path string, all [][]byte, typename string) error {
	if f != each {
		return replace(path, f.encode(all, typename))
	}
	return replaceFiles(path, all, typename)
}
