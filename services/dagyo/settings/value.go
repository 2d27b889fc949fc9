package settings

import (
	"strings"

	"github.com/spf13/pflag"
)

// notPositive reports whether a number or a duration is 0 or less; it is false for text.
func notPositive(v pflag.Value) bool {
	switch v.Type() {
	case "int", "int64":
		return v.String() == "0" || strings.HasPrefix(v.String(), "-")
	case "duration":
		return v.String() == "0s" || strings.HasPrefix(v.String(), "-")
	}
	return false
}
