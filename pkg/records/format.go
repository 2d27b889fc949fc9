package records

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/wire"
)

// A Format is the format of a file with records.
type Format string

// The formats.
const (
	// Lines is one record per line, as it is.
	Lines Format = "lines"
	// JSONLines is one JSON value per line: for typename json the record itself, for other typenames a
	// record as in a flow document, a string or {"base64": "…"}.
	JSONLines Format = "jsonl"
	// Base64 is one record per line, in base64.
	Base64 Format = "base64"
	// Whole is one record per file.
	Whole Format = "file"
)

// Formats are all formats.
var Formats = []Format{Lines, JSONLines, Base64, Whole}

// Typenames whose records are text.
const (
	TypeText = "utf8-string"
	TypeJSON = "json"
)

// Limits of records in files, in bytes.
const (
	LineLimit = 64 << 20
	FileLimit = wire.DefaultMaxRecord
)

// ParseFormat returns the format with a name.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(Formats, f) {
		return f, nil
	}
	return "", fmt.Errorf("unknown format %q: must be %s, %s, %s or %s", name, Lines, JSONLines, Base64, Whole)
}

// IsText reports whether records of the typename are text.
func IsText(typename string) bool { return typename == TypeText || typename == TypeJSON }

// OnLines returns the default format of files with one record per line.
func OnLines(typename string) Format {
	if IsText(typename) {
		return Lines
	}
	return Base64
}

// Append appends a record as it is written in a file.
func (f Format) Append(dst []byte, typename string, record []byte) []byte {
	switch f {
	case Whole:
		return append(dst, record...)
	case Base64:
		dst = base64.StdEncoding.AppendEncode(dst, record)
	case JSONLines:
		dst = appendValue(dst, typename, record)
	default:
		dst = append(dst, record...)
	}
	return append(dst, '\n')
}

// appendValue appends a record as one JSON value on one line. A record with typename json that is not
// valid JSON is appended as it is: its reader reports it.
func appendValue(dst []byte, typename string, record []byte) []byte {
	if typename == TypeJSON {
		if line, err := EncodeJSON(json.RawMessage(record)); err == nil {
			return append(dst, line...)
		}
		return append(dst, record...)
	}
	if utf8.Valid(record) {
		line, _ := EncodeJSON(string(record)) // encoding a string cannot fail
		return append(dst, line...)
	}
	line, _ := EncodeJSON(flow.Value(record))
	return append(dst, line...)
}

// EncodeJSON returns a value as JSON on one line, without escaping <, > and &.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// parse returns a copy of the record on a line.
func (f Format) parse(line []byte, typename string) ([]byte, error) {
	switch f {
	case JSONLines:
		return parseValue(line, typename)
	case Base64:
		record, err := base64.StdEncoding.AppendDecode(nil, line)
		if err != nil {
			return nil, fmt.Errorf("not base64: %w", err)
		}
		return record, nil
	}
	return bytes.Clone(line), nil
}

func parseValue(line []byte, typename string) ([]byte, error) {
	if err := validJSON(line); err != nil {
		return nil, err
	}
	if typename == TypeJSON {
		return bytes.Clone(line), nil
	}
	var v flow.Value
	err := json.Unmarshal(line, &v)
	return v, err
}

// Check reports why a record does not match its typename, as far as a client can check.
func Check(typename string, record []byte) error {
	switch {
	case typename == TypeJSON:
		return validJSON(record)
	case typename == TypeText && !utf8.Valid(record):
		at := firstInvalid(record)
		return fmt.Errorf("not valid UTF-8: byte %d is 0x%02x", at+1, record[at])
	}
	return nil
}

// firstInvalid returns the position of the first byte that is not valid UTF-8.
func firstInvalid(text []byte) int {
	at := 0
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		at += size
	}
	return at
}

func validJSON(text []byte) error {
	if why := document.WhyNotJSON(text); why != "" {
		return errors.New("not a JSON value: " + why)
	}
	return nil
}
