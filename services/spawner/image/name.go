package image

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// A name is the name of an image: a repository, and a tag if the user has chosen one.
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

// tagDigits is the number of digits that distinguish an image's id from others.
const tagDigits = 12

// tagged returns the full name of the image. If the user has not chosen a tag, it is derived from the image's id, so
// that a later build does not take over the name.
func (n name) tagged(id string) string {
	tag := n.tag
	if tag == "" {
		_, digits, _ := strings.Cut(id, ":")
		tag = digits[:min(tagDigits, len(digits))]
	}
	return n.String() + ":" + tag
}

// pinned returns the reference that identifies the manifest with the digest.
func (n name) pinned(digest string) string { return n.String() + "@" + digest }

// String returns the repository in its short form.
func (n name) String() string { return reference.FamiliarName(n.repository) }
