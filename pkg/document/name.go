package document

// NamePattern is the grammar of every id and name that may become a NATS token: flows, nodes,
// progdefs, ports, jobs and executors. The maximum is 63 bytes.
const NamePattern = `^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`

// MaxName is the maximum length of a name, in bytes.
const MaxName = 63

// ValidName reports whether s matches NamePattern.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		inside := i > 0 && i < len(s)-1
		if !alnum && (!inside || c != '-' && c != '_') {
			return false
		}
	}
	return true
}
