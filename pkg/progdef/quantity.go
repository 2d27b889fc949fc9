package progdef

import (
	"math/big"
	"strconv"
	"strings"
)

// quantityExponent bounds the exponent of a quantity, so that a short text is not a huge number.
const quantityExponent = 30

// ParseQuantity returns the value of a resource quantity in Kubernetes' format, such as "100m" or "64Mi". ok is false
// for other text, and for an exponent beyond quantityExponent.
func ParseQuantity(text string) (value *big.Rat, ok bool) {
	m := quantityPattern().FindStringSubmatch(text)
	if m == nil || len(text) > quantityLength {
		return nil, false
	}
	number, suffix := m[1], m[3]
	value, ok = new(big.Rat).SetString(number)
	if !ok {
		return nil, false
	}
	factor, ok := factorOf(suffix)
	if !ok {
		return nil, false
	}
	return value.Mul(value, factor), true
}

// factorOf returns the factor of a suffix.
func factorOf(suffix string) (*big.Rat, bool) {
	if i := strings.Index("KiMiGiTiPiEi", suffix); len(suffix) == 2 && suffix[1] == 'i' && i >= 0 {
		return new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(10*(i/2+1)))), true
	}
	exponent, decimal := map[string]int{
		"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
	}[suffix]
	if !decimal {
		var err error
		exponent, err = strconv.Atoi(suffix[1:])
		if err != nil || exponent > quantityExponent || exponent < -quantityExponent {
			return nil, false
		}
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exponent, -exponent))), nil)
	out := new(big.Rat).SetInt(power)
	if exponent < 0 {
		out.Inv(out)
	}
	return out, true
}
