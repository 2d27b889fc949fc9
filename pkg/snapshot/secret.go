package snapshot

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

const (
	secretBytes = 32
	secretWait  = 5 * time.Second
	secretPause = 100 * time.Millisecond
)

// Secret returns a secret that all replicas of a service, or several services, share. It is in SNAPSHOTS, which only
// services read. The first one that asks for it makes it.
func (s Store) Secret(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, secretWait)
	defer cancel()
	made := make([]byte, secretBytes)
	if _, err := rand.Read(made); err != nil {
		return nil, err
	}
	subject := contract.SecretSubject(name)
	_, err := s.JS.Publish(ctx, subject, made, jetstream.WithExpectLastSequencePerSubject(0))
	if err == nil {
		return made, nil
	}
	if !broker.SaidBefore(err) {
		return nil, fmt.Errorf("store the secret of the %s: %w", name, err)
	}
	for {
		stored, err := s.secret(ctx, subject)
		if err == nil || !errors.Is(err, jetstream.ErrMsgNotFound) {
			return stored, err
		}
		select { // the server that answers may be behind
		case <-time.After(secretPause):
		case <-ctx.Done():
			return nil, fmt.Errorf("read the secret of the %s: %w", name, err)
		}
	}
}

func (s Store) secret(ctx context.Context, subject string) ([]byte, error) {
	stream, err := s.JS.Stream(ctx, contract.StreamSnapshots)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", subject, err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", subject, err)
	}
	if len(m.Data) != secretBytes {
		return nil, fmt.Errorf("the secret in %s has %d bytes, not %d: delete the message, and restart the services",
			subject, len(m.Data), secretBytes)
	}
	return m.Data, nil
}
