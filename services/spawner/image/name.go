package image

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// A name is where an image is kept: a repository, and a tag if the user has chosen one.
type name struct {
	repository reference.Named
	tag        string
}

func parseName(text string) (name, error) {
	ref, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return name{}, fmt.Errorf("%q cannot name an image: %w", text, err)
	}
	if _, pinned := ref.(reference.Digested); pinned {
		return name{}, fmt.Errorf("%q cannot name an image that is yet to be built: it has a digest", text)
	}
	n := name{repository: reference.TrimNamed(ref)}
	if tagged, ok := ref.(reference.Tagged); ok {
		n.tag = tagged.Tag()
	}
	return n, nil
}

// tagDigits are enough of an image's id to tell it from others.
const tagDigits = 12

// tagged returns the name that the image gets. Without a tag of the user's it is made of the image's id, so
// that a later build takes nothing away from this one.
func (n name) tagged(id string) string {
	tag := n.tag
	if tag == "" {
		_, digits, _ := strings.Cut(id, ":")
		tag = digits[:min(tagDigits, len(digits))]
	}
	return n.String() + ":" + tag
}

// pinned returns the reference that means the manifest with this digest, and no other.
func (n name) pinned(digest string) string { return n.String() + "@" + digest }

// String is the repository as people write it.
func (n name) String() string { return reference.FamiliarName(n.repository) }
