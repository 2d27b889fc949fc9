package envset

import (
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add("A=1\n# c\n\nB=\"x=y\"\r\n")
	f.Add("no equals")
	f.Add("=x")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for name, value := range e {
			if name == "" || strings.ContainsAny(name, "= \t\n\x00") ||
				strings.ContainsAny(value, "\n\x00") {
				t.Errorf("%q=%q", name, value)
			}
		}
	})
}

// Some editors begin files with a byte-order mark, which is not part of the first name.
func TestByteOrderMark(t *testing.T) {
	e, err := parse(strings.NewReader("\ufeffTOKEN=x\r\nURL=y\n"))
	if err != nil || e["TOKEN"] != "x" || e["URL"] != "y" || len(e) != 2 {
		t.Errorf("got %q, %v", e, err)
	}
}
