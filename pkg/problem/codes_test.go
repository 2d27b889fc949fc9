package problem

import (
	"os"
	"regexp"
	"testing"
)

func TestCodesAreComplete(t *testing.T) {
	source, err := os.ReadFile("codes.go")
	if err != nil {
		t.Fatal(err)
	}
	defined := regexp.MustCompile(`(?m)^\t\w+ +Code = "([^"]+)"`).FindAllSubmatch(source, -1)
	for _, d := range defined {
		if !Code(d[1]).Known() {
			t.Errorf("Codes does not list %s", d[1])
		}
	}
	if len(Codes()) != len(defined) || Code("x").Known() {
		t.Errorf("Codes lists %d codes, %d are defined", len(Codes()), len(defined))
	}
}
