package document

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/dagyo/dagyo/pkg/problem"
)

// sentence describes what a value must be, for keywords that need only their own numbers.
func sentence(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return wrongKind(*k)
	case *kind.Const:
		return "must be " + listed([]any{k.Want})
	case *kind.MinLength, *kind.MaxLength, *kind.MinItems, *kind.MaxItems,
		*kind.MinProperties, *kind.MaxProperties:
		return wrongSize(k)
	case *kind.Minimum, *kind.Maximum, *kind.ExclusiveMinimum, *kind.ExclusiveMaximum:
		return wrongNumber(k)
	case *kind.UniqueItems:
		return fmt.Sprintf("the items %d and %d are equal", k.Duplicates[0], k.Duplicates[1])
	case *kind.DependentRequired:
		return "the field " + Quote(k.Prop) + " also needs " + and(quoted(k.Missing))
	case *kind.Format:
		return "must be of the format " + Quote(k.Want)
	default:
		return "does not match the schema"
	}
}

func wrongKind(k kind.Type) string {
	want := make([]string, len(k.Want))
	for i, w := range k.Want {
		want[i] = kindName(w)
	}
	message := "must be " + or(want)
	if k.Got == "number" && slices.Contains(k.Want, "integer") {
		return message
	}
	return message + ", not " + kindName(k.Got)
}

func kindName(name string) string {
	switch name {
	case "null":
		return "null"
	case "integer":
		return "a whole number"
	case "object", "array":
		return "an " + name
	default:
		return "a " + name
	}
}

// kindOf names the JSON type of a value that was read.
func kindOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return kindName("object")
	case []any:
		return kindName("array")
	case json.Number:
		return kindName("number")
	case bool:
		return kindName("boolean")
	case nil:
		return kindName("null")
	default:
		return kindName("string")
	}
}

func wrongSize(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return atLeast(k.Want, k.Got, "character")
	case *kind.MaxLength:
		return atMost(k.Want, k.Got, "character")
	case *kind.MinItems:
		return atLeast(k.Want, k.Got, "item")
	case *kind.MaxItems:
		return atMost(k.Want, k.Got, "item")
	case *kind.MinProperties:
		return atLeast(k.Want, k.Got, "field")
	case *kind.MaxProperties:
		return atMost(k.Want, k.Got, "field")
	}
	return ""
}

func atLeast(want, got int, what string) string {
	if got == 0 && want == 1 {
		return "must not be empty"
	}
	return fmt.Sprintf("must have at least %s, not %d", Count(want, what), got)
}

func atMost(want, got int, what string) string {
	return fmt.Sprintf("must have at most %s, not %d", Count(want, what), got)
}

// Count writes a number and what it counts: "1 problem", "2 problems".
func Count[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func wrongNumber(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return "must be at least " + decimal(k.Want) + ", not " + decimal(k.Got)
	case *kind.Maximum:
		return "must be at most " + decimal(k.Want) + ", not " + decimal(k.Got)
	case *kind.ExclusiveMinimum:
		return "must be more than " + decimal(k.Want) + ", not " + decimal(k.Got)
	case *kind.ExclusiveMaximum:
		return "must be less than " + decimal(k.Want) + ", not " + decimal(k.Got)
	}
	return ""
}

func decimal(r *big.Rat) string {
	f, _ := r.Float64()
	return fmt.Sprintf("%.15g", f)
}

// mismatch returns the code and the message for a string that does not match a pattern.
func mismatch(got, pattern string) (problem.Code, string) {
	switch pattern {
	case NamePattern:
		return problem.BadName, Quote(got) + " is not a name: 1 to 63 lower-case letters, " +
			`digits, "-" or "_", a letter or a digit at both ends`
	case DurationPattern:
		return problem.BadDuration, Quote(got) + ` is not a duration such as "250ms" or "10m"`
	case "":
		return problem.SchemaMismatch, Quote(got) + " is not allowed as a field name here"
	default:
		return problem.SchemaMismatch, Quote(got) + " does not match the pattern " + pattern
	}
}

// oneOfThem is a hint for a misspelled or unknown field.
func oneOfThem(word string, known []string) string {
	if hint := DidYouMean(Suggest(word, known)); hint != "" || len(known) == 0 {
		return hint
	}
	return "the fields are " + and(quoted(known))
}

// listed formats the allowed values.
func listed(values []any) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
		if s, ok := v.(string); ok {
			out[i] = Quote(s)
		}
	}
	return or(out)
}

// words returns the strings among values.
func words(values []any) []string {
	var out []string
	for _, v := range values {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = Quote(n)
	}
	return out
}

func or(words []string) string  { return series(words, " or ") }
func and(words []string) string { return series(words, " and ") }

func series(words []string, last string) string {
	n := len(words) - 1
	if n < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n], ", ") + last + words[n]
}
