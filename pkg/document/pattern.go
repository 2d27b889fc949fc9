package document

import (
	"regexp"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// DurationPattern is the pattern by which the schemas mark a duration. A schema that uses it (and
// NamePattern) letter for letter gets [Check]'s exact test and its own problem code.
const DurationPattern = `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`

// ValidDuration reports whether s is a duration that is not negative and can be counted in
// nanoseconds.
func ValidDuration(s string) bool {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return false
	}
	_, err := time.ParseDuration(s)
	return err == nil
}

// compilePattern is the schema compiler's regular expression engine. The two patterns that almost
// every string in a flow is held to are decided by code: faster, and free of overflow.
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

// A matcher is a pattern that a function decides.
type matcher struct {
	pattern string
	match   func(string) bool
}

func (m matcher) String() string            { return m.pattern }
func (m matcher) MatchString(s string) bool { return m.match(s) }
