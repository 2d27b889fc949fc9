package keyring

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/tenancy"
)

// answerWait bounds the wait for the answer of NATS to each request.
const answerWait = 10 * time.Second

// A TenantError is what keeps NATS from knowing a tenant. Others are not affected.
type TenantError struct {
	Tenant string
	Err    error
}

func (e *TenantError) Error() string { return "tenant " + e.Tenant + ": " + e.Err.Error() }
func (e *TenantError) Unwrap() error { return e.Err }

// Publish makes NATS know tenants that are new or have changed, and those that were removed: the named ones, or all. The
// connection is that of an access.Landlord, files say how to connect. It may be called again after an error; those of
// single tenants are of type TenantError.
func (k *Keyring) Publish(ctx context.Context, nc *nats.Conn, files broker.Access, names ...string) error {
	have, err := tenancy.Claims(ctx, nc)
	if err != nil {
		return err
	}
	trust, err := k.trust(names)
	if err != nil {
		return err
	}
	for _, key := range trust.exportersFirst() {
		if same(have[key], trust.Accounts[key]) {
			continue
		}
		if err := request(ctx, nc, access.SubjectUpdate, []byte(trust.Accounts[key])); err != nil {
			return fmt.Errorf("publish an account to NATS: %w", err)
		}
	}
	var failed []error
	for _, r := range trust.records {
		if err := k.publishRecord(ctx, nc, files, r, have[r.key]); err != nil {
			failed = append(failed, &TenantError{r.tenant.Name, err})
		}
	}
	return errors.Join(append(failed, ring(ctx, nc))...)
}

// publishRecord stores the record of a tenant. Once it is there, services connect.
func (k *Keyring) publishRecord(ctx context.Context, nc *nats.Conn, files broker.Access, r record, have string) error {
	if same(have, r.claims) || r.tenant.Removed && have == "" {
		return nil
	}
	if !r.tenant.Removed {
		if err := k.setUp(ctx, nc, files, r.tenant); err != nil {
			return err
		}
	}
	return request(ctx, nc, access.SubjectUpdate, []byte(r.claims))
}

// ErrNoStorage is returned if the server has not as much storage left as a tenant may use.
var ErrNoStorage = errors.New("NATS has less free storage than the tenant's limit: it reserves all of it")

// setUp checks that the server has accepted the limits of a tenant's storage. For a new account, this is also the
// connection that lets it set up the storage. nats-server does that when an account is first used, and of several
// connections at once one may delete the folder of streams that another one has just created, or make its streams in an
// account that nobody else sees (2.15.2, fetchAccount and EnableJetStream). local.AnnounceAccount avoids the same for
// the first account of a server that `dagyo init auth` prepares.
func (k *Keyring) setUp(ctx context.Context, nc *nats.Conn, files broker.Access, t tenancy.Tenant) error {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	secret, err := k.Secret(access.Planner)
	if err != nil {
		return err
	}
	link, err := t.Connect(ctx, access.Planner, secret, broker.Options{URL: nc.ConnectedUrl(), Access: files})
	if err != nil {
		return err
	}
	defer link.Close()
	for { // in a cluster, any server may answer, also one that has not yet heard of the account or its limits
		err := checkStorage(ctx, link, k.limits(t.Limits)[access.Inside])
		if !errors.Is(err, ErrNoStorage) || link.ConnectedClusterName() == "" {
			return err
		}
		select {
		case <-time.After(accountPause):
		case <-ctx.Done():
			return err
		}
	}
}

// checkStorage checks that a server gives an account what it may store.
func checkStorage(ctx context.Context, link *broker.Link, want access.Limits) error {
	info, err := link.JS.AccountInfo(ctx)
	if err == nil && (info.Limits.MaxStore != want.Disk || info.Limits.MaxMemory != want.Memory) {
		return ErrNoStorage
	}
	if errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w (%w)", ErrNoStorage, err)
	}
	return err
}

// accountPause is the pause between two questions about an account.
const accountPause = 100 * time.Millisecond

// ring says that the tenants have changed.
func ring(ctx context.Context, nc *nats.Conn) error {
	if err := nc.Publish(access.SubjectTenants, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	return nc.FlushWithContext(ctx)
}

// exportersFirst returns the accounts in an order in which those that export come before those that import.
func (t Trust) exportersFirst() []string {
	imports := make(map[string]int)
	for key, token := range t.Accounts {
		if claims, err := jwt.DecodeAccountClaims(token); err == nil {
			imports[key] = len(claims.Imports)
		}
	}
	return slices.SortedFunc(maps.Keys(t.Accounts), func(a, b string) int { return cmp.Compare(imports[a], imports[b]) })
}

// same reports whether two tokens make the same claims, but for when they were issued.
func same(a, b string) bool {
	text := func(token string) []byte {
		claims, err := jwt.DecodeAccountClaims(token)
		if err != nil {
			return nil
		}
		claims.ID, claims.IssuedAt = "", 0
		out, _ := json.Marshal(claims)
		return out
	}
	x, y := text(a), text(b)
	return x != nil && slices.Equal(x, y)
}

// Clear deletes the accounts of the removed tenants, then what is stored in them: while there are connections, services
// would make their streams again. Services should have stopped before. It may be called again after an error.
func (k *Keyring) Clear(ctx context.Context, nc *nats.Conn, ids ...string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("delete removed tenants from NATS: %w", err)
		}
	}()
	removed, err := k.left()
	if err != nil {
		return err
	}
	for _, x := range removed {
		if len(ids) > 0 && !slices.Contains(ids, x.ID) {
			continue
		}
		t, err := k.tenancy(x)
		if err != nil {
			return err
		}
		if err := k.deleteAccounts(ctx, nc, t); err != nil {
			return fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		if err := os.RemoveAll(k.usersOf(x.ID)); err != nil {
			return err
		}
		if err := os.Remove(k.removed(x)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(removed) == 0 {
		return nil
	}
	return ring(ctx, nc)
}

func (k *Keyring) deleteAccounts(ctx context.Context, nc *nats.Conn, t tenancy.Tenant) error {
	public, err := k.operator.PublicKey()
	if err != nil {
		return err
	}
	record, err := k.account(t.ID, access.Record)
	if err != nil {
		return err
	}
	order := jwt.NewGenericClaims(public)
	order.Data["accounts"] = []string{t.Accounts[access.Outside], t.Accounts[access.Inside], record}
	token, err := order.Encode(k.operator)
	if err != nil {
		return err
	}
	if err := request(ctx, nc, access.SubjectDelete, []byte(token)); err != nil {
		return err
	}
	return request(ctx, nc, access.SubjectPurge+t.Accounts[access.Inside], nil)
}

// request sends a request to the server, and returns the error that it answers with.
func request(ctx context.Context, nc *nats.Conn, subject string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	var answer struct {
		Error *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("%s: unexpected answer %q", subject, m.Data)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: the server answered: %s (%d)", subject, answer.Error.Description, answer.Error.Code)
	}
	return nil
}
