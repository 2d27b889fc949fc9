// Package access says what each role may do on NATS: here, which calls of the JetStream API it makes.
//
// A right to create consumers is a right to publish anywhere, since a push consumer delivers where its creator likes.
// A right to create, change, purge or delete streams is a right to everybody's data, and a stream's description lists
// its subjects. So only services have those, and operators a few. All others read stored messages by single requests.
//
// Jobs of the older form (docs/protocol.md), which purge a stream of their own flow, are not in the table: they end
// before roles are in force.
package access

import (
	"slices"
	"strings"
)

// A Call is a set of calls of the JetStream API.
type Call struct {
	// Subjects is a pattern of subjects behind "$JS.API.", with the wildcards of NATS. {shard} stands for the name of a
	// shard in EDGES-{shard}, {mailbox} for an executor's mailbox.
	Subjects string
	// Why says what the role needs it for.
	Why string
}

var eventCalls = []Call{
	{"STREAM.MSG.GET.EVENTS", "feeds of events; single events"},
	{"DIRECT.GET.EVENTS", "feeds of events, many at a time"},
	{"STREAM.MSG.GET.OBJ_data", "the data of events that are larger than a message"},
}

var edgeCalls = []Call{
	{"DIRECT.GET.EDGES-{shard}.edges.>", "stored frames, and the last credit of an edge"},
	{"CONSUMER.INFO.EDGES-{shard}.none", "whether the stream of an edge exists: there is no such consumer"},
}

var calls = map[Role][]Call{
	Viewer:    eventCalls,
	User:      slices.Concat(eventCalls, edgeCalls),
	Publisher: slices.Concat(eventCalls, edgeCalls),
	Operator: slices.Concat(eventCalls, edgeCalls, []Call{
		{"STREAM.INFO.EVENTS", "`dagyo up`: the events that services have still to read; `dagyo events skip`"},
		{"CONSUMER.LIST.EVENTS", "`dagyo up`: the events that services have still to read"},
		{"STREAM.MSG.DELETE.EVENTS", "`dagyo events skip`"},
	}),
	Executor: slices.Concat(edgeCalls, []Call{
		{"CONSUMER.MSG.NEXT.JOBS.{mailbox}", "jobs: the planner creates the mailbox"},
		{"DIRECT.GET.EVENTS.job.>", "its own job.started, job.done and job.panic, if the answer to one was lost"},
		{"STREAM.MSG.GET.LEASES", "its own name, if the answer to its claim was lost"},
		{"STREAM.MSG.GET.EDGES-{shard}", "whether its flow is over, if a replica has no stop"},
	}),
}

// Calls returns the calls that a role makes.
func Calls(r Role) []Call { return slices.Clone(calls[r]) }

// apiPrefix is the prefix of all calls.
const apiPrefix = "$JS.API."

// Allows reports whether a role makes a call of the JetStream API on a subject.
func Allows(r Role, subject string) bool {
	rest, is := strings.CutPrefix(subject, apiPrefix)
	return is && slices.ContainsFunc(calls[r], func(c Call) bool { return matches(c.Subjects, rest) })
}

// matches reports whether a subject matches a pattern.
func matches(pattern, subject string) bool {
	want, got := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range want {
		switch {
		case token == ">":
			return len(got) > i
		case i >= len(got) || !matchesToken(token, got[i]):
			return false
		}
	}
	return len(want) == len(got)
}

func matchesToken(want, got string) bool {
	prefix, _, variable := strings.Cut(want, "{")
	if variable {
		return strings.HasPrefix(got, prefix) && len(got) > len(prefix)
	}
	return want == got || want == "*"
}

// Expand returns the pattern with values for its variables, by name.
func (c Call) Expand(values map[string]string) string {
	out := apiPrefix + c.Subjects
	for name, value := range values {
		out = strings.ReplaceAll(out, "{"+name+"}", value)
	}
	return out
}
