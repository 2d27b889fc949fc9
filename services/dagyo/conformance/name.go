package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

func nameTaken(ctx context.Context, s *stage) (string, error) {
	p, err := s.start(ctx)
	if err == nil {
		err = p.ready(ctx)
	}
	if err != nil {
		return "", err
	}
	subject := contract.NameSubject(p.id)
	for _, m := range p.tap.Journal.All() {
		switch {
		case audit.IsPull(m):
			return "", fmt.Errorf("it pulls jobs before it has published on %s", subject)
		case !published(subject)(m):
		case m.Header.Get(jetstream.ExpectedLastSubjSeqHeader) != "0":
			return "", fmt.Errorf("the message on %s does not have %s: 0", subject, jetstream.ExpectedLastSubjSeqHeader)
		default:
			return "its name was stored first", nil
		}
	}
	return "", fmt.Errorf("nothing was published on %s", subject)
}

func nameTakenBefore(ctx context.Context, s *stage) (string, error) {
	id := s.name + "-x1" // the first that the stage starts
	if first, err := broker.TakeName(whole(ctx), s.hub.inside, id, "another"); err != nil || !first {
		return "", fmt.Errorf("take the name for another: %v, %w", first, err)
	}
	p, err := s.start(ctx)
	if err != nil {
		return "", err
	}
	f, err := s.queued(ctx)
	if err != nil {
		return "", err
	}
	_, at, err := p.await(ctx, s.patience, "try to take its name", 0, published(contract.NameSubject(id)))
	if err != nil {
		return "", err
	}
	pulls := func(m tap.Message) bool { return audit.IsPull(m) || published(f.doc.Started)(m) }
	if err := p.never(ctx, "it takes jobs under a name that is another's", at, pulls); err != nil {
		return "", err
	}
	if err := errors.Join(p.terminate(), p.exits(ctx, s.patience, true)); err != nil {
		return "", err
	}
	return fmt.Sprintf("it took nothing for %v, and exit code 0", hold), nil
}
