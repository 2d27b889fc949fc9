package document

import (
	"regexp"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// DurationPattern is the pattern that marks a duration in the schemas. A schema that uses it (or
// NamePattern) verbatim gets [Check]'s exact test and its own problem code.
const DurationPattern = `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`

// ValidDuration reports whether s is a duration that is not negative and fits into a count of
// nanoseconds.
func ValidDuration(s string) bool {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return false
	}
	_, err := time.ParseDuration(s)
	return err == nil
}

// compilePattern is the regular expression engine of the schema compiler. The two patterns of almost
// every string in a flow are matched by code, which is faster and does not overflow.
func compilePattern(pattern string) (jsonschema.Regexp, error) {
	switch pattern {
	case NamePattern:
		return matcher{pattern, ValidName}, nil
	case DurationPattern:
		return matcher{pattern, ValidDuration}, nil
	default:
		return regexp.Compile(pattern)
	}
}

// A matcher is a pattern matched by a function.
type matcher struct {
	pattern string
	match   func(string) bool
}

func (m matcher) String() string            { return m.pattern }
func (m matcher) MatchString(s string) bool { return m.match(s) }
