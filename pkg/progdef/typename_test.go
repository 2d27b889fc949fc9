package progdef

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseTypename(t *testing.T) {
	tests := []struct{ in, canonical, err string }{
		{"utf8-string", "utf8-string", ""},
		{" Result < list<json> , a.b_c-9 > ", "Result<list<json>,a.b_c-9>", ""},
		{strings.Repeat("a<", 7) + "b" + strings.Repeat(">", 7),
			strings.Repeat("a<", 7) + "b" + strings.Repeat(">", 7), ""},
		{strings.Repeat("a<", 8) + "b" + strings.Repeat(">", 8), "",
			"a typename has at most 8 levels"},
		{strings.Repeat("a", 256), "", "a typename has at most 255 bytes, not 256"},
		{"", "", "a typename cannot end here: a letter must follow"},
		{"9", "", "byte 1 of a typename must be a letter"},
		{"a b", "", "byte 3 of a typename must be the end"},
		{"a<>", "", "byte 3 of a typename must be a letter"},
		{"a<b", "", `a typename cannot end here: "," or ">" must follow`},
		{"a<b;", "", `byte 4 of a typename must be "," or ">"`},
		{"a<b>>", "", "byte 5 of a typename must be the end"},
		{"a<b,>", "", "byte 5 of a typename must be a letter"},
		{"é", "", "byte 1 of a typename must be a letter"},
	}
	for _, tt := range tests {
		got, err := ParseTypename(tt.in)
		if message(err) != tt.err || err == nil && got.String() != tt.canonical {
			t.Errorf("ParseTypename(%q) = %s, %q", tt.in, got, message(err))
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestTypenameEquality(t *testing.T) {
	names := []string{"a", "b", "a<a>", "a<b>", "a<a,a>", "a<a<a>>"}
	for i, x := range names {
		for j, y := range names {
			s, _ := ParseTypename(x)
			u, _ := ParseTypename(y)
			if s.Equal(u) != (i == j) {
				t.Errorf("%s equals %s: %t", x, y, s.Equal(u))
			}
		}
	}
}

func TestCanonicalFormParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTypename(t, 3)
		got, err := ParseTypename(want.String())
		if err != nil || !got.Equal(want) {
			t.Fatalf("%s reads back as %s, %v", want, got, err)
		}
	})
}

func drawTypename(t *rapid.T, levels int) Typename {
	out := Typename{Name: rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9_.-]{0,3}`).Draw(t, "name")}
	if levels == 0 {
		return out
	}
	for range rapid.IntRange(0, 2).Draw(t, "args") {
		out.Args = append(out.Args, drawTypename(t, levels-1))
	}
	return out
}

func FuzzParseTypename(f *testing.F) {
	f.Add("a<b,c<d>>")
	f.Fuzz(func(t *testing.T, s string) {
		first, err := ParseTypename(s)
		if err != nil {
			return
		}
		if again, err := ParseTypename(first.String()); err != nil || !again.Equal(first) {
			t.Errorf("%q: %s reads back as %s, %v", s, first, again, err)
		}
	})
}
