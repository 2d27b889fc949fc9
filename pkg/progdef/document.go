package progdef

import (
	"encoding/json"

	"github.com/dagyo/dagyo/pkg/document"
)

// A Document is a progdef as written by its publisher, with every default filled in
// (schemas/progdef.json documents each field and default).
type Document struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	TypeParams  []string        `json:"typeParams,omitempty"`
	Inputs      map[string]Port `json:"inputs"`
	Outputs     map[string]Port `json:"outputs"`
	Image       string          `json:"image,omitempty"`
	Build       *Build          `json:"build,omitempty"`
	Command     []string        `json:"command,omitempty"`
	Code        string          `json:"code,omitempty"`
	// Flow is a flow with open ends, which takes the place of a program. It is nil for a program.
	Flow      json.RawMessage   `json:"flow,omitempty"`
	Scaling   Scaling           `json:"scaling"`
	Resources Resources         `json:"resources"`
	Machine   Machine           `json:"machine"`
	Env       map[string]string `json:"env,omitempty"`
	EnvFrom   []EnvSource       `json:"envFrom,omitempty"`
	Health    Health            `json:"health"`
	Drain     Drain             `json:"drain"`
	// Tap is false if samples of what passes on the ports must not be shown; nil is true.
	Tap *bool `json:"tap,omitempty"`
}

// Parts returns the nodes of the flow that takes the place of a program, each with its progdef; that of a constant is "".
func (d Document) Parts() map[string]string {
	var flow struct {
		Nodes map[string]struct {
			Progdef string `json:"progdef"`
		} `json:"nodes"`
	}
	_ = json.Unmarshal(d.Flow, &flow) // a program has none; what cannot be read was reported when it was checked
	out := make(map[string]string, len(flow.Nodes))
	for name, n := range flow.Nodes {
		out[name] = n.Progdef
	}
	return out
}

// Tappable reports whether samples of what passes on the ports may be shown.
func (d Document) Tappable() bool { return d.Tap == nil || *d.Tap }

// A Port is one typed end of a stream. In a document it may be written as a bare typename.
type Port struct {
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
}

// Build describes how to build the image from source; `dagyo progdef build` reads it.
type Build struct {
	Context    string            `json:"context,omitempty"`
	Dockerfile string            `json:"dockerfile,omitempty"`
	Args       map[string]string `json:"args,omitempty"`
}

// Scaling bounds the executors of one revision.
type Scaling struct {
	// JobsPerExecutor is the number of jobs that one executor runs at the same time.
	JobsPerExecutor int `json:"jobsPerExecutor"`
	MinExecutors    int `json:"minExecutors"`
	MaxExecutors    int `json:"maxExecutors"`
	// IdleTimeout is how long an executor above MinExecutors is kept without a job.
	IdleTimeout document.Duration `json:"idleTimeout"`
}

// Resources are Kubernetes-style quantities by resource name.
type Resources struct {
	Requests map[string]string `json:"requests,omitempty"`
	Limits   map[string]string `json:"limits,omitempty"`
}

// Machine selects the machines that may run the progdef.
type Machine struct {
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	Tolerations  []Toleration      `json:"tolerations,omitempty"`
	// Affinity is Kubernetes' affinity, as written.
	Affinity          map[string]any `json:"affinity,omitempty"`
	PriorityClassName string         `json:"priorityClassName,omitempty"`
	RuntimeClassName  string         `json:"runtimeClassName,omitempty"`
}

// IsZero reports whether any machine is allowed.
func (m Machine) IsZero() bool {
	return len(m.NodeSelector) == 0 && len(m.Tolerations) == 0 && len(m.Affinity) == 0 &&
		m.PriorityClassName == "" && m.RuntimeClassName == ""
}

// A Toleration is Kubernetes' toleration.
type Toleration struct {
	Key               string `json:"key,omitempty"`
	Operator          string `json:"operator,omitempty"`
	Value             string `json:"value,omitempty"`
	Effect            string `json:"effect,omitempty"`
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}

// An EnvSource is a named set of environment variables kept outside the document. Exactly one
// field is set.
type EnvSource struct {
	Secret    string `json:"secret,omitempty"`
	ConfigMap string `json:"configMap,omitempty"`
}

// Health is how often a job sends heartbeats, and how long it may be silent.
type Health struct {
	Interval document.Duration `json:"interval"`
	Timeout  document.Duration `json:"timeout"`
}

// Drain is how long an executor may continue its jobs after SIGTERM.
type Drain struct {
	GracePeriod document.Duration `json:"gracePeriod"`
}

// A Pinned progdef is a document together with the revision that its content hashes to.
type Pinned struct {
	Revision string   `json:"revision"`
	Document Document `json:"document"`
}
