package access

import (
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Subjects in the server's own account, "system", of which Dagyo uses nothing else.
const (
	// SubjectClaims asks for the claims of all accounts.
	SubjectClaims = "$SYS.REQ.CLAIMS.PACK"
	// SubjectUpdate stores the claims of an account, SubjectDelete deletes those of accounts.
	SubjectUpdate = "$SYS.REQ.CLAIMS.UPDATE"
	SubjectDelete = "$SYS.REQ.CLAIMS.DELETE"
	// SubjectPurge, with the key of an account behind it, deletes all of its streams.
	SubjectPurge = "$JS.API.ACCOUNT.PURGE."
	// SubjectTenants is where the landlord says that the claims of tenants have changed.
	SubjectTenants = "dagyo.tenants"
)

// What services say of a tenant on SubjectTenant.
const (
	TenantServed = "served" // services serve its latest version
	TenantReady  = "ready"  // and it has the standard progdefs
	TenantGone   = "gone"   // it was removed, and has no executors any more
)

// SubjectTenant is where services say what becomes of a tenant, by its id.
func SubjectTenant(id string) string { return SubjectTenants + "." + id }

// A SystemRole is what a credential of the server's own account is for.
type SystemRole string

// The roles in the server's own account.
const (
	Registry SystemRole = "registry" // services: reads which tenants there are
	Landlord SystemRole = "landlord" // `dagyo tenant`: adds, changes and removes tenants
)

// Inbox is the prefix of the subjects on which the role gets answers.
func (r SystemRole) Inbox() string { return "_INBOX." + string(r) }

func (r SystemRole) permissions() (p jwt.Permissions) {
	p.Pub.Allow.Add(SubjectClaims)
	p.Sub.Allow.Add(r.Inbox() + ".>")
	if r == Landlord {
		p.Pub.Allow.Add(SubjectUpdate, SubjectDelete, SubjectPurge+"*", SubjectTenants)
		p.Sub.Allow.Add(SubjectTenant("*"))
	} else {
		p.Pub.Allow.Add(SubjectTenant("*"))
		p.Sub.Allow.Add(SubjectTenants)
	}
	return p
}

// IssueSystem returns a credential of a role in the server's own account, as the content of a credentials file. The key
// is that of the account. Zero means that the credential never expires.
func IssueSystem(system nkeys.KeyPair, r SystemRole, expires time.Time) ([]byte, error) {
	return sign(system, string(r), expires, func(c *jwt.UserClaims) { c.Permissions = r.permissions() })
}
