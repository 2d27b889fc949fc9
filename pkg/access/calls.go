package access

import (
	"slices"
	"strings"
)

// A right to create consumers is a right to publish anywhere, since a push consumer delivers where its creator likes.
// A right to create, change, purge or delete streams is a right to everybody's data, and a stream's description lists
// its subjects. So only services have those; an operator reads the description of EVENTS and deletes single messages of
// it. All others read stored messages by single requests.

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

var logCalls = []Call{
	{"STREAM.MSG.GET.LOGS", "what jobs log"},
	{"DIRECT.GET.LOGS", "what jobs log, many lines at a time"},
}

var personCalls = slices.Concat(eventCalls, logCalls)

var edgeCalls = []Call{
	{"DIRECT.GET.EDGES-{shard}.edges.>", "stored frames, and the last credit of an edge"},
	{"CONSUMER.INFO.EDGES-{shard}.none", "whether the stream of an edge exists: there is no such consumer"},
}

var calls = map[Role][]Call{
	Viewer:    personCalls,
	User:      slices.Concat(personCalls, edgeCalls),
	Publisher: slices.Concat(personCalls, edgeCalls),
	Operator: slices.Concat(personCalls, edgeCalls, []Call{
		{"STREAM.INFO.EVENTS", "`dagyo up`: the events that services have still to read; `dagyo events skip`"},
		{"CONSUMER.LIST.EVENTS", "`dagyo up`: the events that services have still to read"},
		{"STREAM.MSG.DELETE.EVENTS", "`dagyo events skip`"},
	}),
	Executor: slices.Concat(edgeCalls, []Call{
		{"CONSUMER.MSG.NEXT.JOBS.{mailbox}", "jobs: the planner creates the mailbox"},
		{"DIRECT.GET.EVENTS.job.>", "its own job.started, job.done and job.panic, if the answer to one was lost"},
		{"DIRECT.GET.LEASES.name.{executor}", "its own name, if the answer to its claim was lost"},
	}),
}

// Calls returns the calls that a role makes.
func Calls(r Role) []Call { return slices.Clone(calls[r]) }

// permission returns the subjects of a call for the account of clients, where a wildcard stands for a whole token. Only
// streams with edges have subjects of edges.
func (c Call) permission() string {
	return c.pattern(map[string]string{"mailbox": mailbox, "executor": self})
}

// pattern returns the subjects of a call in the account of clients, with * for the variables that have no value.
func (c Call) pattern(values map[string]string) string {
	tokens := strings.Split(BridgedAPI+c.Subjects, ".")
	for i, token := range tokens {
		prefix, name, variable := strings.Cut(token, "{")
		if !variable {
			continue
		}
		if tokens[i] = values[strings.TrimSuffix(name, "}")]; tokens[i] == "" || prefix != "" {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// API is the prefix of all calls, BridgedAPI that in the account of clients, which has no JetStream of its own.
const (
	API        = "$JS.API."
	BridgedAPI = "api."
)

// matches reports whether a subject matches a pattern.
func matches(pattern, subject string) bool {
	want, got := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range want {
		switch {
		case token == ">":
			return len(got) > i
		case i >= len(got), token != "*" && token != got[i]:
			return false
		}
	}
	return len(want) == len(got)
}

// Expand returns the pattern with values for its variables, by name.
func (c Call) Expand(values map[string]string) string {
	out := API + c.Subjects
	for name, value := range values {
		out = strings.ReplaceAll(out, "{"+name+"}", value)
	}
	return out
}
