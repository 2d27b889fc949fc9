package docker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
)

// An imageRef is a parsed image reference of a progdef.
type imageRef struct {
	// text is the reference as written in the progdef.
	text string
	// digest pins the image; "" if the reference has none.
	digest digest.Digest
	// named is false for a bare image id, which no registry knows.
	named bool
}

// parseImage parses an image reference in the same way as Docker.
func parseImage(text string) (imageRef, error) {
	ref, err := reference.ParseAnyReference(text)
	if err != nil {
		return imageRef{}, refuse(fmt.Sprintf("%q is not an image reference: %v", text, err),
			"write it as registry/repository:tag or registry/repository@sha256:…", "image")
	}
	r := imageRef{text: text}
	if d, ok := ref.(reference.Digested); ok {
		r.digest = d.Digest()
	}
	_, r.named = ref.(reference.Named)
	return r, nil
}

// names are the names to look up in Docker, in order. An image that was built here and never pushed has no
// digest in a registry; then the digest is that of the image itself.
func (r imageRef) names() []string {
	if r.named && r.digest != "" {
		return []string{r.text, r.digest.String()}
	}
	return []string{r.text}
}

// admit checks that an image is what the reference means. It trusts Docker for names, but not for digests.
func (r imageRef) admit(i image.InspectResponse) error {
	if r.digest == "" || i.ID == r.digest.String() || slices.ContainsFunc(i.RepoDigests, r.pinnedBy) {
		return nil
	}
	return refuse(
		fmt.Sprintf("the image named %q on the Docker host has another digest: %s", r.text, identity(i)),
		"build it again and apply the progdef with the digest that the build prints", "image")
}

func (r imageRef) pinnedBy(repoDigest string) bool {
	return strings.HasSuffix(repoDigest, "@"+r.digest.String())
}

// identity names an image by its digests.
func identity(i image.InspectResponse) string {
	if len(i.RepoDigests) == 0 {
		return i.ID
	}
	return strings.Join(i.RepoDigests, ", ")
}
