package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

func isAck(m tap.Message) bool { return audit.AnswerOf(m) == audit.Ack }

// delivers matches the deliveries of the flow's job.
func (f *flow) delivers(m tap.Message) bool {
	d := f.doc
	return audit.IsDelivery(m) && m.Subject == contract.JobSubject(d.Progdef, d.Revision, d.Flow, d.Job)
}

// acknowledged awaits a delivery of the job behind the first n messages, and its acknowledgement. It returns
// where the delivery is.
func (f *flow) acknowledged(ctx context.Context, p *program, n int) (at int, err error) {
	job, at, err := p.await(ctx, claimWait+f.patience, "delivery of the job", n, f.delivers)
	if err != nil {
		return 0, err
	}
	ack := func(m tap.Message) bool { return isAck(m) && m.Subject == job.Reply }
	_, _, err = p.await(ctx, f.patience, "acknowledgement of the job", at, ack)
	return at, err
}

func claimOrder(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.startWithFlow(ctx)
	if err != nil {
		return "", err
	}
	held := holdAnswers(p.tap, func(subject string) bool { return subject == f.doc.Started })
	if err := f.put(ctx); err != nil {
		return "", err
	}
	if _, _, err := p.await(ctx, s.patience, "job.started", 0, published(f.doc.Started)); err != nil {
		return "", err
	}
	const early = "the job was acknowledged although it was not known that job.started is stored: if the " +
		"executor dies now, nobody runs it"
	if err := p.never(ctx, early, 0, isAck); err != nil {
		return "", err
	}
	close(held.release)
	if _, err := f.acknowledged(ctx, p, 0); err != nil {
		return "", fmt.Errorf("job.started is stored: %w", err)
	}
	return fmt.Sprintf("nothing was acknowledged while JetStream's answer was held back for %v", hold), nil
}

// A loser loses the first message that matches.
type loser struct {
	matches func(tap.Message) bool

	mu   sync.Mutex
	lost *tap.Message
}

func (l *loser) decide(m *tap.Message) tap.Decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil || !l.matches(*m) {
		return tap.Pass
	}
	lost := *m
	l.lost = &lost
	return tap.Decision{Drop: true}
}

// what returns the message that was lost.
func (l *loser) what() (tap.Message, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		return tap.Message{}, false
	}
	return *l.lost, true
}

func claimAcknowledged(ctx context.Context, s *stage) (string, error) {
	p, err := s.start(ctx)
	if err != nil {
		return "", err
	}
	first := &loser{matches: isAck}
	p.tap.Decide(first.decide)
	f, err := s.queued(ctx)
	if err != nil {
		return "", err
	}
	if err := f.echo(ctx, repeated(10, 3)); err != nil {
		return "", fmt.Errorf("while the acknowledgement is not confirmed: %w", err)
	}
	again := func(m tap.Message) bool {
		lost, ok := first.what()
		return ok && isAck(m) && m.Subject == lost.Subject
	}
	_, _, err = p.await(ctx, claimWait, "second acknowledgement of the same delivery, when the first one was lost", 0, again)
	lost, ok := first.what()
	switch {
	case !ok:
		return "", errors.New("the job was not acknowledged")
	case lost.Reply == "":
		return "", errors.New("the job was acknowledged without a reply subject, so no confirmation can come")
	}
	return "the first acknowledgement was lost, and repeated", err
}

func claimLostAnswer(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.startWithFlow(ctx)
	if err != nil {
		return "", err
	}
	reply := ""
	answer := &loser{matches: func(m tap.Message) bool {
		if reply == "" && published(f.doc.Started)(m) {
			reply = m.Reply
		}
		return reply != "" && m.Op == tap.Msg && m.Subject == reply
	}}
	p.tap.Decide(answer.decide)
	if err := f.put(ctx); err != nil {
		return "", err
	}
	const why = "job.started is stored, and only the answer was lost: %w"
	within, cancel := s.clock.Within(ctx, claimWait+s.patience, errLate)
	defer cancel()
	if err := f.echo(within, repeated(10, 3)); err != nil {
		return "", fmt.Errorf(why, err)
	}
	if _, err := f.acknowledged(ctx, p, 0); err != nil {
		return "", fmt.Errorf(why, err)
	}
	return "the answer was lost, and the job was run", nil
}

func claimRedelivered(ctx context.Context, s *stage) (string, error) {
	f, err := s.flow(ctx)
	if err != nil {
		return "", err
	}
	l := repeated(10, 3)
	if err := f.prepare(ctx, l); err != nil {
		return "", err
	}
	p, err := s.start(ctx, withSlots(2))
	if err != nil {
		return "", err
	}
	p.tap.Decide(f.losesAcks())
	if err := f.put(ctx); err != nil {
		return "", err
	}
	if err := f.doneWith(ctx, l.count()); err != nil {
		return "", err
	}
	_, first, err := p.await(ctx, s.patience, "delivery of the job", 0, f.delivers)
	if err != nil {
		return "", err
	}
	again, err := f.acknowledged(ctx, p, first+1)
	if err != nil {
		return "", fmt.Errorf("the acknowledgements of the first delivery were lost: %w", err)
	}
	if err := s.another(ctx); err != nil {
		return "", err
	}
	return "the job came again, was acknowledged, and ran once", f.ranAgain(p, again)
}

// claimStartedPlainly gives a job back in the name of an executor of the previous version that has started it and
// whose acknowledgement was lost.
func claimStartedPlainly(ctx context.Context, s *stage) (string, error) {
	f, err := s.queued(ctx)
	if err != nil {
		return "", err
	}
	e := event.New(contract.TypeJobStarted, "/dagyo/executor/older", f.doc.Flow, &contract.JobStarted{
		Job: f.doc.Job, Executor: "older",
	}, time.Now())
	if err := errors.Join(s.say(ctx, e), s.giveBack(ctx)); err != nil {
		return "", err
	}
	p, err := s.start(ctx, withSlots(2))
	if err != nil {
		return "", err
	}
	if _, err := f.acknowledged(ctx, p, 0); err != nil {
		return "", err
	}
	if err := s.another(ctx); err != nil {
		return "", err
	}
	for _, m := range p.tap.Journal.All() {
		if f.works(m) || published(f.doc.Started)(m) {
			return "", fmt.Errorf("the job was run beside the executor that had started it: published on %s", m.Subject)
		}
	}
	return "the job was acknowledged, and not run", nil
}

// giveBack takes the job from the stage's mailbox as an executor, and gives it back.
func (s *stage) giveBack(ctx context.Context) error {
	mailbox, err := broker.EnsureMailbox(ctx, s.hub.inside.JS, s.progdef(), s.revision())
	if err != nil {
		return err
	}
	m, err := mailbox.Next()
	if err != nil {
		return fmt.Errorf("take the job: %w", err)
	}
	return m.Nak()
}

// losesAcks loses the acknowledgements of the job's first delivery.
func (f *flow) losesAcks() func(*tap.Message) tap.Decision {
	var mu sync.Mutex
	first := ""
	return func(m *tap.Message) tap.Decision {
		mu.Lock()
		defer mu.Unlock()
		if first == "" && f.delivers(*m) {
			first = m.Reply
		}
		return tap.Decision{Drop: first != "" && isAck(*m) && m.Subject == first}
	}
}
