package trace

import "strings"

const (
	stateMembers = 32
	// keyLimit and valueLimit limit one member of a tracestate, in bytes.
	keyLimit   = 256
	valueLimit = 256
)

// parseState returns a tracestate without superfluous white space, or "" if it is invalid.
func parseState(s string) string {
	if len(s) > StateLimit {
		return ""
	}
	var members []string
	for m := range strings.SplitSeq(s, ",") {
		if m = strings.Trim(m, " \t"); m == "" {
			continue
		}
		key, value, ok := strings.Cut(m, "=")
		if !ok || !validKey(key) || !validValue(value) || len(members) == stateMembers {
			return ""
		}
		members = append(members, m)
	}
	return strings.Join(members, ",")
}

// validKey reports whether a key begins with a letter or digit, and may name the tenant of a system behind an @.
func validKey(key string) bool {
	if len(key) == 0 || len(key) > keyLimit || strings.IndexByte("_-*/@", key[0]) >= 0 || strings.Count(key, "@") > 1 {
		return false
	}
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("_-*/@", c) < 0 {
			return false
		}
	}
	return true
}

func validValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == ',' || c == '=' {
			return false
		}
	}
	return value != "" && len(value) <= valueLimit
}
