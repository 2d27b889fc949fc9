package cli

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"github.com/dagyo/dagyo/pkg/records"
)

// A recordLine is a record with --output json: text and JSON in Record, other bytes in Base64.
type recordLine struct {
	Output string          `json:"output"`
	Record json.RawMessage `json:"record,omitempty"`
	Base64 *string         `json:"base64,omitempty"`
}

// recordJSON appends a record as a line for --output json.
func recordJSON(dst []byte, output, typename string, record []byte) []byte {
	line := recordLine{Output: output}
	switch {
	case typename == records.TypeText && utf8.Valid(record):
		line.Record, _ = records.EncodeJSON(string(record)) // encoding a string cannot fail
	case typename == records.TypeJSON && json.Valid(record):
		line.Record = record
	default:
		text := base64.StdEncoding.EncodeToString(record)
		line.Base64 = &text
	}
	text, _ := records.EncodeJSON(line) // its record is valid JSON
	return append(append(dst, text...), '\n')
}
