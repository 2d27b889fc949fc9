package image

import (
	"errors"
	"strings"
	"testing"
)

func TestProgress(t *testing.T) {
	var out strings.Builder
	p := &progress{out: &out}
	err := p.failed(p.follow(strings.NewReader(`{"stream":"Step 1/2 : FROM base"}{"stream":"\n"}
		{"status":"Pulling fs layer","progressDetail":{},"id":"ab"}
		{"status":"Downloading","progressDetail":{"current":1,"total":2},"progress":"[=>","id":"ab"}
		{"status":"Digest: sha256:1"}
		{"aux":{"ID":"sha256:2"}}
		{"stream":"Step 2/2 : RUN make"}{"stream":"\nno rule\n"}
		{"errorDetail":{"code":2,"message":"make returned 2"},"error":"make returned 2"}`)))
	var failed *BuildError
	if !errors.As(err, &failed) || *failed != (BuildError{"2/2 (RUN make)", "make returned 2"}) {
		t.Errorf("got %v", err)
	}
	if got, want := err.Error(), "the build failed at step 2/2 (RUN make): make returned 2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := "sha256:2"; p.id != want {
		t.Errorf("got the id %q, want %q", p.id, want)
	}
	want := "Step 1/2 : FROM base\nab: Pulling fs layer\nDigest: sha256:1\nStep 2/2 : RUN make\nno rule\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestBuildErrorKnowsWhatToDo(t *testing.T) {
	err := &BuildError{Message: "the --mount option requires BuildKit"}
	if !strings.Contains(err.Error(), "docker buildx build") {
		t.Error(err)
	}
}
