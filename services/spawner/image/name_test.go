package image

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	const id = "sha256:0123456789abcdef"
	tests := []struct{ text, tagged, pinned string }{
		{"greet", "greet:0123456789ab", "greet@d"},
		{"docker.io/team/greet:v1", "team/greet:v1", "team/greet@d"},
		{"127.0.0.1:5000/greet", "127.0.0.1:5000/greet:0123456789ab", "127.0.0.1:5000/greet@d"},
		{"registry.example.com/a/b:1", "registry.example.com/a/b:1", "registry.example.com/a/b@d"},
	}
	for _, tt := range tests {
		n, err := parseName(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if n.tagged(id) != tt.tagged || n.pinned("d") != tt.pinned {
			t.Errorf("%s: got %s, %s", tt.text, n.tagged(id), n.pinned("d"))
		}
	}
	for _, bad := range []string{"", "Greet", "a b", "-x", "a@sha256:" + strings.Repeat("0", 64)} {
		if n, err := parseName(bad); err == nil {
			t.Errorf("%q: got %v", bad, n)
		}
	}
}
