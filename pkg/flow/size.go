package flow

// A size counts what limits bound in a flow: its nodes, edges and values, and the bytes of these.
type size struct{ nodes, edges, values, bytes int }

// replace counts a flow in place of a node. The edges at its ends are those of the node.
func (s *size) replace(o *subflow) {
	s.nodes += o.size.nodes - 1
	s.edges += o.size.edges - len(o.inlets) - len(o.outlets)
	s.values += o.size.values
	s.bytes += o.size.bytes
}

func (s *size) addValues(written []any) {
	s.values += len(written)
	for _, w := range written {
		if object, ok := w.(map[string]any); ok {
			w = object["base64"]
		}
		text, _ := w.(string)
		s.bytes += len(text)
	}
}

func (s *size) exceeds(l Limits) bool {
	return s.nodes > l.Nodes || s.edges > l.Edges || s.values > l.ConstValues || s.bytes > l.Document.Bytes
}
