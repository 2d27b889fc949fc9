package signin

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/document"
)

const (
	// shownName bounds the readable part of a name with a hash, hashedName is the length of the hash: 80 bits.
	shownName  = 24
	hashedName = 16
)

// nameOf returns the name of a person in Dagyo, for the value of a claim. Different values have different names: "." becomes
// "_", and "@" becomes "__", if the value is otherwise a name without "_". All others become a readable part and a hash
// behind "___".
func nameOf(value string) string {
	if plain(value) {
		name := access.SignInPrefix + strings.NewReplacer("@", "__", ".", "_").Replace(value)
		if document.ValidName(name) {
			return name
		}
	}
	sum := sha256.Sum256([]byte(value))
	hash := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:hashedName]
	return access.SignInPrefix + readable(value) + "___" + hash
}

// plain reports whether a value can be read from its name.
func plain(value string) bool {
	mark := func(c byte) bool { return c == '.' || c == '@' }
	for i := range len(value) {
		switch c := value[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
		case !mark(c), i == 0, mark(value[i-1]):
			return false
		}
	}
	return value != ""
}

// readable returns what a name can show of a value.
func readable(value string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(value) {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			b.WriteRune(c)
		} else if text := b.String(); text != "" && !strings.HasSuffix(text, "-") {
			b.WriteByte('-')
		}
		if b.Len() == shownName {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}
