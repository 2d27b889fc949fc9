package progdef

import (
	"math/big"
	"testing"
)

func TestParseQuantity(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "1": "1", "1.5": "3/2", ".5": "1/2", "1.": "1", "100m": "1/10", "5u": "1/200000", "1n": "1/1000000000",
		"2k": "2000", "64Mi": "67108864", "1Ki": "1024", "1Gi": "1073741824", "1Ei": "1152921504606846976",
		"1E": "1000000000000000000", "1e3": "1000", "1E-2": "1/100", "1e+2": "100",
	} {
		got, ok := ParseQuantity(text)
		if w, _ := new(big.Rat).SetString(want); !ok || got.Cmp(w) != 0 {
			t.Errorf("%s: %v %v, want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-1", "1x", "1 Gi", "Gi", "1e", "1e999999999", "1e-99", "1ki", "1KiB"} {
		if got, ok := ParseQuantity(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}
