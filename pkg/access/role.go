package access

import (
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A Role is what a credential is for.
type Role string

// The roles of persons and their programs. Each has the rights of those before it, but a viewer.
const (
	Viewer    Role = "viewer"    // reads events, statuses, logs and the catalogue
	User      Role = "user"      // submits, feeds, reads and cancels flows
	Publisher Role = "publisher" // also changes the catalogue and webhooks
	Operator  Role = "operator"  // also cancels the flows of others
)

// The roles of Dagyo's own processes.
const (
	Executor   Role = "executor"
	Validator  Role = "validator"
	Planner    Role = "planner"
	Spawner    Role = "spawner"
	Aggregator Role = "panic-aggregator"
)

// Roles returns all roles.
func Roles() []Role {
	return append(Persons(), Executor, Validator, Planner, Spawner, Aggregator)
}

// Persons returns the roles of persons.
func Persons() []Role { return []Role{Viewer, User, Publisher, Operator} }

// Services returns the roles of services.
func Services() []Role { return []Role{Validator, Planner, Spawner, Aggregator} }

// An Account is one of the two accounts of a tenant.
type Account string

// The accounts of a tenant.
const (
	Inside  Account = "services" // all streams, and services
	Outside Account = "clients"  // persons and executors
)

// Record is an account of a tenant that nobody connects to: its claims describe the tenant (package tenancy).
const Record Account = "tenant"

// Accounts returns the accounts of a tenant that are in use.
func Accounts() []Account { return []Account{Inside, Outside} }

// Account returns the account that a role connects to.
func (r Role) Account() Account {
	if slices.Contains(Services(), r) {
		return Inside
	}
	return Outside
}

// Templates that the server replaces by what the credential says.
const (
	self    = "{{name()}}"
	mailbox = "{{tag(" + TagMailbox + ")}}"
)

// TagMailbox is the tag of an executor's credential that names its mailbox's consumer.
const TagMailbox = "mailbox"

// A Right is a set of subjects that roles may publish on or subscribe to.
type Right struct {
	Roles     []Role
	Publish   []string
	Subscribe []string
	Why       string
}

var (
	drivers    = []Role{User, Publisher, Operator}
	publishers = []Role{Publisher, Operator}
	readers    = append(slices.Clone(drivers), Executor)
)

// Rights returns what each role may do. Whatever is not in it is refused.
func Rights() []Right {
	return append(append(rightsOfPersons(), rightsOfExecutors()...), rightsOfServices()...)
}

func rightsOfPersons() []Right {
	return append(rightsToCall(Persons()...), []Right{
		{Persons(), nil, []string{InboxPrefix(User, self) + ".>"}, "answers to own requests"},
		{Persons(), append(proven("ask.*", "ask.*.*"), "ask.*", "ask.*.*", "$SRV.PING", "$SRV.PING.>", "$SRV.INFO.>", "$SRV.STATS.>"), nil, "ask the services"},
		{Persons(), nil, append([]string{"job.*.*.>", contract.FromAny("executor.draining.*.*")}, heard...), "hear events"},
		{Persons(), nil, []string{contract.FromAny(contract.LogSubjects)}, "hear that jobs log"},
		{drivers, []string{"$O." + contract.BucketData + ".>"}, nil, "store the data of large events"},
		{drivers, proven(string(contract.TypeFlowSubmit), string(contract.TypeFlowCancel)), nil, "submit and cancel flows"},
		{drivers, proven(contract.ClientSubjects, contract.ReleaseSubjects), nil, "heartbeats of clients, and releases of outputs"},
		{
			[]Role{Operator}, asOperator(contract.TypeFlowCancel, contract.TypeDeadLetter), nil,
			"cancel the flows of others, and say which events are skipped",
		},
		{
			publishers,
			proven(string(contract.TypeProgdefApply), string(contract.TypeProgdefRemove), string(contract.TypeTypeApply)), nil,
			"change the catalogue",
		},
		{
			publishers,
			proven(string(contract.TypeWebhookApply), string(contract.TypeWebhookRemove), string(contract.TypeWebhookRotate), string(contract.TypeWebhookTest)),
			nil, "change and test webhooks",
		},
		{
			readers, proven(contract.EdgeFrames, contract.EdgeCredits), []string{contract.FromAny(contract.EdgeCredits)}, "write and read sealed edges",
		},
		{
			readers, []string{contract.EdgeFrames, contract.EdgeCredits, "direct.*.*.*", "_INBOX.*.*.*.credit", "_INBOX.*.*.*.echo", "_INBOX.*.*.*.*.credit", "_INBOX.*.*.*.*.echo"},
			[]string{contract.EdgeCredits, "direct.*.*.*"}, "write and read edges",
		},
	}...)
}

// rightsToCall returns the rights to the calls of the JetStream API that roles make.
func rightsToCall(roles ...Role) (out []Right) {
	for _, r := range roles {
		for _, c := range Calls(r) {
			out = append(out, Right{Roles: []Role{r}, Publish: []string{c.permission()}, Why: c.Why})
		}
	}
	return out
}

func rightsOfExecutors() []Right {
	stop := []string{"edges.*.*.stop", "edges.*.*.last-stop"}
	return append(rightsToCall(Executor), []Right{
		{[]Role{Executor}, nil, []string{InboxPrefix(Executor, self) + ".>"}, "answers to own requests"},
		{
			[]Role{Executor},
			[]string{
				contract.StartedBy("job.started.*.*", mailbox, self), by("job.done.*.*"), by("job.panic.*.*"), by("executor.draining.*." + self),
				contract.NameSubject(self),
			},
			nil, "say what happens to its jobs and to itself",
		},
		{[]Role{Executor}, []string{by(contract.AskJobExecutor)}, nil, "ask who is at the other end of a sealed edge"},
		{[]Role{Executor}, []string{by(contract.LogSubjects)}, nil, "what its jobs log"},
		{[]Role{Executor}, []string{by(contract.HealthSubjects)}, stop, "heartbeats of its jobs, and their stops"},
		{
			[]Role{Executor},
			acknowledgements(mailbox), nil,
			"acknowledge jobs of its mailbox",
		},
	}...)
}

// acknowledgements returns the subjects of acknowledgements of a consumer's jobs, in both forms, with all of their tokens:
// the second one could be a subject of the first one, of another consumer.
func acknowledgements(consumer string) []string {
	box := contract.StreamJobs + "." + consumer
	return []string{"$JS.ACK." + box + ".*.*.*.*.*", "$JS.ACK.*.*." + box + ".*.*.*.*.*.>"}
}

// heard are the subjects of all events that anybody may hear.
var heard = []string{"flow.*.*", "job.*.*.*", "executor.*.*.*", "progdef.*.*", "type.*.*", "webhook.*.*", "deadletter", "deadletter.*"}

// proven returns the forms of subjects that prove who publishes on them. Nobody has a right to the plain forms, which
// prove nothing.
func proven(subjects ...string) (out []string) {
	for _, s := range subjects {
		out = append(out, by(s))
	}
	return out
}

// by returns the form of a subject that proves who publishes on it.
func by(subject string) string { return contract.Sender{Name: self}.On(subject) }

// asOperator returns the form of subjects that proves that an operator publishes on them.
func asOperator(types ...contract.Type) (out []string) {
	for _, t := range types {
		out = append(out, contract.Sender{Name: self, Operator: true}.On(string(t)))
	}
	return out
}

// InboxPrefix is the prefix of the subjects on which a role gets its answers.
func InboxPrefix(r Role, name string) string {
	switch {
	case r == Executor:
		return "_INBOX.executor." + name
	case slices.Contains(Services(), r):
		return "_INBOX.service." + string(r)
	}
	return "_INBOX.person." + name
}

// Permissions returns the subjects that a role may publish on and subscribe to.
func Permissions(r Role) (publish, subscribe []string) {
	for _, right := range Rights() {
		if slices.Contains(right.Roles, r) {
			publish, subscribe = append(publish, right.Publish...), append(subscribe, right.Subscribe...)
		}
	}
	slices.Sort(publish)
	slices.Sort(subscribe)
	return slices.Compact(publish), slices.Compact(subscribe)
}

// Publishers returns the roles of persons that may publish on a subject. A role that has the rights of another one
// follows it.
func Publishers(subject string) (out []Role) {
	for _, r := range Persons() {
		allowed, _ := Permissions(r)
		if slices.ContainsFunc(allowed, func(pattern string) bool {
			return matches(strings.ReplaceAll(pattern, self, "*"), subject)
		}) {
			out = append(out, r)
		}
	}
	return out
}
