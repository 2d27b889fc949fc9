package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

// testGrace is DAGYO_GRACE where it is to pass, on an idle machine.
const testGrace = 2 * time.Second

func drainChecks() []Check {
	const see = "Executors, Drain"
	return []Check{{
		Name: "drain.idle", See: see, run: drainIdle,
		Demand: "On SIGTERM an executor without jobs publishes executor.draining and exits 0.",
	}, {
		Name: "drain.said-already", See: see, run: drainSaid,
		Demand: "An executor.draining that EVENTS already holds is not stored again.",
	}, {
		Name: "drain.running", See: see, run: drainRunning,
		Demand: "On SIGTERM the running job continues to its end, and the executor exits 0.",
	}, {
		Name: "drain.takes-nothing", See: see, run: drainTakesNothing,
		Demand: "A job that arrives after executor.draining goes to another executor at once, even if " +
			"slots are free.",
	}, {
		Name: "drain.late-delivery", See: see, run: drainLateDelivery,
		Demand: "A job delivered after executor.draining was published is not claimed.",
	}, {
		Name: "drain.gives-back", See: "Executors, Claim, Jobs that arrive", run: drainGivesBack,
		Demand: "A job in flight to an executor when it began to drain is returned with -NAK.",
	}, {
		Name: "drain.second-signal", See: see, run: drainSecond,
		Demand: "On a second SIGTERM running jobs panic with kind drained, and the exit code is not 0.",
	}, {
		Name: "drain.claim-unanswered", See: see, run: drainClaimUnanswered,
		Demand: "On a second SIGTERM a job whose job.started is stored, but was not answered, panics with kind " +
			"drained.",
	}, {
		Name: "drain.grace", See: see, run: drainGrace,
		Demand: "When DAGYO_GRACE has passed since SIGTERM, and not earlier, running jobs panic with " +
			"kind drained, and the exit code is not 0.",
	}}
}

func (s *stage) drainingSubject(p *program) string {
	return "executor.draining." + s.progdef() + "." + p.id
}

// drain sends the first SIGTERM and awaits executor.draining.
func (s *stage) drain(ctx context.Context, p *program) error {
	if err := p.terminate(); err != nil {
		return err
	}
	_, err := s.hub.stored(ctx, s.timing, s.patience, "executor.draining after SIGTERM", s.drainingSubject(p))
	return err
}

// exits awaits the end of the process, with exit code 0 or with another.
func (p *program) exits(ctx context.Context, within time.Duration, zero bool) error {
	code, err := inTime(ctx, p.timing, within, "exit of the executor", p.code)
	switch {
	case err != nil:
		return err
	case zero != (code == 0):
		return fmt.Errorf("the executor has ended with %s; its output ends:\n%s", p.how(), &p.out)
	}
	return nil
}

func drainIdle(ctx context.Context, s *stage) (string, error) {
	p, err := s.start(ctx)
	if err == nil {
		err = p.ready(ctx)
	}
	if err == nil {
		err = s.drain(ctx, p)
	}
	if err == nil {
		err = p.exits(ctx, s.patience, true)
	}
	return "executor.draining, and exit code 0", err
}

func drainSaid(ctx context.Context, s *stage) (string, error) {
	p, err := s.start(ctx)
	if err == nil {
		err = p.ready(ctx)
	}
	if err != nil {
		return "", err
	}
	e := event.New(contract.TypeExecutorDraining, "/dagyo/executor/"+p.id, p.id, &contract.ExecutorDraining{
		Executor: p.id, Progdef: s.progdef(), Revision: s.revision(), Reason: "told to",
	}, time.Now())
	e.By = p.id
	if err := errors.Join(s.say(ctx, e), p.terminate()); err != nil {
		return "", err
	}
	if err := p.exits(ctx, s.patience, true); err != nil {
		return "", err
	}
	n, err := s.hub.count(ctx, e.Sender().On(s.drainingSubject(p)))
	if err == nil && n > 1 {
		err = errors.New("executor.draining was said again")
	}
	return "it was not said again; exit code 0", err
}

func drainRunning(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx)
	if err == nil {
		err = f.started(ctx)
	}
	if err == nil {
		err = s.drain(ctx, p)
	}
	if err != nil {
		return "", err
	}
	if err := f.echo(ctx, varied(1000, 100)); err != nil {
		return "", fmt.Errorf("the job that was running when SIGTERM came: %w", err)
	}
	return "the running job was done, then exit code 0", p.exits(ctx, s.patience, true)
}

func drainTakesNothing(ctx context.Context, s *stage) (string, error) {
	p, err := s.start(ctx, withSlots(2))
	if err != nil {
		return "", err
	}
	running, err := s.queued(ctx)
	if err == nil {
		err = running.started(ctx)
	}
	if err == nil {
		err = s.drainBeside(ctx, p)
	}
	if err != nil {
		return "", err
	}
	seen, err := s.goesElsewhere(ctx, p)
	if err != nil {
		return "", err
	}
	if err := running.echo(ctx, repeated(10, 3)); err != nil {
		return "", fmt.Errorf("the job that was running when SIGTERM came: %w", err)
	}
	return seen, p.exits(ctx, s.patience, true)
}

// drainBeside drains an executor once another one is there that can take its place.
func (s *stage) drainBeside(ctx context.Context, p *program) error {
	other, err := s.start(ctx)
	if err == nil {
		err = other.ready(ctx)
	}
	if err == nil {
		err = s.drain(ctx, p)
	}
	return err
}

// goesElsewhere puts a job into the mailbox and sees it run by another executor than p, at once.
func (s *stage) goesElsewhere(ctx context.Context, p *program) (string, error) {
	f, err := s.flow(ctx)
	if err != nil {
		return "", err
	}
	if err := errors.Join(f.prepare(ctx, repeated(10, 3)), f.put(ctx)); err != nil {
		return "", err
	}
	d, err := f.done(ctx, f.patience)
	switch {
	case f.kept(p):
		return "", fmt.Errorf("a job that came after executor.draining: it was neither claimed nor given back, and "+
			"waits %v for another executor", claimWait)
	case err != nil:
		return "", fmt.Errorf("a job that came after executor.draining: %w", err)
	case d.Executor == p.id:
		return "", errors.New("the executor took a job after it had said executor.draining")
	}
	return "the job went to another executor", nil
}

// kept reports whether an executor was handed the flow's job and did not answer.
func (f *flow) kept(p *program) bool {
	kept := ""
	for _, m := range p.tap.Journal.All() {
		switch {
		case f.delivers(m):
			kept = m.Reply
		case audit.AnswerOf(m) != audit.NoAnswer && m.Subject == kept:
			kept = ""
		}
	}
	return kept != ""
}

func drainLateDelivery(ctx context.Context, s *stage) (string, error) {
	p, err := s.start(ctx)
	if err != nil {
		return "", err
	}
	answered := s.deliverAtDrain(p)
	answer, err := s.answerAtDrain(ctx, p)
	close(answered)
	switch {
	case err != nil:
		return "", err
	case answer != audit.Nak && answer != audit.NoAnswer:
		return "", errors.New("the job was claimed behind executor.draining")
	}
	return "the job was not claimed", p.exits(ctx, s.patience, true)
}

func drainGivesBack(ctx context.Context, s *stage) (string, error) {
	p, err := s.start(ctx)
	if err != nil {
		return "", err
	}
	deliverAtSignal(p)
	answer, err := s.answerAtDrain(ctx, p)
	switch {
	case err != nil:
		return "", err
	case answer == audit.NoAnswer:
		return "", fmt.Errorf("the job was neither claimed nor given back: it waits %v for another", claimWait)
	case answer != audit.Nak:
		return "", errors.New("the job was claimed although SIGTERM had come before it")
	}
	return "the job was given back", p.exits(ctx, s.patience, true)
}

// answerAtDrain sends a job to an executor and drains it, and returns what it says to the job before it
// goes. When the job arrives is for the tap to decide.
func (s *stage) answerAtDrain(ctx context.Context, p *program) (audit.Answer, error) {
	if _, err := s.queued(ctx); err != nil {
		return "", err
	}
	_, at, err := p.await(ctx, s.patience, "delivery of a job", 0, audit.IsDelivery)
	if err == nil {
		err = s.drain(ctx, p)
	}
	if err != nil {
		return "", err
	}
	within, cancel := s.clock.Within(ctx, hold, errLate)
	defer cancel()
	said := func(m tap.Message) bool { return audit.AnswerOf(m) != audit.NoAnswer }
	m, _, err := p.tap.Journal.Await(within, at, said)
	if errors.Is(err, errLate) {
		return audit.NoAnswer, nil
	}
	return audit.AnswerOf(m), err
}

// deliverAtDrain holds back jobs until the executor says executor.draining, and the answer to that until
// the channel is closed: the job comes in the moment in which the executor has spoken.
func (s *stage) deliverAtDrain(p *program) (answered chan struct{}) {
	answered = make(chan struct{})
	spoken := make(chan struct{})
	held := &holder{release: answered, replies: map[string]bool{}, asked: func(subject string) bool {
		return subject == s.drainingSubject(p)
	}}
	var once sync.Once
	p.tap.Decide(func(m *tap.Message) tap.Decision {
		if audit.IsDelivery(*m) {
			return tap.Decision{Until: spoken}
		}
		if published(s.drainingSubject(p))(*m) {
			once.Do(func() { close(spoken) })
		}
		return held.decide(m)
	})
	return answered
}

// deliverAtSignal delays a job, and what comes behind it, until the executor reacts to SIGTERM: it was
// under way when the executor began to drain.
func deliverAtSignal(p *program) {
	reacted := make(chan struct{})
	var once sync.Once
	p.tap.Decide(func(m *tap.Message) tap.Decision {
		switch {
		case audit.IsDelivery(*m):
			return tap.Decision{Block: reacted}
		case (m.Op == tap.Pub || m.Op == tap.Sub || m.Op == tap.Unsub) && p.leaving.Load():
			once.Do(func() { close(reacted) })
		}
		return tap.Pass
	})
}

func drainSecond(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx)
	if err == nil {
		err = f.started(ctx)
	}
	if err == nil {
		err = s.drain(ctx, p)
	}
	if err == nil {
		err = p.terminate()
	}
	if err != nil {
		return "", err
	}
	return f.givenUp(ctx, p, "the second SIGTERM")
}

func drainClaimUnanswered(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.startWithFlow(ctx)
	if err != nil {
		return "", err
	}
	held := holdAnswers(p.tap, func(subject string) bool { return subject == f.doc.Started })
	defer close(held.release)
	if err := f.put(ctx); err != nil {
		return "", err
	}
	err = f.started(ctx)
	if err == nil {
		err = s.drain(ctx, p)
	}
	if err == nil {
		err = p.terminate()
	}
	if err != nil {
		return "", err
	}
	return f.givenUp(ctx, p, "the second SIGTERM, without JetStream's answer to job.started")
}

// givenUp awaits the panic of a job whose executor has to go, and its exit.
func (f *flow) givenUp(ctx context.Context, p *program, why string) (string, error) {
	if _, err := f.panicked(ctx, lastWords, contract.KindDrained); err != nil {
		return "", fmt.Errorf("after %s: %w", why, err)
	}
	if err := p.exits(ctx, lastWords, false); err != nil {
		return "", fmt.Errorf("after %s: %w", why, err)
	}
	return fmt.Sprintf("a panic of kind drained, and %s", p.how()), nil
}

func drainGrace(ctx context.Context, s *stage) (string, error) {
	grace := s.clock.Stretch(testGrace)
	p, err := s.start(ctx, withGrace(grace))
	if err != nil {
		return "", err
	}
	f, err := s.queued(ctx)
	if err == nil {
		err = f.started(ctx)
	}
	if err != nil {
		return "", err
	}
	from := time.Now()
	if err := s.drain(ctx, p); err != nil {
		return "", err
	}
	_, err = inTimeAfter(ctx, f.timing, from.Add(grace), lastWords, "job.done or job.panic",
		func(ctx context.Context) (int, error) {
			_, at, err := f.hub.events.Await(ctx, 0, func(s said) bool {
				return s.plain() == f.doc.Done || s.plain() == f.doc.Panic
			})
			return at, err
		})
	if err != nil {
		return "", fmt.Errorf("DAGYO_GRACE is %v: %w", grace, err)
	}
	return f.givenUp(ctx, p, "DAGYO_GRACE")
}
