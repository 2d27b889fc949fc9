package contract

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// Inconsistency describes what an event refers to and does not contain, "" for a consistent event. Any client may publish
// what looks like an event of a service. Services fold only consistent events, so that they can rely on them.
func (e Event) Inconsistency() string {
	var err error
	switch d := e.Data.(type) {
	case *FlowValidated:
		err = d.consistent()
	case *FlowPlanned:
		err = d.consistent(e.Subject)
	case *JobStarted:
		err = isName("executor", d.Executor)
	case *ExecutorStarted:
		err = consistentExecutor(e.Subject, d.Executor, d.Revision)
	case *ExecutorDraining:
		err = consistentExecutor(e.Subject, d.Executor, d.Revision)
	case *ExecutorExited:
		err = consistentExecutor(e.Subject, d.Executor, d.Revision)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func isName(what, name string) error {
	if !document.ValidName(name) {
		return fmt.Errorf("%s %s is not a name", what, document.Quote(name))
	}
	return nil
}

func consistentExecutor(subject, executor, revision string) error {
	if executor != subject {
		return fmt.Errorf("executor %s is not the event's subject", document.Quote(executor))
	}
	return isName("revision", revision)
}

func (d *FlowValidated) consistent() error {
	if err := consistentProgdefs(d.Progdefs); err != nil {
		return err
	}
	for name, n := range d.Flow.Nodes {
		if err := isName("node", name); err != nil {
			return err
		}
		if err := isPinned(d.Progdefs, n.Progdef, n.Revision); err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
	}
	for i, edge := range d.Flow.Edges {
		for _, end := range []string{edge.From, edge.To} {
			node, port, ok := strings.Cut(end, ".")
			if _, there := d.Flow.Nodes[node]; end != "" && (!there || !ok || !document.ValidName(port)) {
				return fmt.Errorf("edge %d: %s is not a port of a node", i, document.Quote(end))
			}
		}
	}
	return nil
}

func consistentProgdefs(pinned map[string]progdef.Pinned) error {
	for name, p := range pinned {
		if err := isName("progdef", name); err != nil {
			return err
		}
		if err := isName("revision", p.Revision); err != nil {
			return fmt.Errorf("progdef %s: %w", name, err)
		}
		if s := p.Document.Scaling; s.JobsPerExecutor < 1 || s.MaxExecutors < 1 || s.MinExecutors < 0 {
			return fmt.Errorf("progdef %s: scaling %+v allows no jobs", name, s)
		}
	}
	return nil
}

func isPinned(pinned map[string]progdef.Pinned, name, revision string) error {
	if p, ok := pinned[name]; !ok || p.Revision != revision {
		return fmt.Errorf("revision %s of progdef %s is not in the event", document.Quote(revision), document.Quote(name))
	}
	return nil
}

func (d *FlowPlanned) consistent(flow string) error {
	switch {
	case d.Stream != "" && edgesOf(d.Stream, flow) == "":
		return fmt.Errorf("stream %s does not store the flow's edges", document.Quote(d.Stream))
	case d.Deadline.IsZero() || d.Deadline.Year() > 9000:
		return fmt.Errorf("the deadline %s is out of range", d.Deadline.Format(time.RFC3339))
	}
	if err := consistentProgdefs(d.Progdefs); err != nil {
		return err
	}
	seen := make(map[string]bool, len(d.Jobs))
	for i := range d.Jobs {
		j := &d.Jobs[i]
		if seen[j.Job] {
			return fmt.Errorf("job %s is repeated", document.Quote(j.Job))
		}
		seen[j.Job] = true
		if err := isPinned(d.Progdefs, j.Progdef, j.Revision); err != nil {
			return fmt.Errorf("job %s: %w", document.Quote(j.Job), err)
		}
		if err := j.consistent(flow, d.Stream); err != nil {
			return fmt.Errorf("job %s: %w", document.Quote(j.Job), err)
		}
	}
	for _, e := range d.Edges {
		for _, end := range []string{e.From, e.To} {
			node, _, _ := strings.Cut(end, ".")
			if end == "" || document.ValidName(node) && !seen[node] && !outside(node, e.Const) {
				return fmt.Errorf("edge %s -> %s: one end is not at a job", document.Quote(e.From), document.Quote(e.To))
			}
		}
	}
	return consistentAddresses(flow, d.Stream, d.Inputs, d.Outputs, d.Panics)
}

// edgesOf returns the prefix of the subjects on which a stream stores a flow's edges, "" for other streams.
func edgesOf(stream, flow string) string {
	if stream == OldFlowStream(flow) {
		return "edge." + flow + "."
	}
	shard, ok := strings.CutPrefix(stream, EdgeStreamPrefix)
	if !ok || isName("shard", shard) != nil {
		return ""
	}
	return strings.TrimSuffix(FlowEdges(shard, flow), ">")
}

// outside reports whether an end of an edge is not at a job: an input or output of the flow, or a constant.
func outside(node string, constant *Count) bool {
	return node == "inputs" || node == "outputs" || constant != nil
}

func (j *Job) consistent(flow, stream string) error {
	if err := isName("its name", j.Job); err != nil {
		return err
	}
	subject := func(t Type) string { return string(t) + "." + flow + "." + j.Job }
	switch {
	case j.Flow != flow:
		return fmt.Errorf("it belongs to flow %s", document.Quote(j.Flow))
	case j.Started != subject(TypeJobStarted), j.Done != subject(TypeJobDone), j.Panic != subject(TypeJobPanic),
		j.Health != HealthSubject(flow, j.Job), !slices.Contains(StopSubjects(stream, flow), j.Stop):
		return errors.New("it has subjects of another job")
	}
	return consistentAddresses(flow, stream, j.Inputs, j.Outputs)
}

func consistentAddresses(flow, stream string, all ...map[string]Address) error {
	prefix := edgesOf(stream, flow)
	for _, addresses := range all {
		for port, a := range addresses {
			if prefix == "" || a.Stream != stream || !strings.HasPrefix(a.Subject, prefix) || a.Slots < 0 {
				return fmt.Errorf("the address of %s is not the flow's", document.Quote(port))
			}
			if a.Sealed != nil {
				return fmt.Errorf("the address of %s has a key", document.Quote(port))
			}
		}
	}
	return nil
}
