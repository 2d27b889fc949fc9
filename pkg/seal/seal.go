// Package seal derives the keys of sealed edges.
//
// An installation has one secret for its edges, in SNAPSHOTS, which only services read. The key of an edge is derived
// from it, so no event contains a key, none is stored for a flow, and all services know it. A key is given to the jobs
// at both ends of the edge, and to the owner of the flow.
package seal

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/snapshot"
	"github.com/dagyo/dagyo/pkg/wire"
)

// A Secret is what the keys of all edges of an installation are derived from.
type Secret []byte

// Load returns the secret of an installation. The first service that asks for it makes it.
func Load(ctx context.Context, js jetstream.JetStream) (Secret, error) {
	return snapshot.Store{JS: js}.Secret(ctx, contract.SecretOfEdges)
}

// Key returns the key of the edge at an address. The salt in the address distinguishes the flow from an earlier one with
// the same id, whose keys others may know.
func (s Secret) Key(a contract.Address) (contract.Key, error) {
	return hkdf.Key(sha256.New, s, nil, strings.Join([]string{"dagyo edge", a.Subject, a.Salt}, "\n"), wire.KeySize)
}

// Address returns the address with its key, if the edge is sealed.
func (s Secret) Address(a contract.Address) (contract.Address, error) {
	if a.Salt == "" {
		return a, nil
	}
	key, err := s.Key(a)
	return a.WithKey(key), err
}
