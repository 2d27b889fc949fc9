package flow

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// valueLists returns the two lists of records that a node may have.
func valueLists(written any) (constant []any, with map[string]any) {
	object, _ := written.(map[string]any)
	c, _ := object["const"].(map[string]any)
	constant, _ = c["values"].([]any)
	with, _ = object["with"].(map[string]any)
	return constant, with
}

// readValues decodes the records of a constant.
func (c *checker) readValues(written []any, at []string) []Value {
	out := make([]Value, 0, len(written))
	for i, w := range written {
		v, message := readValue(w)
		if message != "" {
			c.add(problem.BadValue, append(at, strconv.Itoa(i)), message, "")
		}
		if len(v) > c.limits.RecordBytes {
			c.add(problem.TooLarge, append(at, strconv.Itoa(i)), fmt.Sprintf(
				"the value has %d bytes; the limit is %d", len(v), c.limits.RecordBytes),
				"")
		}
		out = append(out, v)
	}
	return out
}

// hold checks the records of a constant against their typename.
func (c *checker) hold(values []Value, typename string, at []string) {
	for i, v := range values {
		if message := promise(v, typename); message != "" {
			c.add(problem.BadValue, append(at, strconv.Itoa(i)), message, bareWord(v, typename))
		}
	}
}

// readValue decodes one record, or explains why it cannot. It returns nil for a value that breaks the schema.
func readValue(written any) (Value, string) {
	switch w := written.(type) {
	case string:
		return Value(w), ""
	case map[string]any:
		text, ok := w["base64"].(string)
		if !ok {
			return nil, ""
		}
		v, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, "the value is not base64 with the standard alphabet and padding"
		}
		return v, ""
	default:
		return nil, ""
	}
}

// promise explains how a record breaks its typename; it returns "" if it does not. Only built-in
// typenames are checked.
func promise(v Value, typename string) string {
	switch {
	case v == nil:
		return ""
	case typename == "utf8-string" && !utf8.Valid(v):
		return "the value is not UTF-8, which its type utf8-string requires"
	case typename == "json" && !json.Valid(v):
		return "the value is not JSON, which its type json requires: " + document.WhyNotJSON(v)
	default:
		return ""
	}
}

// bareWord is a hint for text that should be a JSON string.
func bareWord(v Value, typename string) string {
	if typename != "json" || len(v) == 0 || !utf8.Valid(v) || strings.IndexByte(`{["`, v[0]) >= 0 {
		return ""
	}
	text, _ := json.Marshal(string(v)) // text can be encoded
	return "a JSON string needs its own quotation marks: " + document.Quote(string(text))
}
