package docfile

import (
	"strings"
	"testing"
)

func TestSet(t *testing.T) {
	const value = "r/x@sha256:1"
	tests := []struct{ name, text, want string }{
		{"a member of JSON", `{ "image" : "old\"er" , "build": {"image": "no"}}`,
			`{ "image" : "r/x@sha256:1" , "build": {"image": "no"}}`},
		{"a value that is no string", `{"build":{},"image":null}`, `{"build":{},"image":"r/x@sha256:1"}`},
		{"a new one in compact JSON", `{"name":"a","build":{}}`,
			`{"name":"a","image":"r/x@sha256:1","build":{}}`},
		{"a new one in indented JSON", "{\n  \"name\": \"a\",\n  \"build\": {\n    \"context\": \".\"\n  }\n}\n",
			"{\n  \"name\": \"a\",\n  \"image\": \"r/x@sha256:1\",\n  \"build\": {\n    \"context\": \".\"\n  }\n}\n"},
		{"a new one in front", "{\"build\": {}}", `{"image": "r/x@sha256:1","build": {}}`},
		{"a member of YAML", "name: a # me\nimage:   old # pinned\nbuild: {}\n",
			"name: a # me\nimage: \"r/x@sha256:1\" # pinned\nbuild: {}\n"},
		{"a new one in YAML", "name: a\n# how it is made\nbuild:\n  image: no\n",
			"name: a\nimage: \"r/x@sha256:1\"\n# how it is made\nbuild:\n  image: no\n"},
		{"a new one behind a byte-order mark", "\ufeff{\"build\": {}}", "\ufeff{\"image\": \"r/x@sha256:1\",\"build\": {}}"},
		{"a new one in YAML with a merge key", "x-a: &a {b: 1}\nc:\n  <<: *a\n  b: 2\nbuild: {}\n",
			"x-a: &a {b: 1}\nc:\n  <<: *a\n  b: 2\nimage: \"r/x@sha256:1\"\nbuild: {}\n"},
		{"a new one in YAML that is indented", "  name: a\n  build: {}",
			"  name: a\n  image: \"r/x@sha256:1\"\n  build: {}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Set([]byte(tt.text), "image", value, "build")
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v\nwant %s", got, err, tt.want)
			}
			again, err := Set(got, "image", value, "build")
			if err != nil || string(again) != string(got) {
				t.Errorf("set again: %s, %v", again, err)
			}
		})
	}
}

// What cannot be edited as text is refused, and never spoilt.
func TestSetRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no neighbour", `{"name":"a"}`, `field "build" not found`},
		{"an array", `[1]`, "the document is not an object"},
		{"a value of many lines", "image: >\n  folded\n  text\nbuild: {}\n", "edit it by hand"},
		{"YAML on one line", "{name: a, image: b, build: {}}", "edit it by hand"},
		{"two documents", "build: {}\n---\nbuild: {}\n", "2 documents"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Set([]byte(tt.text), "image", "x", "build")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %s, %v; want an error with %q", got, err, tt.want)
			}
		})
	}
}
