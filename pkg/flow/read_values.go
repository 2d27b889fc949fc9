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

// valueLists returns the two places of a node at which records may stand.
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
				"the value has %d bytes; at most %d are allowed", len(v), c.limits.RecordBytes),
				"")
		}
		out = append(out, v)
	}
	return out
}

// hold holds the records of a constant to what their typename promises.
func (c *checker) hold(values []Value, typename string, at []string) {
	for i, v := range values {
		if message := promise(v, typename); message != "" {
			c.add(problem.BadValue, append(at, strconv.Itoa(i)), message, bareWord(v, typename))
		}
	}
}

// readValue decodes one record, or says why it cannot. What breaks the schema becomes nil.
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

// promise says how a record breaks what its typename promises, "" when it does not. Only the
// built-in typenames promise anything that can be seen here.
func promise(v Value, typename string) string {
	switch {
	case v == nil:
		return ""
	case typename == "utf8-string" && !utf8.Valid(v):
		return "the value is not UTF-8, as its type utf8-string promises"
	case typename == "json" && !json.Valid(v):
		return "the value is not JSON, as its type json promises: " + document.WhyNotJSON(v)
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
	return "a JSON string has quotation marks of its own: " + document.Quote(string(text))
}
