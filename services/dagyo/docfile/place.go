package docfile

import (
	"bytes"
	"slices"
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
	w.visit(o.at, "")
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

// visit notes the places of the wanted parts of the value at an offset.
func (w *jsonWalk) visit(at int, pointer string) {
	for _, p := range partsOf(w.text, at) {
		below := pointer + problem.Pointer(p.token)
		if !w.wanted[below] {
			continue
		}
		k, v := w.position(p.key), w.position(p.value)
		note(w.found, below, place{key: k, last: k, value: v})
		w.visit(p.value, below)
	}
}
