package access

import (
	"strings"
	"testing"
)

// No role of this package creates or changes a stream or a consumer, or reads a description of a stream's subjects,
// except that an operator may delete an event.
func TestNoRoleCreates(t *testing.T) {
	for _, role := range append(Persons(), Executor) {
		for _, c := range Calls(role) {
			for _, forbidden := range []string{
				"CONSUMER.CREATE", "CONSUMER.DURABLE", "CONSUMER.DELETE", "STREAM.CREATE", "STREAM.UPDATE",
				"STREAM.DELETE", "STREAM.PURGE", "STREAM.LIST", "STREAM.NAMES",
			} {
				if strings.HasPrefix(c.Subjects, forbidden) {
					t.Errorf("%s: %s", role, c.Subjects)
				}
			}
			if strings.HasPrefix(c.Subjects, "STREAM.INFO") && role != Operator {
				t.Errorf("%s: %s", role, c.Subjects)
			}
			if c.Why == "" || strings.Contains(c.Subjects, "*") && !strings.Contains(c.Subjects, ".*") {
				t.Errorf("%s: %+v", role, c)
			}
		}
	}
}

func TestAllows(t *testing.T) {
	for subject, want := range map[string]bool{
		"$JS.API.CONSUMER.MSG.NEXT.JOBS.greet-r1":        true,
		"$JS.API.CONSUMER.MSG.NEXT.JOBS":                 false,
		"$JS.API.CONSUMER.MSG.NEXT.EVENTS.x":             false,
		"$JS.API.DIRECT.GET.EDGES-0.edges.0.f.credit.1":  true,
		"$JS.API.DIRECT.GET.EDGES-0":                     false,
		"$JS.API.DIRECT.GET.EDGES-.edges.0.f.credit.1":   false,
		"$JS.API.DIRECT.GET.EVENTS.job.started.f.a.by.x": true,
		"$JS.API.DIRECT.GET.EVENTS.flow.submit":          false,
		"$JS.API.CONSUMER.CREATE.JOBS.greet-r1":          false,
		"$JS.API.CONSUMER.INFO.EDGES-0.none":             true,
		"$JS.API.CONSUMER.INFO.EDGES-0.other":            false,
		"$JS.API.DIRECT.GET.LEASES.name.x":               true,
		"$JS.API.DIRECT.GET.LEASES.lease.planner":        false,
		"$JS.API.STREAM.MSG.GET.LEASES":                  false,
	} {
		if got := Allows(Executor, subject); got != want {
			t.Errorf("%s: %v", subject, got)
		}
	}
}

func TestExpand(t *testing.T) {
	c := Call{Subjects: "DIRECT.GET.EDGES-{shard}.edges.>"}
	if got := c.Expand(map[string]string{"shard": "0-a"}); got != "$JS.API.DIRECT.GET.EDGES-0-a.edges.>" {
		t.Error(got)
	}
}
