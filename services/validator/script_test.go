package validator

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/script"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/typedoc"
)

func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		return (&machine{t: t, s: NewState(DefaultLimits(), nil), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}).do
	})
}

// machine folds the commands of script lines into a state, and prints the answers.
type machine struct {
	t *testing.T
	s *State
	n uint64
	// by is who publishes the commands, now the broker's time.
	by  string
	now time.Time
	// last is what has taken the id of the last submission.
	last taken
}

func (m *machine) rates(args []string) {
	r := &m.s.limits.Submissions
	for _, a := range args {
		name, v, _ := strings.Cut(a, "=")
		n, _ := strconv.Atoi(v)
		switch name {
		case "tenant":
			r.Tenant = n
		case "user":
			r.User = n
		case "burst":
			r.Burst, _ = time.ParseDuration(v)
		}
	}
}

// restart continues with a state from a snapshot.
func (m *machine) restart() {
	raw, err := snapshots().Encode(m.s)
	s := NewState(m.s.limits, nil)
	if err == nil {
		err = decode(s, raw)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.s = s
}

func (m *machine) do(line string) string {
	f := strings.Fields(line)
	rest := strings.TrimSpace(strings.TrimPrefix(line, f[0]))
	switch f[0] {
	case "progdef": // progdef zip<A,B> a:A b:B > out:Pair<A,B>
		return m.say(contract.TypeProgdefApply, progdefOf(f[1:]))
	case "type": // type {"name": …}
		return m.say(contract.TypeTypeApply, rest)
	case "submit": // submit a=const:json b=tee | a.out>b.in | inputs.x>b.in b.left>outputs.l
		return m.say(contract.TypeFlowSubmit, flowOf(f[1:]))
	case "rates": // rates tenant=5 user=2 burst=1s
		m.rates(f[1:])
		return ""
	case "by": // by anna
		m.by = f[1]
		return ""
	case "pass": // pass 300ms
		d, _ := time.ParseDuration(f[1])
		m.now = m.now.Add(d)
		return ""
	case "restart":
		m.restart()
		return ""
	case "running": // running submit …: as submit, and the flow goes on
		out := m.do(rest)
		m.s.flows["x"] = m.last
		return out
	case "compatible": // compatible b.left in a=const:json b=tee | a.out>b.in
		return m.ask(askCompatible, queryOf(f[1], f[3:]))
	case "types":
		return m.ask(askTypes, rest)
	}
	m.t.Fatalf("unknown command %q", line)
	return ""
}

func (m *machine) say(typ contract.Type, document string) string {
	m.n++
	e := contract.Event{Type: typ, Subject: "x", Raw: []byte(document), Seq: m.n, By: m.by, Time: m.now}
	var named struct{ Name string }
	if json.Unmarshal([]byte(document), &named) == nil && typ == contract.TypeProgdefApply {
		e.Subject = named.Name
	}
	answers := answersTo(m.s, e)
	for _, a := range answers {
		m.n++
		a.Seq, a.Source = m.n, contract.Source(Name)
		Evolve(m.s, a)
	}
	m.last = m.s.flows["x"]
	delete(m.s.flows, "x")
	var out []string
	for _, a := range answers {
		out = append(out, tell(a))
	}
	return strings.Join(out, "\n")
}

func tell(e contract.Event) string {
	lines := []string{string(e.Type)}
	list := func(problems problem.List) {
		for _, p := range problems {
			lines = append(lines, " "+p.String())
		}
	}
	switch d := e.Data.(type) {
	case *contract.FlowRejected:
		list(d.Problems)
	case *contract.DeadLetter:
		list(d.Problems)
	case *contract.ProgdefRejected:
		list(d.Problems)
	case *contract.TypeRejected:
		list(d.Problems)
	case *contract.ProgdefApplied:
		return fmt.Sprintf("%s %s.%s", e.Type, d.Name, d.Revision)
	case *contract.TypeApplied:
		return fmt.Sprintf("%s %s", e.Type, d.Document.Typename())
	case *contract.FlowValidated:
		if d.Owner != "" {
			lines = append(lines, " by "+d.Owner)
		}
		for _, edge := range d.Flow.Edges {
			lines = append(lines, fmt.Sprintf(" %s -> %s: %s", edge.Source(), edge.Sink(), edge.Type))
		}
	}
	return strings.Join(lines, "\n")
}

func (m *machine) ask(ask service.Ask[*State], question string) string {
	answer, err := ask(m.s, []byte(question))
	if later, ok := answer.(service.Later); ok {
		answer, err = later(m.t.Context())
	}
	if err != nil {
		return "error: " + err.Error()
	}
	switch a := answer.(type) {
	case contract.CatalogCompatible:
		return compatibles(a)
	case []contract.TypeLine:
		var out []string
		for _, l := range a {
			out = append(out, fmt.Sprintf("%s: %s", l.Typename, l.Summary))
		}
		return strings.Join(out, "\n")
	case typedoc.Document:
		text, _ := json.MarshalIndent(a, "", " ")
		return string(text)
	}
	m.t.Fatalf("answered with a %T", answer)
	return ""
}

func compatibles(a contract.CatalogCompatible) string {
	if a.Compatibility == nil {
		return a.Problems.Error()
	}
	lines := []string{a.Side + " of type " + a.Type}
	for _, f := range a.Ports {
		where := f.Node
		if where == "" {
			where = "(" + f.Progdef + ")"
		}
		lines = append(lines, fmt.Sprintf(" %s.%s: %s, the edge: %s", where, f.Port, f.Declared, f.Type))
	}
	return strings.Join(lines, "\n")
}

// progdefOf returns the document for "zip<A,B> a:A b:B > out:Pair<A,B>".
func progdefOf(words []string) string {
	name, params, _ := strings.Cut(strings.TrimSuffix(words[0], ">"), "<")
	doc := map[string]any{"name": name, "command": []string{"x"}}
	if params != "" {
		doc["typeParams"] = strings.Split(params, ",")
	}
	side := "inputs"
	for _, w := range words[1:] {
		if w == ">" {
			side = "outputs"
			continue
		}
		port, typename, _ := strings.Cut(w, ":")
		ports, _ := doc[side].(map[string]string)
		if ports == nil {
			ports = map[string]string{}
			doc[side] = ports
		}
		ports[port] = typename
	}
	return asJSON(doc)
}

// flowOf returns the document for "a=const:json b=tee:T=json | a.out>b.in b.left>outputs.l".
func flowOf(words []string) string {
	nodes, edges := map[string]any{}, []any{}
	inputs, outputs := map[string]string{}, map[string]string{}
	for _, w := range words {
		if name, used, ok := strings.Cut(w, "="); ok {
			nodes[name] = nodeOf(used)
		} else if from, to, ok := strings.Cut(w, ">"); ok {
			in, isIn := strings.CutPrefix(from, "inputs.")
			out, isOut := strings.CutPrefix(to, "outputs.")
			switch {
			case isIn:
				inputs[in] = to
			case isOut:
				outputs[out] = from
			default:
				edges = append(edges, map[string]string{"from": from, "to": to})
			}
		}
	}
	return asJSON(map[string]any{"nodes": nodes, "edges": edges, "inputs": inputs, "outputs": outputs})
}

func nodeOf(used string) map[string]any {
	kind, detail, _ := strings.Cut(used, ":")
	param, typename, named := strings.Cut(detail, "=")
	switch {
	case kind == "const":
		return map[string]any{"const": map[string]any{"type": detail, "values": []any{}}}
	case named:
		return map[string]any{"progdef": kind, "types": map[string]string{param: typename}}
	default:
		return map[string]any{"progdef": kind}
	}
}

// queryOf returns a query about a port "node.port", or "(progdef).port", of an incomplete flow.
func queryOf(port string, words []string) string {
	node, port, _ := strings.Cut(port, ".")
	q := map[string]any{"flow": json.RawMessage(flowOf(words)), "port": port}
	if used := strings.Trim(node, "()"); used != node {
		q["progdef"] = used
	} else {
		q["node"] = node
	}
	return asJSON(q)
}

func asJSON(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}
