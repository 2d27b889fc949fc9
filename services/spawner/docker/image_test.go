package docker

import (
	"slices"
	"testing"

	"github.com/moby/moby/api/types/image"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func TestImageReferences(t *testing.T) {
	for text, want := range map[string]struct {
		digest string
		named  bool
		names  []string
	}{
		"greet":                           {"", true, []string{"greet"}},
		"registry.example:5000/a/greet:1": {"", true, []string{"registry.example:5000/a/greet:1"}},
		"greet@" + digestA:                {digestA, true, []string{"greet@" + digestA, digestA}},
		"registry.example/greet:1@" + digestA: {digestA, true,
			[]string{"registry.example/greet:1@" + digestA, digestA}},
		digestA:     {digestA, false, []string{digestA}},
		digestA[7:]: {digestA, false, []string{digestA[7:]}},
	} {
		got, err := parseImage(text)
		if err != nil || got.digest.String() != want.digest || got.named != want.named ||
			!slices.Equal(got.names(), want.names) {
			t.Errorf("%q is read as %+v (%v), names %q; want %+v", text, got, err, got.names(), want)
		}
	}
}

func TestAdmit(t *testing.T) {
	built := image.InspectResponse{ID: digestA}
	pulled := image.InspectResponse{ID: digestA, RepoDigests: []string{"registry.example/greet@" + digestB}}
	for _, c := range []struct {
		text  string
		image image.InspectResponse
		ok    bool
	}{
		{"greet:1", built, true},
		{"greet:1", pulled, true},
		{digestA, built, true},
		{"greet@" + digestA, built, true},
		{"greet@" + digestB, built, false},
		{"registry.example/greet:1@" + digestB, pulled, true},
		{digestB, built, false},
	} {
		ref, err := parseImage(c.text)
		if err != nil {
			t.Fatal(err)
		}
		switch err := ref.admit(c.image); {
		case c.ok && err != nil:
			t.Errorf("%s: %v", c.text, err)
		case !c.ok:
			wantRefusal(t, err, "/image", "has another digest: "+digestA)
		}
	}
}
