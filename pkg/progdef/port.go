package progdef

import "encoding/json"

// Every node has two ports that no progdef may declare; see docs/adr/0011-panic-and-stop-ports.md.
const (
	// PanicPort is an output: one record, a job-failure.json, if the node's job panics, then the end.
	PanicPort = "panic"
	// StopPort is an input of any typename: its first record ends the node.
	StopPort = "stop"
)

// PanicType is the typename of PanicPort.
const PanicType = "json"

// UnmarshalJSON reads a port from an object or from a bare typename.
func (p *Port) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*p = Port{}
		return json.Unmarshal(b, &p.Type)
	}
	type plain Port
	return json.Unmarshal(b, (*plain)(p))
}
