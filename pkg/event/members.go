package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// members calls visit for each member of the JSON object in body. Since body is known to be JSON, finding the
// end of a member only needs quotes and brackets; the tokens of json.Decoder cost four times as much, for
// every event. If the object is truncated, members visits the members before the end.
func members(body []byte, visit func(name string, value json.RawMessage) error) error {
	body = afterSpace(body)
	if err := validObject(body); err != nil {
		wholeMembers(body, visit)
		return err
	}
	for rest := afterSpace(body[1:]); rest[0] != '}'; {
		end := valueEnd(rest)
		name := unquote(rest[:end])
		value := afterSpace(afterSpace(rest[end:])[1:]) // the colon
		end = valueEnd(value)
		if err := visit(name, value[:end:end]); err != nil {
			return err
		}
		if rest = afterSpace(value[end:]); rest[0] == ',' {
			rest = afterSpace(rest[1:])
		}
	}
	return nil
}

func validObject(body []byte) error {
	if len(body) > 0 && body[0] != '{' {
		return errors.New("the event is not a JSON object")
	}
	if json.Valid(body) {
		return nil
	}
	return json.Unmarshal(body, new(struct{})) // the error contains the position
}

func afterSpace(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// valueEnd returns the length of the value that valid JSON begins with.
func valueEnd(b []byte) int {
	depth, inText := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			if inText = !inText; !inText && depth == 0 {
				return i + 1
			}
		case inText:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && bytes.IndexByte([]byte(" \t\r\n,:}]"), c) >= 0:
			return i
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

// unquote returns the text of a JSON string.
func unquote(b []byte) string {
	inner := b[1 : len(b)-1]
	special := func(r rune) bool { return r == '\\' || r >= utf8.RuneSelf }
	if bytes.IndexFunc(inner, special) < 0 {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(b, &s) // it is valid
	return s
}

// wholeMembers visits the members that come before the place where body stops being JSON.
func wholeMembers(body []byte, visit func(name string, value json.RawMessage) error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, _ := dec.Token(); t != json.Delim('{') {
		return
	}
	for dec.More() {
		key, _ := dec.Token()
		name, ok := key.(string)
		var value json.RawMessage
		if !ok || dec.Decode(&value) != nil || visit(name, value) != nil {
			return
		}
	}
}
