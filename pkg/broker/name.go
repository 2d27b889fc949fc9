package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// nameWait limits one try to take a name.
const nameWait = 5 * time.Second

// TakeName assigns an executor's id to the caller, permanently: it reports false if another program has run
// under the id before. Kubernetes restarts a crashed container with the same environment; its end is
// reported, so nothing may run under its name any more.
//
// The mark identifies the caller. It must be the same in every try: the answer to a try may be lost.
func TakeName(ctx context.Context, l *Link, executor, mark string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, nameWait)
	defer cancel()
	subject := contract.NameSubject(executor)
	_, err := l.JS.Publish(ctx, subject, []byte(mark), jetstream.WithExpectLastSequencePerSubject(0))
	if err == nil {
		return true, nil
	}
	if !SaidBefore(err) {
		return false, fmt.Errorf("take the name %s: %w", executor, err)
	}
	// Stored by another program, or by us in an earlier try.
	// A replica of the stream that is behind has nothing on the subject, which holds one name at most.
	m, err := l.RequestWithContext(ctx, l.ReplicaSubject(contract.StreamLeases)+"."+subject, nil)
	var a ReplicaAnswer
	if err == nil {
		a, err = ReadReplicaAnswer(m)
	}
	if err == nil && a.Message == nil {
		err = jetstream.ErrMsgNotFound
	}
	if err != nil {
		return false, fmt.Errorf("take the name %s: %w", executor, err)
	}
	return string(a.Message.Data) == mark, nil
}

// DropName releases the name of an executor that has exited permanently.
func DropName(ctx context.Context, js jetstream.JetStream, executor string) error {
	s, err := js.Stream(ctx, contract.StreamLeases)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(contract.NameSubject(executor)))
	}
	if err != nil {
		return fmt.Errorf("drop the name %s: %w", executor, err)
	}
	return nil
}

// Named reports whether a program has run under an executor's id.
func Named(ctx context.Context, js jetstream.JetStream, executor string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, nameWait)
	defer cancel()
	_, err := leader(js).LeaderMessage(ctx, contract.StreamLeases, Query{Last: contract.NameSubject(executor)})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the name %s: %w", executor, err)
	}
	return true, nil
}

// Names returns the ids under which executors run or have run.
func Names(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	s, err := js.Stream(ctx, contract.StreamLeases)
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(contract.NameSubject("*")))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the names of executors: %w", err)
	}
	out := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		out = append(out, contract.NamedExecutor(subject))
	}
	return out, nil
}
