package tenancy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/access"
)

const (
	// pollEvery is the time after which a Registry looks at the claims without having heard that they have changed.
	pollEvery = 10 * time.Second
	// retryEvery is the time until it asks again after an error.
	retryEvery = time.Second
	// answerWait bounds the wait for each part of an answer.
	answerWait = 5 * time.Second
	// mostAccounts bounds the accounts of an installation.
	mostAccounts = 100_000
)

// ErrFixed is returned if NATS knows only the accounts that it had at its start.
var ErrFixed = errors.New("it knows only the accounts that it had at its start: run `dagyo init auth` with --accounts, and start the server again")

// A Registry follows the tenants of an installation. Its connection is to the system account.
type Registry struct {
	Conn *nats.Conn
	Log  zerolog.Logger
}

// Follow calls set with all tenants, sorted by name, at first and after each change, until the context ends. While NATS
// does not answer, the tenants are those that are known.
func (r Registry) Follow(ctx context.Context, set func([]Tenant)) error {
	bell := make(chan struct{}, 1)
	ring := func(*nats.Msg) {
		select {
		case bell <- struct{}{}:
		default:
		}
	}
	sub, err := r.Conn.Subscribe(access.SubjectTenants, ring)
	if err != nil {
		return fmt.Errorf("follow the tenants: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	var known *[sha256.Size]byte
	failed := false
	for ctx.Err() == nil {
		pause := pollEvery
		claims, changed, err := pack(ctx, r.Conn, known)
		switch {
		case err != nil && ctx.Err() == nil:
			pause = retryEvery
			if !failed {
				r.Log.Warn().Err(err).Msg("cannot read the tenants from NATS; trying again")
			}
		case changed:
			sum := hash(claims)
			known = &sum
			set(r.tenants(claims))
		}
		failed = err != nil
		select {
		case <-bell:
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// tenants returns the tenants that claims describe. Those that cannot be read are logged and left out.
func (r Registry) tenants(claims map[string]string) (out []Tenant) {
	for _, token := range claims {
		switch t, err := read(token); {
		case err == nil:
			out = append(out, t)
		case !errors.Is(err, errOther):
			r.Log.Warn().Err(err).Msg("an account is left out of the tenants")
		}
	}
	slices.SortFunc(out, func(a, b Tenant) int { return strings.Compare(a.Name+" "+a.ID, b.Name+" "+b.ID) })
	return out
}

// Claims returns the signed claims of all accounts, by public key, over a connection to the system account.
func Claims(ctx context.Context, nc *nats.Conn) (map[string]string, error) {
	claims, _, err := pack(ctx, nc, nil)
	return claims, err
}

// pack asks for the claims of all accounts. The answer has one message for each, and an empty one at its end, or only
// that if the claims have the known hash.
func pack(ctx context.Context, nc *nats.Conn, known *[sha256.Size]byte) (claims map[string]string, changed bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("ask NATS for the accounts: %w", err)
		}
	}()
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	var question []byte
	if known != nil {
		question = known[:]
	}
	if err := nc.PublishRequest(access.SubjectClaims, inbox, question); err != nil {
		return nil, false, err
	}
	claims = make(map[string]string)
	for range mostAccounts {
		m, err := next(ctx, sub)
		if errors.Is(err, nats.ErrNoResponders) {
			err = ErrFixed
		}
		if err != nil {
			return nil, false, err
		}
		if len(m.Data) == 0 {
			return claims, len(claims) > 0 || known == nil, nil
		}
		for line := range strings.Lines(string(m.Data)) {
			key, token, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "|")
			if !ok {
				return nil, false, fmt.Errorf("unexpected answer %q", line)
			}
			claims[key] = token
		}
	}
	return nil, false, fmt.Errorf("there are more than %d", mostAccounts)
}

func next(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// hash is the hash that a NATS server has of its claims: the exclusive or of the SHA-256 hashes of all.
func hash(claims map[string]string) (sum [sha256.Size]byte) {
	for _, token := range claims {
		for i, b := range sha256.Sum256([]byte(token)) {
			sum[i] ^= b
		}
	}
	return sum
}
