package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// Typenames whose records are text.
const (
	typeText = "utf8-string"
	typeJSON = "json"
)

// recordText appends a record as one line: text as it is, anything else in base64.
func recordText(dst []byte, typename string, record []byte) []byte {
	if typename == typeText || typename == typeJSON {
		dst = append(dst, record...)
	} else {
		dst = base64.StdEncoding.AppendEncode(dst, record)
	}
	return append(dst, '\n')
}

// A recordLine is a record in --output json. Text stands in Record, what a json record says too, and
// any other octets in Base64.
type recordLine struct {
	Output string          `json:"output"`
	Record json.RawMessage `json:"record,omitempty"`
	Base64 *string         `json:"base64,omitempty"`
}

func recordJSON(dst []byte, output, typename string, record []byte) ([]byte, error) {
	line := recordLine{Output: output}
	var err error
	switch {
	case typename == typeText:
		line.Record, err = unescaped(string(record))
	case typename == typeJSON && json.Valid(record):
		line.Record = record
	default:
		text := base64.StdEncoding.EncodeToString(record)
		line.Base64 = &text
	}
	if err != nil {
		return dst, err
	}
	b, err := unescaped(line)
	return append(append(dst, b...), '\n'), err
}

// unescaped is JSON with < and > as they are.
func unescaped(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// parseRecord reads a line as recordText writes it.
func parseRecord(typename string, line []byte) ([]byte, error) {
	if typename == typeText || typename == typeJSON {
		return line, nil
	}
	record, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil {
		return nil, fmt.Errorf("the typename %s wants base64: %w", typename, err)
	}
	return record, nil
}
