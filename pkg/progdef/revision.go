package progdef

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// identity is what identifies a revision: executors are shared by documents that agree on it. Empty
// fields are omitted, so that adding a field does not change the revision of progdefs without it.
type identity struct {
	Image           string            `json:"image,omitempty"`
	Build           *Build            `json:"build,omitempty"`
	Command         []string          `json:"command,omitempty"`
	Code            string            `json:"code,omitempty"`
	Inputs          map[string]string `json:"inputs,omitempty"`
	Outputs         map[string]string `json:"outputs,omitempty"`
	TypeParams      []string          `json:"typeParams,omitempty"`
	Env             map[string]string `json:"env,omitempty"`
	EnvFrom         []EnvSource       `json:"envFrom,omitempty"`
	Requests        map[string]string `json:"requests,omitempty"`
	Limits          map[string]string `json:"limits,omitempty"`
	Machine         *Machine          `json:"machine,omitempty"`
	JobsPerExecutor int               `json:"jobsPerExecutor"`
	Flow            json.RawMessage   `json:"flow,omitempty"`
}

// Revision returns 16 hexadecimal digits of the SHA-256 of what the progdef runs, where, with which resources
// and on which ports. Descriptions, the number of executors, health and drain do not count: they may
// change while executors are running.
func (d Document) Revision() string {
	id := identity{
		Image: d.Image, Build: d.Build, Command: d.Command, Code: d.Code,
		Inputs: typenames(d.Inputs), Outputs: typenames(d.Outputs), TypeParams: d.TypeParams,
		Env: d.Env, EnvFrom: d.EnvFrom,
		Requests: d.Resources.Requests, Limits: d.Resources.Limits,
		JobsPerExecutor: d.Scaling.JobsPerExecutor, Flow: d.Flow,
	}
	if !d.Machine.IsZero() {
		id.Machine = &d.Machine
	}
	// Strings, numbers, maps of them and parsed JSON can always be marshalled, and maps are sorted by key.
	canonical, _ := json.Marshal(id)
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:8])
}

// typenames returns the canonical typename of each port.
func typenames(ports map[string]Port) map[string]string {
	out := make(map[string]string, len(ports))
	for name, p := range ports {
		out[name] = canonical(p.Type)
	}
	return out
}

// canonical returns a typename without spaces; a malformed one is unchanged.
func canonical(typename string) string {
	t, err := ParseTypename(typename)
	if err != nil {
		return typename
	}
	return t.String()
}

// Pin returns the document together with its revision.
func (d Document) Pin() Pinned { return Pinned{Revision: d.Revision(), Document: d} }
