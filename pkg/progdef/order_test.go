package progdef

import (
	"strings"
	"testing"
)

func TestOrdered(t *testing.T) {
	for _, c := range []struct{ docs, want string }{
		{`{"name":"a"} | {"name":"b"}`, `{"name":"a"} | {"name":"b"}`},
		{ // each after what it uses
			`{"name":"c","flow":{"nodes":{"x":{"progdef":"b"}}}} | {"name":"b","flow":{"nodes":{"x":{"progdef":"a"}}}} | {"name":"a"}`,
			`{"name":"a"} | {"name":"b","flow":{"nodes":{"x":{"progdef":"a"}}}} | {"name":"c","flow":{"nodes":{"x":{"progdef":"b"}}}}`,
		},
		{ // those that contain each other stay as they are
			`{"name":"a","flow":{"nodes":{"x":{"progdef":"a"}}}} | {"name":"b"}`,
			`{"name":"a","flow":{"nodes":{"x":{"progdef":"a"}}}} | {"name":"b"}`,
		},
		{`nonsense | {"name":"a","flow":3}`, `nonsense | {"name":"a","flow":3}`},
	} {
		got := Ordered(strings.Split(c.docs, " | "), func(s string) []byte { return []byte(s) })
		if strings.Join(got, " | ") != c.want {
			t.Errorf("%s becomes\n%s", c.docs, strings.Join(got, " | "))
		}
	}
}
