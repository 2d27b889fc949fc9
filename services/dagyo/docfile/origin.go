package docfile

import (
	"strconv"

	"github.com/goccy/go-yaml/ast"

	"github.com/dagyo/dagyo/pkg/problem"
)

// yamlOrigin is a converted document of a YAML stream.
type yamlOrigin struct {
	body    ast.Node
	aliases aliases
}

func (o yamlOrigin) places(wanted targets) map[string]place {
	found := map[string]place{}
	p := start(o.body)
	note(found, "", place{key: p, last: p, value: p})
	o.walk(o.body, "", wanted, found)
	return found
}

// walk records the places of the wanted parts of a node.
func (o yamlOrigin) walk(n ast.Node, pointer string, wanted targets, found map[string]place) {
	switch n := o.aliases.behind(n).(type) {
	case *ast.TagNode:
		o.walk(n.Value, pointer, wanted, found)
	case *ast.SequenceNode:
		for i, item := range n.Values {
			at := pointer + "/" + strconv.Itoa(i)
			if wanted[at] {
				p := start(item)
				note(found, at, place{key: p, last: p, value: p})
				o.walk(item, at, wanted, found)
			}
		}
	case *ast.MappingNode, *ast.MappingValueNode:
		r := yamlReader{aliases: o.aliases}
		all, _ := r.members(n, nil) // it was already read without error
		for _, m := range all {
			if at := pointer + problem.Pointer(m.name); wanted[at] {
				k := start(m.key)
				note(found, at, place{key: k, last: k, value: start(m.value), block: block(m.value)})
				o.walk(m.value, at, wanted, found)
			}
		}
	}
}

// start returns the position of a node's first character.
func start(n ast.Node) position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return start(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return start(n.Key)
	}
	if n == nil {
		return position{}
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return position{}
	}
	return position{t.Position.Line, t.Position.Column}
}

// block reports whether a node is a mapping or a list that starts on the line after its name.
func block(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.MappingNode:
		return !n.IsFlowStyle
	case *ast.MappingValueNode:
		return !n.IsFlowStyle
	case *ast.SequenceNode:
		return !n.IsFlowStyle
	case *ast.AnchorNode:
		return block(n.Value)
	case *ast.TagNode:
		return block(n.Value)
	case *ast.NullNode:
		return true
	}
	return false
}
