package typedoc

import (
	"encoding/json"
	"strings"
)

// A Document documents one type (schemas/type.json).
type Document struct {
	// Name is the identifier of the typename: Result for Result<T>.
	Name string `json:"name"`
	// TypeParams are the names of the typename's arguments, in order.
	TypeParams  []string `json:"typeParams,omitempty"`
	Description string   `json:"description"`
	// Schema is the JSON Schema of a record, Protobuf a message definition; at most one is set.
	Schema   json.RawMessage `json:"schema,omitempty"`
	Protobuf string          `json:"protobuf,omitempty"`
}

// Typename is the typename that is documented, with its type parameters.
func (d Document) Typename() string {
	if len(d.TypeParams) == 0 {
		return d.Name
	}
	return d.Name + "<" + strings.Join(d.TypeParams, ",") + ">"
}

// summaryRunes is the maximum length of a summary.
const summaryRunes = 100

// Summary returns the first sentence of the description for messages: on one line, without the full stop, and shortened
// if necessary.
func (d Document) Summary() string {
	text := strings.Join(strings.Fields(d.Description), " ")
	text, _, _ = strings.Cut(text+" ", ". ")
	text = strings.TrimRight(text, " .")
	if runes := []rune(text); len(runes) > summaryRunes {
		return string(runes[:summaryRunes-1]) + "…"
	}
	return text
}

// Builtins returns the documents of the types that Dagyo defines, ordered by name. They cannot be changed.
func Builtins() []Document {
	t := []string{"T"}
	return []Document{
		{Name: "Result", TypeParams: t, Description: "Either a T or an error. The first byte is 0, " +
			"followed by the bytes of the T, or 1, followed by a message in UTF-8."},
		{Name: "json", Description: "One JSON value in UTF-8. See RFC 8259; white space around the " +
			"value is ignored."},
		{Name: "list", TypeParams: t, Description: "A list of T in one record. For each element, it has " +
			"the length in bytes, as an unsigned LEB128 number, followed by the bytes."},
		{Name: "octets", Description: "Arbitrary bytes. Dagyo passes them on unchanged."},
		{Name: "utf8-string", Description: "Text in UTF-8. It ends where the record ends, without a " +
			"final NUL, and may be empty."},
	}
}

// Summaries returns the summary of each built-in type, by name.
func Summaries() map[string]string {
	out := map[string]string{}
	for _, d := range Builtins() {
		out[d.Name] = d.Summary()
	}
	return out
}
