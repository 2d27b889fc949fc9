package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

func claimChecks() []Check {
	const see = "Executors, Claim"
	return []Check{{
		Name: "name.taken-first", See: "Executors, Name", run: nameTaken,
		Demand: "An executor claims its name once, before it pulls.",
	}, {
		Name: "name.taken-by-another", See: "Executors, Name", run: nameTakenBefore,
		Demand: "An executor whose id was used by another program before pulls no job, waits, and exits " +
			"0 on SIGTERM.",
	}, {
		Name: "claim.stored", See: see + ", 3", run: claimStored,
		Demand: "A job runs only after JetStream has confirmed that its job.started is stored, as the " +
			"first on its subject.",
	}, {
		Name: "claim.order", See: see + ", 5", run: claimOrder,
		Demand: "A job is acknowledged only after JetStream has confirmed that its job.started is stored.",
	}, {
		Name: "claim.acknowledged", See: see + ", 5", run: claimAcknowledged,
		Demand: "A claimed job is acknowledged with a request for confirmation, which is repeated until " +
			"confirmed; the job runs meanwhile.",
	}, {
		Name: "claim.lost-answer", See: see + ", 4", run: claimLostAnswer,
		Demand: "A job whose job.started was stored, but whose answer was lost, is run by the executor " +
			"that published it.",
	}, {
		Name: "claim.redelivered", See: see + ", 4 and 5", run: claimRedelivered,
		Demand: "A job redelivered because its acknowledgements were lost is acknowledged and not run again.",
	}, {
		Name: "claim.started-elsewhere", See: see + ", 4", run: claimStartedElsewhere,
		Demand: "A job whose job.started already exists is dropped and acknowledged, and the next one is taken.",
	}, {
		Name: "claim.started-plainly", See: see + ", 3", run: claimStartedPlainly,
		Demand: "A job that is delivered again, and whose job.started is on the plain subject, is acknowledged and not run.",
	}, {
		Name: "claim.delivered-twice", See: see + ", 4", run: claimDeliveredTwice,
		Demand: "A job that is twice in the mailbox runs once.",
	}, {
		Name: "claim.two-executors", See: see, run: claimTwoExecutors,
		Demand: "If two executors share a mailbox, only one of them runs a job.",
	}, {
		Name: "claim.slots", See: see + ", 2", run: claimSlots,
		Demand: "No more jobs are pulled than there are free slots, and all slots are used.",
	}, {
		Name: "claim.mailbox-missing", See: see + ", 1", run: claimMailboxMissing,
		Demand: "An executor whose mailbox does not exist yet asks for it at growing intervals, does not create it, " +
			"and takes jobs once it exists.",
	}, {
		Name: "claim.own-id", See: "Executors, Environment", run: claimOwnID,
		Demand: "Without DAGYO_EXECUTOR the executor generates an id that matches the grammar of names.",
	}}
}

// A holder holds back the answers to what an executor publishes on some subjects.
type holder struct {
	asked func(subject string) bool

	mu      sync.Mutex
	replies map[string]bool
	release chan struct{}
}

func holdAnswers(t *tap.Tap, asked func(subject string) bool) *holder {
	h := &holder{asked: asked, replies: map[string]bool{}, release: make(chan struct{})}
	t.Decide(h.decide)
	return h
}

func (h *holder) decide(m *tap.Message) tap.Decision {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case m.Op == tap.Pub && m.Reply != "" && h.asked(m.Plain()):
		h.replies[m.Reply] = true
	case m.Op == tap.Msg && h.replies[m.Subject]:
		return tap.Decision{Until: h.release}
	}
	return tap.Pass
}

func claimStored(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.startWithFlow(ctx)
	if err != nil {
		return "", err
	}
	held := holdAnswers(p.tap, func(subject string) bool { return subject == f.doc.Started })
	if err := f.put(ctx); err != nil {
		return "", err
	}
	said, at, err := p.await(ctx, s.patience, "job.started", 0, published(f.doc.Started))
	if err != nil {
		return "", err
	}
	if said.Reply == "" {
		return "", errors.New("job.started was published without a reply subject, so JetStream cannot answer")
	}
	if err := first(said); err != nil {
		return "", err
	}
	const early = "the job ran although it was not known that job.started is stored"
	if err := p.never(ctx, early, at, f.works); err != nil {
		return "", err
	}
	close(held.release)
	if err := f.echo(ctx, repeated(10, 3)); err != nil {
		return "", fmt.Errorf("the answer came after %v: %w", hold, err)
	}
	return fmt.Sprintf("nothing ran while JetStream's answer was held back for %v", hold), nil
}

// first holds a message to being the first on its subject, by nothing else than what is stored.
func first(m tap.Message) error {
	if got := m.Header.Get(jetstream.ExpectedLastSubjSeqHeader); got != "0" {
		return fmt.Errorf("%s has %s %q, not 0", m.Subject, jetstream.ExpectedLastSubjSeqHeader, got)
	}
	if got := m.Header.Get(nats.MsgIdHdr); got != "" {
		return fmt.Errorf("%s has %s %q: anybody may have used that before", m.Subject, nats.MsgIdHdr, got)
	}
	want := m.Subject
	if contract.TypeOf(m.Subject) == contract.TypeJobStarted { // the first one of any executor
		sender, plain := contract.SplitSender(m.Subject)
		want = contract.StartedBy(plain, sender.Mailbox, "*")
	}
	if got := m.Header.Get(jetstream.ExpectedLastSubjSeqSubjHeader); got != want && (got != "" || want != m.Subject) {
		return fmt.Errorf("%s has %s %q, not %q", m.Subject, jetstream.ExpectedLastSubjSeqSubjHeader, got, want)
	}
	return nil
}

// sayStarted stores the word of another executor that has the flow's job.
func (s *stage) sayStarted(ctx context.Context, f *flow) error {
	data := &contract.JobStarted{Job: f.doc.Job, Executor: "somebody-else"}
	e := event.New(contract.TypeJobStarted, "/dagyo/executor/somebody-else", f.doc.Flow, data, time.Now())
	e.By, e.Mailbox = data.Executor, contract.MailboxConsumer(s.progdef(), s.revision())
	return s.say(ctx, e)
}

func (s *stage) say(ctx context.Context, e contract.Event) error {
	m, err := event.Encode(e)
	if err != nil {
		return err
	}
	if _, err := s.hub.link.JS.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("publish %s: %w", e.Type, err)
	}
	return nil
}

func claimStartedElsewhere(ctx context.Context, s *stage) (string, error) {
	taken, err := s.flow(ctx)
	if err != nil {
		return "", err
	}
	if err := errors.Join(s.sayStarted(ctx, taken), taken.prepare(ctx, repeated(10, 3))); err != nil {
		return "", err
	}
	p, next, err := s.behind(ctx, taken)
	if err != nil {
		return "", err
	}
	if err := next.echo(ctx, repeated(10, 3)); err != nil {
		return "", fmt.Errorf("the job behind it: %w", err)
	}
	if _, err := taken.acknowledged(ctx, p, 0); err != nil {
		return "", fmt.Errorf("another had started the job: %w", err)
	}
	for _, m := range p.tap.Journal.All() {
		if taken.works(m) {
			return "", fmt.Errorf("the job was run, although another had started it: published on %s", m.Subject)
		}
	}
	return "the job was dropped and acknowledged, and the next one was run", nil
}

// behind puts a job into the mailbox, then another, and starts an executor.
func (s *stage) behind(ctx context.Context, first *flow) (*program, *flow, error) {
	p, err := s.start(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := first.put(ctx); err != nil {
		return nil, nil, err
	}
	next, err := s.queued(ctx)
	return p, next, err
}

func claimDeliveredTwice(ctx context.Context, s *stage) (string, error) {
	f, err := s.flow(ctx)
	if err != nil {
		return "", err
	}
	l := repeated(10, 3)
	if err := errors.Join(f.prepare(ctx, l), f.put(ctx)); err != nil {
		return "", err
	}
	p, next, err := s.behind(ctx, f)
	if err != nil {
		return "", err
	}
	if err := f.doneWith(ctx, l.count()); err != nil {
		return "", err
	}
	last := p.tap.Journal.Len()
	if err := next.echo(ctx, repeated(10, 3)); err != nil {
		return "", fmt.Errorf("the job behind it: %w", err)
	}
	return "the job ran once, and the next one was run", f.ranAgain(p, last)
}

// ranAgain reports what shows that a job that has ended goes on behind the first n messages.
func (f *flow) ranAgain(p *program, n int) error {
	messages, _ := p.tap.Journal.From(n)
	for _, m := range messages {
		if f.works(m) && !slices.Contains([]string{f.doc.Done, f.doc.Health, f.in.Credit}, m.Plain()) {
			return fmt.Errorf("the job was run again: published on %s after its end", m.Subject)
		}
	}
	return nil
}

func claimTwoExecutors(ctx context.Context, s *stage) (string, error) {
	const jobs = 20
	var flows []*flow
	for range jobs {
		f, err := s.flow(ctx)
		if err != nil {
			return "", err
		}
		if err := errors.Join(f.put(ctx), f.put(ctx), f.prepare(ctx, repeated(10, 3))); err != nil {
			return "", err
		}
		flows = append(flows, f)
	}
	for range 2 {
		if _, err := s.start(ctx, withSlots(4)); err != nil {
			return "", err
		}
	}
	ran := map[string]int{}
	for _, f := range flows {
		d, err := f.done(ctx, s.patience)
		if err != nil {
			return "", fmt.Errorf("of %d jobs that were each in the mailbox twice: %w", jobs, err)
		}
		ran[d.Executor]++
	}
	if err := s.ranOnce(flows); err != nil {
		return "", err
	}
	return fmt.Sprintf("each of %d jobs ran once, in %d executors", jobs, len(ran)), nil
}

// prepare writes a whole input before there is a reader.
func (f *flow) prepare(ctx context.Context, l load) error {
	w, err := f.writer()
	if err != nil {
		return err
	}
	defer w.Abort()
	return l.send(ctx, w)
}

// ranOnce holds all that executors have said to one executor for each job.
func (s *stage) ranOnce(flows []*flow) error {
	for _, f := range flows {
		var by []string
		for _, p := range s.programs {
			for _, m := range p.tap.Journal.All() {
				if f.works(m) {
					by = append(by, p.id)
					break
				}
			}
		}
		if len(by) > 1 {
			return fmt.Errorf("the job of flow %s was run by %v", f.doc.Flow, by)
		}
	}
	return nil
}

func claimSlots(ctx context.Context, s *stage) (string, error) {
	const slots, jobs = 2, 5
	var flows []*flow
	for range jobs {
		f, err := s.flow(ctx)
		if err != nil {
			return "", err
		}
		flows = append(flows, f)
	}
	p, err := s.start(ctx, withSlots(slots))
	if err != nil {
		return "", err
	}
	for _, f := range flows {
		if err := f.put(ctx); err != nil {
			return "", err
		}
	}
	for _, f := range flows[:slots] { // all slots are used
		if err := f.started(ctx); err != nil {
			return "", fmt.Errorf("with %d slots and %d jobs: %w", slots, jobs, err)
		}
	}
	for _, f := range flows {
		if err := f.echo(ctx, repeated(10, 3)); err != nil {
			return "", err
		}
	}
	most, err := audit.Slots(p.tap.Journal.All(), slots)
	return fmt.Sprintf("%d jobs ran, %d at the same time", jobs, most), err
}

// mostPulls limits how often an executor may ask in the first two seconds without a mailbox.
const mostPulls = 20

func claimMailboxMissing(ctx context.Context, s *stage) (string, error) {
	p, err := s.startAlone()
	if err != nil {
		return "", err
	}
	if err := p.ready(ctx); err != nil {
		return "", err
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return "", err
	}
	asked := audit.Pulls(p.tap.Journal.All())
	if asked > mostPulls {
		return "", fmt.Errorf("without a mailbox it asked for jobs %d times in two seconds", asked)
	}
	if err := audit.Calls(p.tap.Journal.All()); err != nil {
		return "", err
	}
	if err := s.makeMailbox(ctx); err != nil {
		return "", err
	}
	f, err := s.queued(ctx)
	if err == nil {
		err = f.echo(ctx, repeated(10, 3))
	}
	return fmt.Sprintf("it asked %d times, and took a job once the mailbox existed", asked), err
}

func claimOwnID(ctx context.Context, s *stage) (string, error) {
	if _, err := s.start(ctx, withoutID); err != nil {
		return "", err
	}
	f, err := s.queued(ctx)
	if err != nil {
		return "", err
	}
	w, err := s.hub.stored(ctx, s.timing, s.patience, "job.started", f.doc.Started)
	if err != nil {
		return "", err
	}
	e, err := w.decode()
	if err != nil {
		return "", err
	}
	id := e.Data.(*contract.JobStarted).Executor
	if !document.ValidName(id) {
		return "", fmt.Errorf("the executor calls itself %q; a name matches %s", id, document.NamePattern)
	}
	return "it calls itself " + id, nil
}
