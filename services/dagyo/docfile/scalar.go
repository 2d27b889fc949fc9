package docfile

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/dagyo/dagyo/pkg/problem"
)

// The forms of plain scalars in the core schema of YAML 1.2.
var (
	decimalForm = regexp.MustCompile(`^[-+]?[0-9]+$`)
	basedForm   = regexp.MustCompile(`^0(o[0-7]+|x[0-9a-fA-F]+)$`)
	floatForm   = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	endlessForm = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
	octalForm   = regexp.MustCompile(`^[-+]?0[0-9]+$`)
)

// plainScalar returns a plain scalar as JSON, or reports that it is text. The problem is set if the value does
// not exist in JSON, or if YAML 1.1 and 1.2 disagree about a number.
func plainScalar(text string) (value string, isText bool, bad *problem.Problem) {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return "null", false, nil
	case "true", "True", "TRUE":
		return "true", false, nil
	case "false", "False", "FALSE":
		return "false", false, nil
	}
	switch {
	case strings.IndexByte("+-.0123456789", text[0]) < 0:
		return "", true, nil
	case endlessForm.MatchString(text):
		return "", false, &problem.Problem{
			Code: problem.BadValue, Message: "JSON does not support the number " + text,
			Hint: "to write text, use quotation marks: " + strconv.Quote(text),
		}
	case octalForm.MatchString(text):
		return "", false, ambiguous(text)
	case basedForm.MatchString(text):
		n, _ := new(big.Int).SetString(text, 0)
		return n.String(), false, nil
	case decimalForm.MatchString(text):
		return strings.TrimPrefix(text, "+"), false, nil
	case floatForm.MatchString(text):
		return decimal(text), false, nil
	}
	return "", true, nil
}

// ambiguous reports a number with a leading zero, which versions of YAML read differently.
func ambiguous(text string) *problem.Problem {
	sign := ""
	if text[0] == '-' {
		sign = "-"
	}
	digits := strings.TrimLeft(text, "-+0")
	if digits == "" {
		digits = "0"
	}
	p := &problem.Problem{
		Code:    problem.BadValue,
		Message: text + " is an octal number in YAML 1.1 and a decimal number in YAML 1.2",
		Hint: "write the number without leading zeros (" + sign + digits + "), or text in quotation marks (" +
			strconv.Quote(text) + ")",
	}
	switch {
	case strings.ContainsAny(digits, "89"):
		p.Message = text + " is text in YAML 1.1 and a decimal number in YAML 1.2"
	case sign == "":
		p.Hint = "write the number without leading zeros (" + digits + "), an octal number as 0o" + digits +
			", or text in quotation marks (" + strconv.Quote(text) + ")"
	}
	return p
}

// decimal converts a number with a fraction or an exponent to JSON.
func decimal(text string) string {
	sign := ""
	if text[0] == '-' || text[0] == '+' {
		sign, text = strings.TrimPrefix(text[:1], "+"), text[1:]
	}
	whole, rest := text, ""
	if i := strings.IndexAny(text, ".eE"); i >= 0 {
		whole, rest = text[:i], text[i:]
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	fraction, exponent := rest, ""
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		fraction, exponent = rest[:i], rest[i:]
	}
	if fraction == "." {
		fraction = ""
	}
	return sign + whole + fraction + exponent
}

// fits reports whether a JSON value other than text has the type of a tag.
func fits(value, tag string) bool {
	switch tag {
	case "!!null":
		return value == "null"
	case "!!bool":
		return value == "true" || value == "false"
	case "!!int":
		return strings.IndexAny(value, ".eEnu") < 0
	default: // !!float
		return value[0] == '-' || value[0] >= '0' && value[0] <= '9'
	}
}
