package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

func eventChecks() []Check {
	const see = "Executors, How a job ends"
	return []Check{{
		Name: "events.valid", See: see + "; docs/events.md", run: eventsValid,
		Demand: "job.started, job.done, job.panic and executor.draining are CloudEvents that match their " +
			"schemas, are published on their subjects, and name job and executor.",
	}, {
		Name: "events.first", See: see + "; Claim, 3", run: eventsFirst,
		Demand: "Each event has Nats-Expected-Last-Subject-Sequence 0, so that its subject holds only " +
			"one (job.started: the subjects of all executors), and no Nats-Msg-Id.",
	}, {
		Name: "events.sender", See: "Executors, Sender", run: eventsSender,
		Demand: "Events and heartbeats are published on subjects that end in .by.<executor>, a job.started in .by.<progdef>-<revision>.<executor>.",
	}, {
		Name: "events.until-stored", See: see, run: eventsUntilStored,
		Demand: "A lost job.done or job.panic is published again until JetStream has stored it.",
	}}
}

// lives runs a job to its end and another into a panic, drains the executor, and returns all that was
// said meanwhile.
func (s *stage) lives(ctx context.Context) (*program, []said, error) {
	p, f, err := s.running(ctx)
	if err == nil {
		err = f.echo(ctx, repeated(10, 3))
	}
	if err != nil {
		return nil, nil, err
	}
	bad, err := s.flow(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(bad.store(ctx, forge(greetings()...).flipped(1)), bad.put(ctx)); err != nil {
		return nil, nil, err
	}
	if _, err := bad.ended(ctx, s.patience); err != nil {
		return nil, nil, err
	}
	if err := s.drain(ctx, p); err != nil {
		return nil, nil, err
	}
	var all []said
	for _, e := range s.hub.events.All() {
		if strings.Contains(e.subject, "."+s.name+"-") {
			all = append(all, e)
		}
	}
	return p, all, nil
}

func eventsValid(ctx context.Context, s *stage) (string, error) {
	p, all, err := s.lives(ctx)
	if err != nil {
		return "", err
	}
	var wrong []error
	for _, e := range all {
		wrong = append(wrong, e.check(p.id))
	}
	return fmt.Sprintf("%s checked", document.Count(len(all), "event")), errors.Join(wrong...)
}

// check holds an event to its schema, and to who said it.
func (s said) check(executor string) error {
	e, err := s.decode()
	if err != nil {
		return err
	}
	if _, problems := document.Check(string(e.Type), e.Raw, document.DefaultLimits()); len(problems) > 0 {
		return fmt.Errorf("the data on %s is not as its schema wants: %w", s.subject, problems)
	}
	var by string
	switch d := e.Data.(type) {
	case *contract.JobStarted:
		by = d.Executor
	case *contract.JobDone:
		by = d.Executor
	case *contract.JobPanic:
		by = d.Executor
	case *contract.ExecutorDraining:
		by = d.Executor
	}
	if by != executor {
		return fmt.Errorf("the event on %s names the executor %q; it is %s", s.subject, by, executor)
	}
	return nil
}

func eventsFirst(ctx context.Context, s *stage) (string, error) {
	p, _, err := s.lives(ctx)
	if err != nil {
		return "", err
	}
	n := 0
	var wrong []error
	for _, m := range p.tap.Journal.All() {
		if m.Op == tap.Pub && m.IsEvent() {
			n++
			wrong = append(wrong, first(m))
		}
	}
	return fmt.Sprintf("%s published as the first on its subject", document.Count(n, "event")), errors.Join(wrong...)
}

func eventsSender(ctx context.Context, s *stage) (string, error) {
	p, _, err := s.lives(ctx)
	if err != nil {
		return "", err
	}
	n := 0
	var wrong []error
	for _, m := range p.tap.Journal.All() {
		if m.Op != tap.Pub || !m.IsEvent() && !strings.HasPrefix(m.Plain(), "health.") {
			continue
		}
		n++
		sender := contract.Sender{Name: p.id}
		if contract.TypeOf(m.Subject) == contract.TypeJobStarted {
			sender.Mailbox = contract.MailboxConsumer(s.progdef(), s.revision())
		}
		if want := sender.On(m.Plain()); m.Subject != want {
			wrong = append(wrong, fmt.Errorf("it published on %s, not on %s", m.Subject, want))
		}
	}
	return document.Count(n, "message") + " published on the executor's own subjects", errors.Join(wrong...)
}

func eventsUntilStored(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.startWithFlow(ctx)
	if err != nil {
		return "", err
	}
	var lost atomic.Bool
	p.tap.Decide(func(m *tap.Message) tap.Decision {
		first := published(f.doc.Done)(*m) && lost.CompareAndSwap(false, true)
		return tap.Decision{Drop: first}
	})
	if err := f.put(ctx); err != nil {
		return "", err
	}
	if err := f.echo(ctx, repeated(10, 3)); err != nil {
		return "", fmt.Errorf("the first job.done was lost on its way: %w", err)
	}
	return "the first one was lost, and said again", nil
}
