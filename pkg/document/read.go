package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dagyo/dagyo/pkg/problem"
)

// read turns JSON text into a tree of map[string]any, []any, string, json.Number, bool and nil. It
// keeps the first value of a repeated key. It returns false if there is no usable tree; the reason
// is in the report.
func read(raw []byte, limits Limits, report *Report) (any, bool) {
	raw = TrimBOM(raw)
	if !readable(raw, limits, report) {
		return nil, false
	}
	r := reader{text: raw, depth: limits.Depth, report: report}
	tree := r.value(nil)
	return tree, !r.broken
}

// readable reports whether raw is JSON. The scanner of json.Unmarshal keeps its own stack and
// bounds it, so deeply nested input is safe here.
func readable(raw []byte, limits Limits, report *Report) bool {
	if len(raw) > limits.Bytes {
		report.Add(problem.TooLarge, fmt.Sprintf(
			"the document has %d bytes; the limit is %d", len(raw), limits.Bytes), "")
		return false
	}
	if at := NotUnicode(raw); at >= 0 {
		report.Add(problem.NotJSON, "not JSON "+place(raw, at)+": the text is not Unicode", "")
		return false
	}
	var whole json.RawMessage
	if err := json.Unmarshal(raw, &whole); err != nil {
		if strings.Contains(err.Error(), "max depth") {
			report.Add(problem.TooDeep, tooDeep(limits.Depth), "")
			return false
		}
		report.Add(problem.NotJSON, notJSON(raw, err), "")
		return false
	}
	return true
}

// byteOrderMark is U+FEFF in UTF-8. Some editors begin files with it.
var byteOrderMark = []byte("\ufeff")

// TrimBOM returns raw without a leading byte-order mark.
func TrimBOM(raw []byte) []byte { return bytes.TrimPrefix(raw, byteOrderMark) }

func tooDeep(depth int) string {
	return fmt.Sprintf("nested more than %d levels deep", depth)
}

// notJSON explains where and why JSON text is malformed.
func notJSON(raw []byte, err error) string {
	if len(bytes.TrimSpace(raw)) == 0 {
		return "not JSON: the document is empty"
	}
	at, ok := SyntaxErrorAt(raw, err)
	if !ok {
		return "not JSON: " + err.Error()
	}
	return "not JSON " + place(raw, at) + ": " + err.Error()
}

// SyntaxErrorAt returns the offset in raw, in bytes, at which encoding/json found a syntax error. It returns
// false for any other error.
func SyntaxErrorAt(raw []byte, err error) (at int, ok bool) {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return 0, false
	}
	if strings.HasPrefix(syntax.Error(), "unexpected end") {
		return len(raw), true
	}
	return int(syntax.Offset) - 1, true
}

// WhyNotJSON explains why a text is not JSON: the error, its position, and how the text begins. It returns "" for JSON.
func WhyNotJSON(text []byte) string {
	if json.Valid(text) {
		return ""
	}
	var whole json.RawMessage
	err := json.Unmarshal(text, &whole)
	at, ok := SyntaxErrorAt(text, err)
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return "it is empty"
	case !ok:
		return err.Error()
	}
	position := place(text, at)
	if !bytes.Contains(text, []byte("\n")) { // the caller may name the line of the text in a file
		position = strings.Replace(position, "line 1, ", "", 1)
	}
	return fmt.Sprintf("%v %s; it begins with %s", err, position, beginning(text))
}

// beginning quotes the first characters of a record.
func beginning(record []byte) string {
	const most = 40
	runes := []rune(string(record[:min(len(record), 4*most)]))
	if len(runes) > most {
		return strconv.Quote(string(runes[:most]) + "…")
	}
	return strconv.Quote(string(runes))
}

// place formats a byte's position.
func place(raw []byte, at int) string {
	line, column := Position(raw, at)
	return fmt.Sprintf("at line %d, column %d", line, column)
}

// Position returns the line and the column of the byte at an offset, counting lines and characters from 1.
func Position(raw []byte, at int) (line, column int) {
	before := raw[:min(max(at, 0), len(raw))]
	line = bytes.Count(before, []byte("\n")) + 1
	column = utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return line, column
}

// NotUnicode returns the offset at which raw stops being Unicode text, or -1. The decoder would
// silently replace such bytes and escapes, and two different keys could become equal.
func NotUnicode(raw []byte) int {
	for at := 0; at < len(raw); {
		if raw[at] == '\\' {
			n := escape(raw[at:])
			if n == 0 {
				return at
			}
			at += n
			continue
		}
		r, n := utf8.DecodeRune(raw[at:])
		if r == utf8.RuneError && n == 1 {
			return at
		}
		at += n
	}
	return -1
}

// escape returns the length of the escape sequence that text begins with, or 0 for half of a
// surrogate pair. Malformed escapes are left to the JSON scanner.
func escape(text []byte) int {
	high, ok := unit(text)
	if !ok {
		return min(2, len(text))
	}
	if high < 0xd800 || high > 0xdfff {
		return 6
	}
	low, ok := unit(text[6:])
	if high > 0xdbff || !ok || low < 0xdc00 || low > 0xdfff {
		return 0
	}
	return 12
}

// unit reads the \uXXXX that text begins with.
func unit(text []byte) (uint64, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return v, err == nil
}

// A reader builds the tree. The text is well-formed, so one byte determines what comes next and
// nothing can be missing. (The tokens of encoding/json would do the same in three times the time,
// and its values do not reveal repeated keys.)
type reader struct {
	text   []byte
	at     int // of the next byte
	depth  int
	report *Report
	broken bool
}

func (r *reader) value(path []string) any {
	switch r.peek() {
	case '{':
		return r.nested(path, r.object)
	case '[':
		return r.nested(path, r.array)
	case '"':
		return r.str()
	}
	switch word := r.word(); word {
	case "true", "false":
		return word == "true"
	case "null":
		return nil
	default:
		return r.number(json.Number(word), path)
	}
}

func (r *reader) nested(path []string, read func([]string) any) any {
	if len(path) >= r.depth {
		r.fail(problem.TooDeep, path, tooDeep(r.depth))
		return nil
	}
	return read(path)
}

func (r *reader) array(path []string) any {
	out := []any{}
	for r.more(']') {
		out = append(out, r.value(append(path, strconv.Itoa(len(out)))))
	}
	return out
}

func (r *reader) object(path []string) any {
	out := map[string]any{}
	for r.more('}') {
		r.peek()
		key := r.str()
		here := append(path, key)
		_, repeated := out[key]
		if repeated {
			r.add(problem.DuplicateKey, here, "the key "+Quote(key)+" is repeated")
		}
		r.peek()
		r.at++ // the colon
		if v := r.value(here); !repeated {
			out[key] = v
		}
	}
	return out
}

// more skips the byte that begins the array or object or separates its members. At the end it
// skips the closing byte and returns false.
func (r *reader) more(end byte) bool {
	if r.broken {
		return false
	}
	if r.peek() == end {
		r.at++
		return false
	}
	r.at++
	if r.peek() == end { // directly after the beginning
		r.at++
		return false
	}
	return true
}

// peek skips white space and returns the next byte.
func (r *reader) peek() byte {
	for strings.IndexByte(" \t\r\n", r.text[r.at]) >= 0 {
		r.at++
	}
	return r.text[r.at]
}

// str reads a string. Strings with escapes, which are rare, are left to encoding/json.
func (r *reader) str() string {
	start := r.at
	for r.at++; r.text[r.at] != '"'; r.at++ {
		if r.text[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
	literal := r.text[start:r.at]
	if bytes.IndexByte(literal, '\\') < 0 {
		return string(literal[1 : len(literal)-1])
	}
	var s string
	_ = json.Unmarshal(literal, &s)
	return s
}

// word reads a number or one of true, false and null.
func (r *reader) word() string {
	start := r.at
	for r.at < len(r.text) && strings.IndexByte(",]} \t\r\n", r.text[r.at]) < 0 {
		r.at++
	}
	return string(r.text[start:r.at])
}

// number refuses numbers that no field can hold: the schema validator computes with exact fractions,
// and a number such as 1e-999999 would cost it a million digits. A whole number such as 1e3 or 5.0
// is rewritten in digits, as an integer field is decoded from them.
func (r *reader) number(n json.Number, path []string) json.Number {
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || math.Abs(f) > 1e300 || len(n) > 300 || tiny(string(n)) {
		r.fail(problem.TooLarge, path, "the number is too large or too long to be represented exactly")
		return n
	}
	if strings.ContainsAny(string(n), ".eE") && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return json.Number(strconv.FormatInt(int64(f), 10))
	}
	return n
}

// tiny reports whether the number's exponent is far below zero.
func tiny(n string) bool {
	i := strings.IndexAny(n, "eE")
	if i < 0 {
		return false
	}
	exponent, err := strconv.Atoi(n[i+1:])
	return err != nil || exponent < -300
}

func (r *reader) fail(code problem.Code, path []string, message string) {
	if !r.broken {
		r.add(code, path, message)
	}
	r.broken = true
}

func (r *reader) add(code problem.Code, path []string, message string) {
	r.report.Add(code, message, "", path...)
}
