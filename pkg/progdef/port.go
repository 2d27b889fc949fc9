package progdef

import "encoding/json"

// UnmarshalJSON reads a port from an object or from a bare typename.
func (p *Port) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*p = Port{}
		return json.Unmarshal(b, &p.Type)
	}
	type plain Port
	return json.Unmarshal(b, (*plain)(p))
}
