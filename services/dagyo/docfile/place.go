package docfile

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dagyo/dagyo/pkg/problem"
)

// Locate returns the problems of the document with their line and column in its file.
func (d Document) Locate(problems problem.List) problem.List {
	if d.origin == nil || len(problems) == 0 {
		return problems
	}
	found := d.origin.places(targetsOf(problems))
	out := slices.Clone(problems)
	for i := range out {
		if at, ok := found[out[i].Pointer]; ok && out[i].Line == 0 {
			p := at.of(out[i].Code)
			out[i].Line, out[i].Column = p.line, p.column
		}
	}
	return out
}

// A position counts lines and characters from 1.
type position struct{ line, column int }

// A place is the position of a member of an object or an item of an array.
type place struct {
	// key is the position of its name, or of the value of an item; last is that of the last repetition of the name.
	key, last position
	value     position
	// block is true for a YAML value that starts below its name.
	block bool
}

// of returns the position of a problem: a name or a value.
func (p place) of(code problem.Code) position {
	switch {
	case code == problem.DuplicateKey:
		return p.last
	case code == problem.UnknownField, code == problem.BadName, p.block:
		return p.key
	default:
		return p.value
	}
}

// targets are the wanted pointers, and the parts of a document on the path to them.
type targets map[string]bool

func targetsOf(problems problem.List) targets {
	out := targets{}
	for _, p := range problems {
		for at := p.Pointer; !out[at]; at = at[:strings.LastIndexByte(at, '/')] {
			out[at] = true
			if at == "" {
				break
			}
		}
	}
	return out
}

// note adds the place of a member. If a name is repeated, the first member is kept.
func note(found map[string]place, pointer string, p place) {
	if first, ok := found[pointer]; ok {
		first.last = p.key
		p = first
	}
	found[pointer] = p
}

// jsonOrigin is the JSON value at an offset of a text.
type jsonOrigin struct {
	text []byte
	at   int
}

func (o jsonOrigin) places(wanted targets) map[string]place {
	w := jsonWalk{text: o.text, wanted: wanted, found: map[string]place{}, line: 1, column: 1}
	p := w.position(o.at)
	note(w.found, "", place{key: p, last: p, value: p})
	w.value(o.at, "")
	return w.found
}

// A jsonWalk visits the parts of valid JSON in order.
type jsonWalk struct {
	text   []byte
	wanted targets
	found  map[string]place
	// line and column are the position of the byte at passed.
	passed, line, column int
}

// position returns the position of an offset, which must not be before the previous one.
func (w *jsonWalk) position(at int) position {
	between := w.text[w.passed:at]
	if n := bytes.Count(between, []byte("\n")); n > 0 {
		w.line, w.column = w.line+n, 1
		between = between[bytes.LastIndexByte(between, '\n')+1:]
	}
	w.column += utf8.RuneCount(between)
	w.passed = at
	return position{w.line, w.column}
}

// value visits the value at an offset and returns the offset after it.
func (w *jsonWalk) value(at int, pointer string) int {
	open := w.text[at]
	if open != '{' && open != '[' || !w.wanted[pointer] {
		return at + valueLength(w.text[at:])
	}
	at = w.space(at + 1)
	for i := 0; w.text[at] != '}' && w.text[at] != ']'; i++ {
		token, key := strconv.Itoa(i), at
		if open == '{' {
			end := at + valueLength(w.text[at:])
			_ = json.Unmarshal(w.text[at:end], &token) // it is a string
			at = w.space(w.space(end) + 1)             // after the colon
		}
		at = w.member(pointer+problem.Pointer(token), key, at)
		if at = w.space(at); w.text[at] == ',' {
			at = w.space(at + 1)
		}
	}
	return at + 1
}

func (w *jsonWalk) member(pointer string, key, at int) int {
	if !w.wanted[pointer] {
		return at + valueLength(w.text[at:])
	}
	k, v := w.position(key), w.position(at)
	note(w.found, pointer, place{key: k, last: k, value: v})
	return w.value(at, pointer)
}

func (w *jsonWalk) space(at int) int {
	for strings.IndexByte(" \t\r\n", w.text[at]) >= 0 {
		at++
	}
	return at
}

// valueLength returns the length of the value at the start of valid JSON.
func valueLength(b []byte) int {
	depth, inText := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			if inText = !inText; !inText && depth == 0 {
				return i + 1
			}
		case inText:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && strings.IndexByte(" \t\r\n,:}]", c) >= 0:
			return i
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}
