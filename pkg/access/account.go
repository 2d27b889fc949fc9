package access

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A Bridge carries a subject between the two accounts of a tenant.
type Bridge struct {
	// Subject is the subject in the account of services, Local that in the account of clients.
	Subject, Local string
	// Out is true for messages from services to clients, false for those in the other direction.
	Out bool
	// Many is true for requests with more than one answer.
	Many bool
	// Wait is how long the server carries answers to a request, 0 for its own default, or for no answers. It keeps an
	// entry for each request until then, which costs it time with each subscription that ends.
	Wait time.Duration
}

const (
	// bridgeWait is longer than any client waits for an answer, pullWait than any request for jobs stays open.
	bridgeWait = 20 * time.Second
	pullWait   = 2 * time.Minute
)

// Bridges returns what passes between the two accounts of a tenant.
//
// Whatever has an effect has a subject with a wildcard: the server carries no answer over such a bridge. Commands that do
// not name their sender are not carried at all.
func Bridges() (out []Bridge) {
	in := func(many bool, subjects ...string) {
		for _, s := range subjects {
			out = append(out, Bridge{Subject: s, Local: s, Many: many, Wait: bridgeWait})
		}
	}
	for _, e := range contract.Table {
		for _, s := range e.Patterns() {
			if sender, _ := contract.SplitSender(s); sender.Name != "" {
				in(false, s)
			}
		}
	}
	in(false, contract.FromAny(contract.LogSubjects), contract.FromAny(contract.HealthSubjects), contract.FromAny(contract.ClientSubjects), contract.FromAny(contract.ReleaseSubjects))
	in(false, contract.EdgeFrames, contract.EdgeCredits, contract.FromAny(contract.EdgeFrames), contract.FromAny(contract.EdgeCredits))
	in(false, contract.NameSubject("*"), "$O."+contract.BucketData+".>", "ask.>")
	in(false, acknowledgements("*")...)
	in(true, "$SRV.>")
	seen := make(map[string]bool)
	for _, r := range append(Persons(), Executor) {
		for _, c := range Calls(r) {
			local := c.pattern(nil)
			if strings.Contains(local, ".DELETE.") {
				local = local[:strings.LastIndexByte(local, '.')] + ".*" // permissions name the stream
			}
			if !seen[local] {
				seen[local] = true
				pull, wait := strings.HasPrefix(c.Subjects, "CONSUMER.MSG.NEXT."), bridgeWait
				if pull {
					wait = pullWait
				}
				out = append(out, Bridge{
					Subject: API + strings.TrimPrefix(local, BridgedAPI), Local: local,
					Many: manyAnswers(c) || pull, Wait: wait,
				})
			}
		}
	}
	for _, s := range append([]string{"edges.*.*.stop", "edges.*.*.last-stop"}, heard...) {
		out = append(out, Bridge{Subject: s, Local: s, Out: true})
	}
	return out
}

// manyAnswers reports whether a call reads many messages at a time.
func manyAnswers(c Call) bool {
	return c.Subjects == "DIRECT.GET."+contract.StreamEvents || c.Subjects == "DIRECT.GET."+contract.StreamLogs
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

// A Tenant is a set of keys: those of its accounts, and those that sign the credentials of each role.
type Tenant struct {
	Name string
	// Accounts are the public keys of the accounts, Signers those of the roles: more than one while keys are replaced.
	Accounts map[Account]string
	Signers  map[Role][]string
	// Revoked are the public keys of persons whose credentials are not valid any more, with when they were revoked.
	Revoked map[string]time.Time
	Limits  map[Account]Limits
}

// Claims returns the claims of one of the tenant's accounts, to be signed by the operator.
func (t Tenant) Claims(a Account) (*jwt.AccountClaims, error) {
	c := jwt.NewAccountClaims(t.Accounts[a])
	c.Name = t.Name + "." + string(a)
	l, ok := t.Limits[a]
	if !ok {
		l = Unlimited()
	}
	if a == Inside {
		c.Limits.JetStreamLimits = jwt.JetStreamLimits{
			MemoryStorage: l.Memory, DiskStorage: l.Disk, Streams: l.Streams, Consumer: l.Consumers,
		}
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
		if a == Inside {
			c.Exports.Add(&jwt.Export{
				Name: b.Subject, Subject: jwt.Subject(b.Subject), Type: kind, ResponseType: response, ResponseThreshold: b.Wait,
			})
			continue
		}
		local := jwt.RenamingSubject("")
		if b.Local != b.Subject {
			local = jwt.RenamingSubject(renamed(b.Local))
		}
		c.Imports.Add(&jwt.Import{Name: b.Subject, Subject: jwt.Subject(b.Subject), Type: kind, Account: t.Accounts[Inside], LocalSubject: local})
	}
	for _, r := range Roles() {
		if r.Account() != a {
			continue
		}
		for _, key := range t.Signers[r] {
			scope := jwt.NewUserScope()
			scope.Key, scope.Role = key, string(r)
			scope.Template.Limits.Subs = subscriptions(r)
			publish, subscribe := Permissions(r)
			scope.Template.Pub.Allow.Add(publish...)
			scope.Template.Sub.Allow.Add(subscribe...)
			c.SigningKeys.AddScopedSigner(scope)
		}
	}
	if a == Outside {
		for key, at := range t.Revoked {
			c.RevokeAt(key, at)
		}
	}
	return c, validate(c)
}

// subscriptions bounds the subscriptions of a connection.
func subscriptions(r Role) int64 {
	switch {
	case r == Viewer:
		return 1000 // a feed has one for each subject, at most 64
	case slices.Contains(Persons(), r):
		return 10_000 // and two for each output and input
	}
	return jwt.NoLimit // of services, and of executors, which have some for each job
}

// renamed returns a local subject in which each wildcard refers to one of the imported subject.
func renamed(local string) string {
	tokens, n := strings.Split(local, "."), 0
	for i, t := range tokens {
		if t == "*" {
			n++
			tokens[i] = "$" + strconv.Itoa(n)
		}
	}
	return strings.Join(tokens, ".")
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
