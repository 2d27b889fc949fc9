package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"github.com/dagyo/dagyo/services/dagyo/records"
)

// A recordLine is a record in --output json: text and JSON in Record, any other bytes in Base64.
type recordLine struct {
	Output string          `json:"output"`
	Record json.RawMessage `json:"record,omitempty"`
	Base64 *string         `json:"base64,omitempty"`
}

// recordJSON appends a record as a line of --output json.
func recordJSON(dst []byte, output, typename string, record []byte) []byte {
	line := recordLine{Output: output}
	switch {
	case typename == records.TypeText && utf8.Valid(record):
		line.Record = unescaped(string(record))
	case typename == records.TypeJSON && json.Valid(record):
		line.Record = record
	default:
		text := base64.StdEncoding.EncodeToString(record)
		line.Base64 = &text
	}
	return append(append(dst, unescaped(line)...), '\n')
}

// unescaped is JSON with < and > as they are. The value must be one that can be encoded.
func unescaped(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
