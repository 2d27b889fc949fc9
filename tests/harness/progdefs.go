package harness

import (
	"encoding/json"
	"testing"

	"github.com/dagyo/dagyo/executor/std"
)

// ApplyStandard adds all standard progdefs to the catalogue.
func (c *Client) ApplyStandard(t testing.TB) {
	t.Helper()
	for _, p := range std.Standard() {
		c.Apply(t, string(p.Document))
	}
}

// Faulty is the progdef of a faulty program. Its health timeout is short, to keep tests fast.
type Faulty struct {
	Name string
	// In and Out are set if it has the port "in" and the port "out".
	In, Out bool
	Slots   int
	Max     int
	// Idle and Silence are durations: how long an idle executor is kept, and how long a job may be silent.
	Idle, Silence string
	Env           map[string]string
}

// ApplyFaulty adds the progdef of a faulty program to the catalogue, under the program's name.
func (c *Client) ApplyFaulty(t testing.TB, f Faulty) {
	t.Helper()
	doc := map[string]any{
		"name": f.Name, "inputs": map[string]string{}, "outputs": map[string]string{},
		"command": []string{"dagyo", "faulty", f.Name},
		"scaling": map[string]any{
			"jobsPerExecutor": max(f.Slots, 1), "maxExecutors": max(f.Max, 1), "idleTimeout": def(f.Idle, "5s"),
		},
		"health": map[string]string{"interval": "200ms", "timeout": def(f.Silence, "1s")},
	}
	if f.Env != nil {
		doc["env"] = f.Env
	}
	if f.In {
		doc["inputs"] = map[string]string{"in": "utf8-string"}
	}
	if f.Out {
		doc["outputs"] = map[string]string{"out": "utf8-string"}
	}
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, string(body))
}

func def(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
