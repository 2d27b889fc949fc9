package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A Bridge carries a subject between the two accounts of a tenant.
type Bridge struct {
	Subject string
	// Local is the subject in the account of edges, if it is another one.
	Local string
	// Out is true for messages from the account of events to that of edges, false for requests in the other direction.
	Out bool
	// Many is true for requests with more than one answer.
	Many bool
	Why  string
}

// Bridges returns what passes between the two accounts of a tenant.
func Bridges() []Bridge {
	out := []Bridge{
		{Subject: contract.FromAny("job.*.*.*"), Why: "events of executors"},
		{Subject: contract.FromAny("executor.draining.*.*"), Why: "events of executors"},
		{Subject: contract.NameSubject("*"), Why: "names of executors"},
		{Subject: API + "DIRECT.GET." + contract.StreamLeases + "." + contract.NameSubject("*"), Why: "names of executors"},
		{Subject: "$JS.API.CONSUMER.MSG.NEXT." + contract.StreamJobs + ".*", Many: true, Why: "jobs"},
		{Subject: "$JS.ACK." + contract.StreamJobs + ".>", Why: "jobs"},
		{Subject: "$JS.ACK.*.*." + contract.StreamJobs + ".>", Why: "jobs"},
		{Subject: "$JS.API.DIRECT.GET." + contract.StreamEvents, Many: true, Why: "stored events"},
		{Subject: "$JS.API.DIRECT.GET." + contract.StreamEvents + ".>", Why: "stored events"},
		{Subject: API + "STREAM.MSG.GET." + contract.StreamEvents, Local: BridgedAPI + "STREAM.MSG.GET." + contract.StreamEvents, Why: "stored events"},
		{Subject: API + "STREAM.INFO." + contract.StreamEvents, Local: BridgedAPI + "STREAM.INFO." + contract.StreamEvents, Why: "how far services are behind"},
		{Subject: API + "CONSUMER.LIST." + contract.StreamEvents, Local: BridgedAPI + "CONSUMER.LIST." + contract.StreamEvents, Why: "how far services are behind"},
		{Subject: API + "STREAM.MSG.DELETE." + contract.StreamEvents, Local: BridgedAPI + "STREAM.MSG.DELETE." + contract.StreamEvents, Why: "operators delete events that stop a service"},
		{Subject: "ask.>", Why: "questions"},
		{Subject: "$SRV.>", Many: true, Why: "which services run"},
	}
	for _, e := range contract.Table {
		for _, s := range e.Patterns() {
			if sender, _ := contract.SplitSender(s); e.Command || sender.Operator {
				out = append(out, Bridge{Subject: s, Why: "commands"})
			}
		}
	}
	for _, s := range heard {
		out = append(out, Bridge{Subject: s, Out: true, Why: "events"})
	}
	return out
}

// Limits limit an account; -1 means no limit.
type Limits struct {
	Memory, Disk       int64
	Streams, Consumers int64
	Connections        int64
	Payload            int64
}

// Unlimited returns no limits.
func Unlimited() Limits { return Limits{-1, -1, -1, -1, -1, -1} }

// A Tenant is a set of keys: those of its accounts, and those that sign the credentials of each role in them.
type Tenant struct {
	Name string
	// Accounts are the public keys of the accounts, Signers those of the roles.
	Accounts map[Account]string
	Signers  map[Account]map[Role]string
	Limits   map[Account]Limits
}

// Claims returns the claims of one of the tenant's accounts, to be signed by the operator.
func (t Tenant) Claims(a Account) (*jwt.AccountClaims, error) {
	c := jwt.NewAccountClaims(t.Accounts[a])
	c.Name = t.Name + "." + string(a)
	l, ok := t.Limits[a]
	if !ok {
		l = Unlimited()
	}
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: l.Memory, DiskStorage: l.Disk, Streams: l.Streams, Consumer: l.Consumers,
	}
	c.Limits.Conn, c.Limits.Payload = l.Connections, l.Payload
	c.DefaultPermissions.Pub.Deny.Add(">") // of credentials without a role, of which there are none
	c.DefaultPermissions.Sub.Deny.Add(">")
	for _, b := range Bridges() {
		kind, response := jwt.Service, jwt.ResponseType(jwt.ResponseTypeSingleton)
		if b.Out {
			kind, response = jwt.Stream, ""
		} else if b.Many {
			response = jwt.ResponseTypeStream
		}
		if a == Events {
			c.Exports.Add(&jwt.Export{Name: b.Subject, Subject: jwt.Subject(b.Subject), Type: kind, ResponseType: response})
		} else {
			c.Imports.Add(&jwt.Import{Name: b.Subject, Subject: jwt.Subject(b.Subject), Type: kind, Account: t.Accounts[Events], LocalSubject: jwt.RenamingSubject(b.Local)})
		}
	}
	for _, r := range Roles() {
		if !slices.Contains(r.Accounts(), a) {
			continue
		}
		scope := jwt.NewUserScope()
		scope.Key, scope.Role = t.Signers[a][r], string(r)
		publish, subscribe := Permissions(r, a)
		scope.Template.Pub.Allow.Add(publish...)
		scope.Template.Sub.Allow.Add(subscribe...)
		c.SigningKeys.AddScopedSigner(scope)
	}
	return c, validate(c)
}

func validate(c *jwt.AccountClaims) error {
	found := jwt.CreateValidationResults()
	c.Validate(found)
	var why []string
	for _, i := range found.Issues {
		if i.Blocking {
			why = append(why, i.Description)
		}
	}
	if len(why) > 0 {
		return fmt.Errorf("the claims of account %s are invalid: %s", c.Name, strings.Join(why, "; "))
	}
	return nil
}
