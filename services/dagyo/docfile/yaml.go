package docfile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// yamlDepth is the maximum number of levels in YAML, and of open brackets in the text. The limits of the services
// are much lower.
const yamlDepth = 1000

// splitYAML reads the documents of a YAML stream. Empty documents are skipped.
func splitYAML(text []byte) (all []Document, err error) {
	if deep(text) {
		return nil, problem.List{tooDeep()}
	}
	for _, tokens := range streamOf(lexer.Tokenize(string(text))) {
		file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
		if err != nil {
			return nil, problem.List{notYAML(err)}
		}
		for _, d := range file.Docs {
			if d.Body == nil || d.Body.Type() == ast.DirectiveType {
				continue
			}
			doc, err := convert(d.Body)
			if err != nil {
				return nil, err
			}
			all = append(all, doc)
		}
	}
	if len(all) == 0 {
		return nil, problem.List{{Code: problem.NotJSON, Message: "the file is empty"}}
	}
	return all, nil
}

// streamOf returns the tokens of each document that is not empty. The parser reads one document at a time: in a
// stream, it drops everything after an empty document.
func streamOf(tokens token.Tokens) (all []token.Tokens) {
	var doc token.Tokens
	filled, directive := false, false
	end := func() {
		if directive { // it belongs to the next document
			filled, directive = false, false
			return
		}
		if filled {
			all = append(all, doc)
		}
		doc, filled = nil, false
	}
	for _, t := range tokens {
		switch t.Type {
		case token.DocumentHeaderType:
			end()
			doc = append(doc, t)
		case token.DocumentEndType:
			doc = append(doc, t)
			end()
		case token.CommentType:
		default:
			directive = directive || t.Type == token.DirectiveType && len(doc) == 0
			filled = true
			doc = append(doc, t)
		}
	}
	directive = false
	end()
	return all
}

// deep reports whether a text is nested too deeply for the recursive parser.
func deep(text []byte) bool {
	open, dashes := 0, 0
	for i, c := range text {
		switch c {
		case '[', '{':
			open++
		case ']', '}':
			open = max(open-1, 0)
		case '\n':
			dashes = 0
		case '-', '?':
			if i+1 < len(text) && text[i+1] == ' ' {
				dashes++
			}
		}
		if open > yamlDepth || dashes > yamlDepth {
			return true
		}
	}
	return false
}

func tooDeep() problem.Problem {
	return problem.Problem{
		Code: problem.TooDeep, Message: fmt.Sprintf("nested deeper than the limit of %d levels", yamlDepth),
	}
}

// notYAML returns an error of the parser as problems.
func notYAML(err error) problem.Problem {
	p := problem.Problem{Code: problem.NotJSON, Message: "neither JSON nor YAML: " + err.Error()}
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		p.Message = "neither JSON nor YAML: " + syntax.GetMessage()
		if strings.Contains(p.Message, "'\t'") {
			p.Message = "neither JSON nor YAML: a tab stands where YAML allows only spaces"
			p.Hint = "indent with spaces"
		}
		if t := syntax.GetToken(); t != nil {
			p.Line, p.Column = t.Position.Line, t.Position.Column
		}
	}
	return p
}

// A yamlReader converts a document to JSON.
type yamlReader struct {
	out bytes.Buffer
	// aliases maps each alias to its node.
	aliases aliases
	// open are the anchors around the current node.
	open []*ast.AnchorNode
	// path is the path to the current node.
	path  []string
	depth int
	// merged is the number of merged mappings.
	merged int
}

// mergeLimit is the maximum number of merged mappings in a document, counting each merge.
const mergeLimit = 100_000

// A yamlError is the reason why a node cannot be converted to JSON.
type yamlError struct {
	node ast.Node
	problem.Problem
}

func (e *yamlError) Error() string { return e.Message }

func refuse(n ast.Node, code problem.Code, message, hint string) error {
	return &yamlError{n, problem.Problem{Code: code, Message: message, Hint: hint}}
}

func convert(body ast.Node) (Document, error) {
	r := yamlReader{aliases: aliases{}}
	err := r.aliases.resolve(body, map[string]*ast.AnchorNode{})
	if err == nil {
		err = r.write(body)
	}
	var bad *yamlError
	if errors.As(err, &bad) {
		at := start(bad.node)
		bad.Line, bad.Column = at.line, at.column
		bad.Pointer = problem.Pointer(r.path...)
		return Document{}, problem.List{bad.Problem}
	}
	return Document{
		JSON: r.out.Bytes(), Line: start(body).line, origin: yamlOrigin{body, r.aliases},
	}, err
}

// write appends a node as JSON.
func (r *yamlReader) write(n ast.Node) error {
	if r.depth++; r.depth > yamlDepth {
		return refuse(n, problem.TooDeep, tooDeep().Message, "")
	}
	defer func() { r.depth-- }()
	if r.out.Len() > event.SizeLimit {
		return refuse(n, problem.TooLarge,
			fmt.Sprintf("with its aliases expanded, the document is larger than the limit of %d bytes", event.SizeLimit), "")
	}
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return r.object(n)
	case *ast.SequenceNode:
		return r.array(n)
	case *ast.AnchorNode:
		r.open = append(r.open, n)
		err := r.write(n.Value)
		r.open = r.open[:len(r.open)-1]
		return err
	case *ast.AliasNode:
		return r.alias(n)
	case *ast.TagNode:
		return r.tagged(n)
	default:
		return r.scalar(n, "")
	}
}

// alias appends the node of an alias.
func (r *yamlReader) alias(n *ast.AliasNode) error {
	target := r.aliases[n]
	if slices.Contains(r.open, target) {
		return refuse(n, problem.NotJSON, fmt.Sprintf("the alias *%s refers to a value that contains it", aliasName(n)),
			"JSON does not support values that contain themselves")
	}
	r.open = append(r.open, target)
	err := r.write(target.Value)
	r.open = r.open[:len(r.open)-1]
	return err
}

func aliasName(n *ast.AliasNode) string { return n.Value.GetToken().Value }

// aliases maps aliases to their anchors.
type aliases map[*ast.AliasNode]*ast.AnchorNode

// resolve finds the anchor of each alias in a node: the last one of its name before it.
func (a aliases) resolve(n ast.Node, anchors map[string]*ast.AnchorNode) error {
	var parts []ast.Node
	switch n := n.(type) {
	case *ast.AliasNode:
		if a[n] = anchors[aliasName(n)]; a[n] == nil {
			return refuse(n, problem.NotJSON, fmt.Sprintf("anchor &%s not found above this alias", aliasName(n)), "")
		}
	case *ast.AnchorNode:
		anchors[n.Name.GetToken().Value] = n
		return a.property(n, n.Value, anchors)
	case *ast.TagNode:
		return a.property(n, n.Value, anchors)
	case *ast.MappingKeyNode:
		parts = []ast.Node{n.Value}
	case *ast.SequenceNode:
		parts = n.Values
	case *ast.MappingNode, *ast.MappingValueNode:
		for _, v := range valuesOf(n) {
			parts = append(parts, v.Key, v.Value)
		}
	}
	for _, p := range parts {
		if err := a.resolve(p, anchors); err != nil {
			return err
		}
	}
	return nil
}

// behind returns the node behind aliases and anchors.
func (a aliases) behind(n ast.Node) ast.Node {
	for {
		switch inner := n.(type) {
		case *ast.AliasNode:
			n = a[inner].Value
		case *ast.AnchorNode:
			n = inner.Value
		default:
			return n
		}
	}
}

// property resolves a node with an anchor or a tag, which must not be an alias.
func (a aliases) property(n, value ast.Node, anchors map[string]*ast.AnchorNode) error {
	if _, alias := value.(*ast.AliasNode); alias {
		return refuse(n, problem.NotJSON, "an alias cannot have an anchor or a tag", "")
	}
	return a.resolve(value, anchors)
}

func (r *yamlReader) array(n *ast.SequenceNode) error {
	r.out.WriteByte('[')
	for i, item := range n.Values {
		if i > 0 {
			r.out.WriteByte(',')
		}
		if err := r.part(strconv.Itoa(i), item); err != nil {
			return err
		}
	}
	r.out.WriteByte(']')
	return nil
}

func (r *yamlReader) object(n ast.Node) error {
	own, err := r.members(n, nil)
	if err != nil {
		return err
	}
	r.out.WriteByte('{')
	for i, m := range own {
		if i > 0 {
			r.out.WriteByte(',')
		}
		r.text(m.name)
		r.out.WriteByte(':')
		if err := r.part(m.name, m.value); err != nil {
			return err
		}
	}
	r.out.WriteByte('}')
	return nil
}

// part writes a member of an object or an item of an array. After an error the path leads to it.
func (r *yamlReader) part(token string, n ast.Node) error {
	r.path = append(r.path, token)
	err := r.write(n)
	if err == nil {
		r.path = r.path[:len(r.path)-1]
	}
	return err
}

func (r *yamlReader) text(s string) {
	special := func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }
	if !strings.ContainsFunc(s, special) {
		r.out.WriteByte('"')
		r.out.WriteString(s)
		r.out.WriteByte('"')
		return
	}
	enc := json.NewEncoder(&r.out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)               // encoding text cannot fail
	r.out.Truncate(r.out.Len() - 1) // the newline
}

// A member of a mapping; key is the node of its name.
type member struct {
	name       string
	key, value ast.Node
}

// members returns a mapping's own members, including repeated ones, then merged members: of each name that the
// mapping does not have itself, the first one. around are the mappings that merge this one.
func (r *yamlReader) members(n ast.Node, around []ast.Node) ([]member, error) {
	var out []member
	var merged []ast.Node
	has := map[string]bool{}
	for _, v := range valuesOf(n) {
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			merged = append(merged, v.Value)
			continue
		}
		name, err := r.name(v.Key)
		if err != nil {
			return nil, err
		}
		has[name] = true
		out = append(out, member{name, v.Key, v.Value})
	}
	for _, from := range merged {
		inherited, err := r.merge(from, append(around, n))
		if err != nil {
			return nil, err
		}
		for _, m := range inherited {
			if !has[m.name] {
				has[m.name] = true
				out = append(out, m)
			}
		}
	}
	return out, nil
}

// merge returns the members of the value of a merge key: a mapping, or several.
func (r *yamlReader) merge(from ast.Node, around []ast.Node) ([]member, error) {
	if r.merged++; r.merged > mergeLimit {
		return nil, refuse(from, problem.TooLarge, fmt.Sprintf("the document merges more than the limit of %d mappings", mergeLimit), "")
	}
	switch n := r.aliases.behind(from).(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		if slices.Contains(around, ast.Node(n)) {
			return nil, refuse(n, problem.NotJSON, "the mapping merges itself", "")
		}
		return r.members(n, around)
	case *ast.SequenceNode:
		var out []member
		for _, item := range n.Values {
			if _, nested := item.(*ast.SequenceNode); nested {
				break
			}
			more, err := r.merge(item, around)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
		return out, nil
	}
	return nil, refuse(from, problem.NotJSON, "the value of a merge key (<<) must be a mapping or a list of mappings", "")
}

func valuesOf(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

// name returns the name of a member. Names in JSON are text: a number or a word is used as it is written.
func (r *yamlReader) name(key ast.Node) (string, error) {
	switch k := r.aliases.behind(key).(type) {
	case *ast.MappingKeyNode:
		return r.name(k.Value)
	case *ast.TagNode:
		if k.Start.Value == "!!str" {
			return r.name(k.Value)
		}
	case *ast.StringNode:
		return k.Value, nil
	case *ast.LiteralNode:
		return k.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return k.GetToken().Value, nil
	case *ast.NullNode:
		if text := k.Token.Value; text != "" && text != "null" || k.Token.Origin != "" {
			return text, nil
		}
	}
	return "", refuse(key, problem.NotJSON, "the name of a field must be text", "")
}

// tagged appends a node with a tag.
func (r *yamlReader) tagged(n *ast.TagNode) error {
	switch tag := n.Start.Value; tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
		return r.scalar(n.Value, tag)
	case "!!seq", "!!map", "!!omap":
		return r.write(n.Value)
	case "!!binary":
		return r.binary(n)
	default:
		return refuse(n, problem.NotJSON, fmt.Sprintf("the tag %s is not supported", tag), "remove the tag")
	}
}

// binary appends bytes in base64 as they are written in a flow document.
func (r *yamlReader) binary(n *ast.TagNode) error {
	text, err := written(n.Value)
	if err != nil {
		return err
	}
	text = strings.Join(strings.Fields(text), "")
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		return refuse(n, problem.BadValue, "the value of !!binary must be base64 with the standard alphabet and padding", "")
	}
	r.out.WriteString(`{"base64":`)
	r.text(text)
	r.out.WriteByte('}')
	return nil
}

// scalar appends a single value. If the tag is empty, its form determines its type.
func (r *yamlReader) scalar(n ast.Node, tag string) error {
	text, err := written(n)
	if err != nil {
		return err
	}
	if tag == "" && quoted(n) || tag == "!!str" || tag == "!!timestamp" {
		r.text(text)
		return nil
	}
	value, isText, bad := plainScalar(text)
	if bad != nil {
		return &yamlError{n, *bad}
	}
	if tag != "" && (isText || !fits(value, tag)) {
		return refuse(n, problem.BadValue, fmt.Sprintf("%s does not have the type %s", strconv.Quote(text), tag), "")
	}
	if isText {
		r.text(text)
		return nil
	}
	r.out.WriteString(value)
	return nil
}

// quoted reports whether the form of a node is text: in quotation marks, or a block.
func quoted(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.LiteralNode:
		return true
	case *ast.StringNode:
		return n.Token.Type == token.DoubleQuoteType || n.Token.Type == token.SingleQuoteType
	}
	return false
}

// written returns the text of a scalar.
func written(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.NullNode:
		return "null", nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, nil
	case *ast.AnchorNode:
		return written(n.Value)
	}
	return "", refuse(n, problem.NotJSON, "expected a single value", "")
}
