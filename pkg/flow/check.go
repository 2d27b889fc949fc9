package flow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/typedoc"
)

// A Catalog holds the progdefs that flows may use, by name.
type Catalog map[string]progdef.Pinned

// Known is what flows are checked against.
type Known struct {
	Progdefs Catalog
	// Types maps typenames, by identifier, to a short description for messages.
	Types map[string]string
	// Refuses returns why the installation's policy refuses a progdef, with pointers into its document. It may be nil.
	Refuses func(progdef.Document) problem.List
}

// Check is [Known.Check] for callers that know only the built-in types.
func Check(
	raw []byte, catalog Catalog, limits Limits,
) (Flow, map[string]progdef.Pinned, problem.List) {
	return Known{Progdefs: catalog, Types: typedoc.Summaries()}.Check(raw, limits)
}

// Check reads a flow document and checks it against k. It returns either the flow in normal form
// and the progdefs that its nodes are pinned to, or every problem at once: the problems of the
// document's form and those of its graph, as far as the document can be understood.
//
// The edges of the normal form are in this order: the document's edges, in document order; the
// records of every "with", by node and port; the flow's inputs, by name; its outputs, by name; the
// inner edges of its subflows, by node.
func (k Known) Check(
	raw []byte, limits Limits,
) (Flow, map[string]progdef.Pinned, problem.List) {
	c := newChecker(k, limits)
	tree := document.CheckInto(&c.report, "flow", raw, limits.Document)
	if doc, ok := tree.(map[string]any); ok {
		c.doc = fieldsOf(doc)
	}
	deadline, priority := c.deadline(), c.priority()
	if c.countable() {
		c.graph()
	}
	if list := c.report.List(); list != nil {
		return Flow{}, nil, list
	}
	return c.normal(deadline, priority), c.programs(), nil
}

// A checker understands as much of a document as is well-formed. It skips whatever breaks the
// schema, which is already reported, and whatever would only follow from that.
type checker struct {
	doc     fields
	catalog Catalog
	refuses func(progdef.Document) problem.List
	// refusals are the results of refuses, by progdef.
	refusals map[string]problem.List
	// meanings are short descriptions of typenames.
	meanings map[string]string
	limits   Limits
	report   document.Report
	hints    speller
	// prefix is the flow's place in the document.
	prefix   []string
	subflows *subflows
	size     size
	// open is true for the flow of a progdef. Then ends are the declared types of its ends, nil where they are to be inferred,
	// and params its type parameters.
	open   bool
	ends   [2]map[string]*portType
	params []string

	nodes map[string]*node
	names []string // of nodes, in order
	ports map[string]*ports
	// pinned holds the progdefs in use.
	pinned map[string]progdef.Pinned
	links  []*link
	// claims holds the first link of each port.
	claims map[claim]*link
	// excused ports lack a link only because of a problem that is reported elsewhere.
	excused map[claim]bool
	types   *typing
}

// fields are the top-level fields of the document, empty where they are missing or malformed.
type fields struct {
	nodes, inputs, outputs map[string]any
	edges                  []any
	deadline, priority     any
}

func fieldsOf(doc map[string]any) (f fields) {
	f.nodes, _ = doc["nodes"].(map[string]any)
	f.inputs, _ = doc["inputs"].(map[string]any)
	f.outputs, _ = doc["outputs"].(map[string]any)
	f.edges, _ = doc["edges"].([]any)
	f.deadline, f.priority = doc["deadline"], doc["priority"]
	return f
}

func newChecker(k Known, limits Limits) *checker {
	return &checker{
		catalog: k.Progdefs, refuses: k.Refuses, refusals: map[string]problem.List{}, meanings: k.Types, limits: limits, hints: speller{left: maxComparisons},
		ports: map[string]*ports{}, pinned: map[string]progdef.Pinned{},
		excused: map[claim]bool{}, types: newTyping(), subflows: &subflows{known: k, limits: limits, done: map[place]*subflow{}},
	}
}

func (c *checker) graph() {
	c.nodes = make(map[string]*node, len(c.doc.nodes))
	c.claims = make(map[claim]*link, 2*len(c.doc.edges))
	c.readNodes()
	c.nameParts()
	c.readEdges()
	c.readWith()
	c.readEnds()
	c.findMissing()
	c.findCycles()
	c.solveTypes()
}

// countable checks the size of the flow. A flow that is too large is not checked further.
func (c *checker) countable() bool {
	c.size = size{nodes: len(c.doc.nodes), edges: len(c.doc.edges) + len(c.doc.inputs) + len(c.doc.outputs)}
	for _, written := range c.doc.nodes {
		constant, with := valueLists(written)
		c.size.addValues(constant)
		c.size.edges += len(with)
		for _, list := range with {
			records, _ := list.([]any)
			c.size.addValues(records)
		}
	}
	for _, name := range sortedKeys(c.doc.nodes) {
		if c.size.exceeds(c.limits) {
			break // the flows of further nodes need not be checked
		}
		if sub := c.subflowOf(c.doc.nodes[name]); sub != nil {
			c.size.replace(sub)
		}
	}
	var edges []string
	if len(c.doc.edges) > c.limits.Edges {
		edges = []string{"edges"}
	}
	nodesFit := c.atMost(c.size.nodes, c.limits.Nodes, "nodes", "nodes")
	edgesFit := c.atMost(c.size.edges, c.limits.Edges, "edges", edges...)
	valuesFit := c.atMost(c.size.values, c.limits.ConstValues, "values", "nodes")
	bytesFit := c.atMost(c.size.bytes, c.limits.Document.Bytes, "bytes of values", "nodes")
	return nodesFit && edgesFit && valuesFit && bytesFit
}

func (c *checker) atMost(n, limit int, what string, path ...string) bool {
	if n <= limit {
		return true
	}
	c.report.Add(problem.TooMany, fmt.Sprintf(
		"the flow has %d %s; the limit is %d", n, what, limit), "", c.at(path...)...)
	return false
}

// deadline returns the flow's deadline, or the default if the document has no usable one.
func (c *checker) deadline() time.Duration {
	written, ok := c.doc.deadline.(string)
	if !ok || !document.ValidDuration(written) {
		return c.limits.DefaultDeadline
	}
	d, _ := time.ParseDuration(written)
	if d <= 0 || d > c.limits.MaxDeadline {
		c.report.Add(problem.BadDuration, fmt.Sprintf(
			"the deadline is %s; it must be more than 0 and at most %s", d, c.limits.MaxDeadline),
			"", "deadline")
	}
	return d
}

// priority returns the flow's priority, 0 if the document has no usable one.
func (c *checker) priority() int {
	written, _ := c.doc.priority.(json.Number)
	n, err := strconv.Atoi(written.String())
	if err != nil {
		return 0
	}
	if n > c.limits.Priority {
		c.report.Add(problem.BadPriority, fmt.Sprintf(
			"the priority is %d; it must be at most %d", n, c.limits.Priority), "", "priority")
	}
	return n
}

// at returns a place in the flow as a place in the document.
func (c *checker) at(path ...string) []string { return slices.Concat(c.prefix, path) }

func (c *checker) add(code problem.Code, at []string, message, hint string) {
	c.report.Add(code, message, hint, at...)
}

// normal returns the flow in normal form. It must only be called if there are no problems.
func (c *checker) normal(deadline time.Duration, priority int) Flow {
	out := Flow{
		Nodes: map[string]Node{}, Edges: make([]Edge, 0, len(c.links)),
		Deadline: document.Duration(deadline), Priority: priority,
	}
	for name, n := range c.nodes {
		if n.constant == nil && n.sub == nil {
			out.Nodes[name] = Node{Progdef: n.progdef, Revision: c.pinned[n.progdef].Revision}
		}
	}
	for _, l := range c.links {
		out.Edges = append(out.Edges, l.edge())
	}
	for _, name := range c.names {
		if n := c.nodes[name]; n.sub != nil {
			c.expand(&out, n)
		}
	}
	return out
}

// subflowOf returns the flow that a node as written stands for, or nil.
func (c *checker) subflowOf(written any) *subflow {
	object, _ := written.(map[string]any)
	name, _ := object["progdef"].(string)
	return c.subflows.of(name)
}

// programs returns the progdefs that the nodes of the normal form are pinned to.
func (c *checker) programs() map[string]progdef.Pinned {
	out := make(map[string]progdef.Pinned, len(c.pinned))
	for name, p := range c.pinned {
		if sub := c.subflows.of(name); sub == nil {
			out[name] = p
		} else {
			maps.Copy(out, sub.pinned)
		}
	}
	return out
}

// maxComparisons bounds the words compared for hints in one check: a hint must not cost more than
// the check.
const maxComparisons = 200_000

// A speller suggests which word was meant, for a bounded number of comparisons.
type speller struct{ left int }

func (s *speller) suggest(word string, candidates []string) string {
	if s.left -= len(candidates); s.left < 0 {
		return ""
	}
	return document.Suggest(word, candidates)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
