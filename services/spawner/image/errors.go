package image

import (
	"fmt"
	"strings"
)

// A ContextError describes what is wrong with the build context.
type ContextError struct {
	Dir string
	// Err continues the sentence after the folder's name: "has no Dockerfile".
	Err error
}

func (e *ContextError) Error() string { return fmt.Sprintf("the build context %s %v", e.Dir, e.Err) }

func (e *ContextError) Unwrap() error { return e.Err }

// A BuildError is a build that failed, usually at a step of its Dockerfile.
type BuildError struct {
	// Step is the failed step, such as "3/5 (RUN make)", or "" if no step had begun.
	Step    string
	Message string
}

func (e *BuildError) Error() string {
	text := "the build failed: " + e.Message
	if e.Step != "" {
		text = "the build failed at step " + e.Step + ": " + e.Message
	}
	if strings.Contains(e.Message, "BuildKit") {
		text += " (the builder of the Docker API has no BuildKit; build and push such an image with " +
			"`docker buildx build`, and put its digest into the progdef's `image`)"
	}
	return text
}
