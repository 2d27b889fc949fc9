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

func TestExpand(t *testing.T) {
	c := Call{Subjects: "DIRECT.GET.EDGES-{shard}.edges.>"}
	if got := c.Expand(map[string]string{"shard": "0-a"}); got != "$JS.API.DIRECT.GET.EDGES-0-a.edges.>" {
		t.Error(got)
	}
}
