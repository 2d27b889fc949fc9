package planner

import (
	"fmt"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/service"
)

// mostKeys bounds the keys in one answer, which must fit into a message of 1 MB. The flow's own ends are first.
const mostKeys = 5000

// askKeys answers a flow's id with the keys of its edges, if the owner of the flow asks.
func (w *wiring) askKeys(_ *State, id []byte) (any, error) {
	flow := string(id)
	// The client may have heard of the plan before this replica.
	return service.After[*State]{
		Ready: func(s *State) bool { r := s.runs[flow]; return r != nil && r.Planned },
		Ask: func(s *State, _ []byte) (any, error) {
			r := s.runs[flow]
			if r == nil || !r.Planned {
				return nil, &service.AskError{Code: "404", Message: "flow not found, or not planned: " + document.Quote(flow)}
			}
			owner, edges := r.Owner, s.sealed(flow, r)
			return service.For(func(who contract.Sender) (any, error) {
				if who.Name != owner {
					return nil, &service.AskError{Code: "403", Message: fmt.Sprintf(
						"flow %s belongs to %s: only its owner gets the keys of its edges", flow, document.Quote(owner))}
				}
				return w.keys(edges)
			}), nil
		},
	}, nil
}

// sealed returns the addresses of a flow's sealed edges.
func (s *State) sealed(flow string, r *run) (out []contract.Address) {
	out = append(append(out, r.Inputs...), r.Ends...)
	if len(out) == 0 || out[0].Salt == "" {
		return nil
	}
	shard, salt := strings.TrimPrefix(r.Stream, contract.EdgeStreamPrefix), out[0].Salt
	for n := range min(r.Edges, mostKeys) {
		out = append(out, contract.Address{Subject: contract.EdgeSubject(shard, flow, n), Salt: salt})
	}
	return out[:min(len(out), mostKeys)]
}

func (w *wiring) keys(edges []contract.Address) (any, error) {
	out := contract.FlowKeys{Keys: make(map[string]contract.Key, len(edges))}
	for _, a := range edges {
		key, err := w.secret.Key(a)
		if err != nil {
			return nil, err
		}
		out.Keys[a.Subject] = key
	}
	return out, nil
}
