package flow

import (
	"github.com/dagyo/dagyo/pkg/document"
)

// A Flow is a checked flow in normal form: constants are values on the edges that they feed, the
// flow's own inputs and outputs are ends of edges, subflows are expanded, every node is pinned to a
// revision, and every edge has its solved typename.
type Flow struct {
	Nodes map[string]Node `json:"nodes"`
	// Subflows are the nodes that are replaced by the nodes of a flow, by name.
	Subflows map[string]Subflow `json:"subflows,omitempty"`
	Edges    []Edge             `json:"edges"`
	Deadline document.Duration  `json:"deadline"`
	// Priority orders the flows that wait for capacity: the highest goes first.
	Priority int `json:"priority,omitempty"`
}

// A Node is one use of a progdef.
type Node struct {
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	// Subflow names the subflow that the node is part of; "" for a node of the document.
	Subflow string `json:"subflow,omitempty"`
}

// A Subflow is a node that is replaced by the nodes of its progdef's flow.
type Subflow struct {
	Node
	// Types are what its type parameters stand for.
	Types map[string]string `json:"types,omitempty"`
	// Inputs and Outputs are the ports of nodes that take the place of its own ports, as "node.port".
	Inputs  map[string]string `json:"inputs,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"`
}

// An Edge is one stream. Exactly one of From, Input and Const is its source; exactly one of To and
// Output is its sink. Its index in Flow.Edges is its number.
type Edge struct {
	// From is the output port that writes the stream, as "node.port".
	From string `json:"from,omitempty"`
	// Input names the flow's own input that a client writes.
	Input string `json:"input,omitempty"`
	// Const holds the records of a const node; the stream is complete before the flow starts.
	Const *Const `json:"const,omitempty"`
	// To is the input port that reads the stream, as "node.port".
	To string `json:"to,omitempty"`
	// Output names the flow's own output that a client reads.
	Output string `json:"output,omitempty"`
	// Type is the solved typename.
	Type string `json:"type"`
}

// Const is a stream whose records are written in the flow document.
type Const struct {
	// Node is the const node's name, or "" if the document used the short form "with".
	Node   string  `json:"node,omitempty"`
	Values []Value `json:"values"`
}

// Source names the edge's source for people: "names.out", "inputs.names" or "const".
func (e Edge) Source() string {
	switch {
	case e.From != "":
		return e.From
	case e.Input != "":
		return "inputs." + e.Input
	case e.Const != nil && e.Const.Node != "":
		return e.Const.Node + ".out"
	default:
		return "const"
	}
}

// Sink names the edge's sink for people: "hello.name" or "outputs.greetings".
func (e Edge) Sink() string {
	if e.To != "" {
		return e.To
	}
	return "outputs." + e.Output
}
