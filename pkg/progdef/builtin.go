package progdef

// IsBuiltin reports whether the identifier is that of a typename whose serialization Dagyo defines:
// utf8-string, octets, json, Result<T> or list<T>.
func IsBuiltin(ident string) bool {
	switch ident {
	case "utf8-string", "octets", "json", "Result", "list":
		return true
	}
	return false
}
