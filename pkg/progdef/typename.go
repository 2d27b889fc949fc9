package progdef

import (
	"fmt"
	"slices"
	"strings"
)

// Limits of typenames.
const (
	// TypenameDepth is the maximum number of levels of a typename: 1 for an identifier alone.
	TypenameDepth = 8
	// TypenameLength is the maximum length of a typename, in bytes.
	TypenameLength = 255
)

// A Typename describes the records of a stream: an identifier, possibly applied to arguments, such as
// utf8-string or Result<list<json>>.
type Typename struct {
	Name string
	Args []Typename
}

// ParseTypename reads a typename by the grammar
//
//	typename = ident [ "<" typename { "," typename } ">" ]
//	ident    = letter { letter | digit | "_" | "." | "-" }
//
// Spaces are allowed around identifiers. The error describes what is wrong and where, counting bytes
// from 1.
func ParseTypename(s string) (Typename, error) {
	if len(s) > TypenameLength {
		return Typename{}, fmt.Errorf("a typename has at most %d bytes, not %d",
			TypenameLength, len(s))
	}
	p := typenameParser{text: s}
	t, err := p.typename(1)
	if err == nil && p.at < len(s) {
		err = p.expected("the end")
	}
	return t, err
}

// String returns the canonical form, which has no spaces.
func (t Typename) String() string {
	if len(t.Args) == 0 {
		return t.Name
	}
	args := make([]string, len(t.Args))
	for i, a := range t.Args {
		args[i] = a.String()
	}
	return t.Name + "<" + strings.Join(args, ",") + ">"
}

// Equal reports whether two typenames have the same structure.
func (t Typename) Equal(o Typename) bool {
	return t.Name == o.Name && slices.EqualFunc(t.Args, o.Args, Typename.Equal)
}

type typenameParser struct {
	text string
	at   int
}

func (p *typenameParser) typename(depth int) (Typename, error) {
	if depth > TypenameDepth {
		return Typename{}, fmt.Errorf("a typename has at most %d levels", TypenameDepth)
	}
	name := p.ident()
	if name == "" {
		return Typename{}, p.expected("a letter")
	}
	t := Typename{Name: name}
	if !p.take('<') {
		return t, nil
	}
	var err error
	t.Args, err = p.args(depth + 1)
	return t, err
}

func (p *typenameParser) args(depth int) ([]Typename, error) {
	var out []Typename
	for {
		t, err := p.typename(depth)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		if p.take('>') {
			return out, nil
		}
		if !p.take(',') {
			return nil, p.expected(`"," or ">"`)
		}
	}
}

func (p *typenameParser) ident() string {
	p.space()
	start := p.at
	for p.at < len(p.text) && identOctet(p.text[p.at], p.at > start) {
		p.at++
	}
	name := p.text[start:p.at]
	p.space()
	return name
}

func identOctet(c byte, inside bool) bool {
	letter := c|0x20 >= 'a' && c|0x20 <= 'z'
	return letter || inside && (c >= '0' && c <= '9' || strings.IndexByte("_.-", c) >= 0)
}

// take skips a byte and the following spaces, if it is the next one.
func (p *typenameParser) take(c byte) bool {
	if p.at >= len(p.text) || p.text[p.at] != c {
		return false
	}
	p.at++
	p.space()
	return true
}

func (p *typenameParser) space() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
}

func (p *typenameParser) expected(what string) error {
	if p.at >= len(p.text) {
		return fmt.Errorf("a typename cannot end here: %s must follow", what)
	}
	return fmt.Errorf("byte %d of a typename must be %s", p.at+1, what)
}
