package tail_test

import (
	"testing"

	"github.com/dagyo/dagyo/services/spawner/tail"
)

func TestTail(t *testing.T) {
	for name, c := range map[string]struct {
		writes []string
		want   string
	}{
		"nothing":                     {nil, ""},
		"all of it":                   {[]string{"12", "3456\n"}, "123456\n"},
		"exactly the limit":           {[]string{"12345678", "90123456"}, "1234567890123456"},
		"begins with a complete line": {[]string{"first\n", "abc\nsecond line\n"}, "second line\n"},
		"unless that loses much":      {[]string{"0123456789abcdefg\nend"}, "56789abcdefg\nend"},
		"one write above the limit":   {[]string{"x", "0123456789abcdefghij"}, "456789abcdefghij"},
		"no incomplete rune":          {[]string{"ééééééééé", "x"}, "éééééééx"},
		"not UTF-8":                   {[]string{"a\xffb"}, "a?b"},
	} {
		t.Run(name, func(t *testing.T) {
			kept := tail.New(16)
			for _, w := range c.writes {
				if n, err := kept.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
			}
			if got := kept.String(); got != c.want {
				t.Errorf("tail is %q, want %q", got, c.want)
			}
		})
	}
}
