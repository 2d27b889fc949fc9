package process

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTail(t *testing.T) {
	for name, c := range map[string]struct {
		writes []string
		want   string
	}{
		"nothing":                   {nil, ""},
		"all of it":                 {[]string{"12", "3456\n"}, "123456\n"},
		"exactly the limit":         {[]string{"12345678", "90123456"}, "1234567890123456"},
		"begins with a whole line":  {[]string{"first\n", "abc\nsecond line\n"}, "second line\n"},
		"unless that loses much":    {[]string{"0123456789abcdefg\nend"}, "56789abcdefg\nend"},
		"one write above the limit": {[]string{"x", "0123456789abcdefghij"}, "456789abcdefghij"},
		"no half a rune":            {[]string{"ééééééééé", "x"}, "éééééééx"},
		"not UTF-8":                 {[]string{"a\xffb"}, "a?b"},
	} {
		t.Run(name, func(t *testing.T) {
			tail := newTail(16)
			for _, w := range c.writes {
				if n, err := tail.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
			}
			if got := tail.String(); got != c.want {
				t.Errorf("tail is %q, want %q", got, c.want)
			}
		})
	}
}

func TestRotating(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log := &rotating{path: path, limit: 10}
	for _, s := range []string{"aaaa\n", "bbbb\n", "cccc\n", "dddd\n", "eeee\n"} {
		if _, err := log.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		path: "eeee\n", previous(path): "cccc\ndddd\n",
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", filepath.Base(path), got, err, want)
		}
	}
}
