package contract

import (
	"fmt"
	"strings"
)

// Check reports an error where the event refers to what it does not hold. Services check what they read: an event
// of a service may be of another version, or of somebody else.
func (v *FlowValidated) Check() error {
	for name, n := range v.Flow.Nodes {
		if p, ok := v.Progdefs[n.Progdef]; !ok || p.Revision != n.Revision {
			return fmt.Errorf("node %q is of progdef %q, revision %q, which the event does not hold", name, n.Progdef, n.Revision)
		}
	}
	for n, e := range v.Flow.Edges {
		for _, end := range []string{e.From, e.To} {
			node, _, _ := strings.Cut(end, ".")
			if _, ok := v.Flow.Nodes[node]; end != "" && !ok {
				return fmt.Errorf("edge %d ends at %q; there is no such node", n, end)
			}
		}
	}
	return nil
}

// Check reports an error where the event refers to what it does not hold.
func (p *FlowPlanned) Check() error {
	for _, j := range p.Jobs {
		if have, ok := p.Progdefs[j.Progdef]; !ok || have.Revision != j.Revision {
			return fmt.Errorf("job %q is of progdef %q, revision %q, which the event does not hold", j.Job, j.Progdef, j.Revision)
		}
	}
	return nil
}
