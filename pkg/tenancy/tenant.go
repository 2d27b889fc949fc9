package tenancy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/document"
)

// A Tenant is what services know of a tenant.
type Tenant struct {
	Name string `json:"tenant"`
	// ID distinguishes it from other tenants that had its name before.
	ID string `json:"id"`
	// Accounts are the public keys of its accounts.
	Accounts map[access.Account]string `json:"accounts"`
	// Signers are the public keys that sign the credentials of each role. They change when keys are replaced: services
	// then read theirs again.
	Signers map[access.Role]string `json:"signers,omitempty"`
	Limits  Limits                 `json:"limits,omitzero"`
	// Namespace is the namespace of Kubernetes for its executors; "" for that of all tenants.
	Namespace string `json:"namespace,omitempty"`
	// Progdefs are the progdefs of the default tenant that it may use: names, in which * stands for any characters.
	Progdefs []string `json:"progdefs,omitempty"`
	// Removed is true while services still have to stop and its executors to end.
	Removed bool `json:"removed,omitempty"`
}

// Limits limit a tenant; 0 means no limit.
type Limits struct {
	// Storage and Memory bound what NATS stores, in bytes, on disk and in memory.
	Storage int64 `json:"storage,omitempty"`
	Memory  int64 `json:"memory,omitempty"`
	// Connections bounds the connections of persons and executors.
	Connections int64 `json:"connections,omitempty"`
	// Payload bounds a message of theirs, in bytes; larger events go by reference.
	Payload int64 `json:"payload,omitempty"`
	// Executors bounds the executors. Weight is how much of the installation's executors the tenant gets, in proportion
	// to the weights of others that want some; 0 counts as 1.
	Executors int `json:"executors,omitempty"`
	Weight    int `json:"weight,omitempty"`
	// Flows bounds the flows that run, Queued those that wait, Slots the slots that flows hold, Submissions the flows
	// that are submitted in a second.
	Flows       int `json:"flows,omitempty"`
	Queued      int `json:"queued,omitempty"`
	Slots       int `json:"slots,omitempty"`
	Submissions int `json:"submissions,omitempty"`
}

// Label is a name for what belongs to the tenant outside of Dagyo: unlike its name, it is not used again after it was
// removed. It matches document.NamePattern.
func (t Tenant) Label() string {
	sum := sha256.Sum256([]byte(t.ID))
	return strings.TrimRight(t.Name[:min(len(t.Name), 24)], "-_") + "-" + hex.EncodeToString(sum[:4])
}

// Claims returns the claims of the tenant's record, an account that nobody connects to: its description is the tenant.
// The claims of the accounts that are in use change rarely, because a server drops the answers under way when they do.
func (t Tenant) Claims(record string) (*jwt.AccountClaims, error) {
	c := jwt.NewAccountClaims(record)
	c.Name, c.Limits.Conn = t.Name+"."+string(access.Record), 0
	c.DefaultPermissions.Pub.Deny.Add(">")
	c.DefaultPermissions.Sub.Deny.Add(">")
	text, err := json.Marshal(t)
	c.Description = string(text)
	return c, err
}

// errOther is returned for an account that is no record.
var errOther = errors.New("not the record of a tenant")

// read returns the tenant that claims describe, or errOther.
func read(token string) (t Tenant, err error) {
	claims, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return t, fmt.Errorf("read the claims of an account: %w", err)
	}
	if !strings.HasSuffix(claims.Name, "."+string(access.Record)) {
		return t, errOther
	}
	if t, err = parse(claims.Description); err != nil {
		err = fmt.Errorf("the claims of account %s: %w", claims.Subject, err)
	}
	return t, err
}

// parse reads the description of a record. The id of the tenant becomes a part of paths.
func parse(text string) (t Tenant, err error) {
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return t, fmt.Errorf("%q describes no tenant: %w", text, err)
	}
	if !document.ValidName(t.Name) || !validID(t.ID) {
		return t, fmt.Errorf("%q describes no tenant: it has no valid name and id", text)
	}
	return t, nil
}

func validID(id string) bool {
	return id != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}

// Issue returns a credential of a role in a tenant, as the content of a credentials file, signed with a key that is
// derived from the secret of the role. The account in c is set here.
func (t Tenant) Issue(secret access.Secret, c access.Credential) ([]byte, error) {
	signer, err := secret.Signer(t.ID)
	if err != nil {
		return nil, err
	}
	defer signer.Wipe()
	c.Account = t.Accounts[c.Role.Account()]
	return access.Issue(signer, c)
}

// DefaultStorage is the default of Limits.Storage of a tenant that is added.
const DefaultStorage = 512 << 20

// leastStorage is how much a tenant needs for its streams.
const leastStorage = 64 << 20

// Validate reports what is wrong with the limits.
func (l Limits) Validate() error {
	var errs []error
	for name, n := range map[string]int64{
		"storage": l.Storage, "memory": l.Memory, "connections": l.Connections, "payload": l.Payload, "executors": int64(l.Executors),
		"weight": int64(l.Weight), "flows": int64(l.Flows), "queued": int64(l.Queued), "slots": int64(l.Slots),
		"submissions": int64(l.Submissions),
	} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("the limit of %s is %d: it must be 0 (no limit) or more", name, n))
		}
	}
	if l.Payload > 0 && l.Payload < broker.MinPayload {
		errs = append(errs, fmt.Errorf("the limit of payload is %d bytes: clients and executors need at least %d (256Ki)", l.Payload, broker.MinPayload))
	}
	if l.Storage > 0 && l.Storage < leastStorage {
		errs = append(errs, fmt.Errorf("the limit of storage is %d bytes: a tenant needs at least %d (64Mi)", l.Storage, leastStorage))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// Names returns the names of the tenants that are not removed. It is not nil.
func Names(all []Tenant) []string {
	names := []string{}
	for _, t := range all {
		if !t.Removed {
			names = append(names, t.Name)
		}
	}
	return names
}
