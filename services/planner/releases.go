package planner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
)

const (
	// releasesMost limits the waiting releases, earlyReleases those of unknown flows: their flow may become known by the
	// first check. If a release is dropped, the outputs are kept until the retention expires.
	releasesMost  = 20_000
	earlyReleases = 1000
	// releaseBytes is the maximum size of a release.
	releaseBytes = 256 << 10
	// firstReleaseLook and lastReleaseLook are the shortest and the longest pause between two checks of a released
	// flow's outputs.
	firstReleaseLook = 50 * time.Millisecond
	lastReleaseLook  = 2 * time.Second
)

// A release is a client's request to keep a flow's outputs only until they are read.
type release struct {
	due   time.Time
	pause time.Duration
	read  contract.Release
	early bool // its flow was not known when it arrived
}

// A releaser is a flow and the user who releases it, "" if that is not known.
type releaser struct{ flow, user string }

// wait sets the time of the next check.
func (l *release) wait(now time.Time) {
	l.due = now.Add(l.pause)
	l.pause = min(2*l.pause, lastReleaseLook)
}

// releases are those that wait for the end of their flow, or until its outputs are read.
type releases struct {
	mu    sync.Mutex
	of    map[releaser]*release
	early int           // how many are of unknown flows
	begun chan struct{} // signals that there is one, after there were none
}

func newReleases() *releases {
	return &releases{of: make(map[releaser]*release), begun: make(chan struct{}, 1)}
}

// readReleaser reads the subject of a release.
func readReleaser(subject string) (id releaser, ok bool) {
	sender, plain := contract.SplitSender(subject)
	id = releaser{strings.Clone(strings.TrimPrefix(plain, contract.ReleaseSubject(""))), strings.Clone(sender.Name)}
	return id, document.ValidName(id.flow) && (id.user == "" || document.ValidName(id.user))
}

// add adds a release, if there is room. known is whether the flow is, outputs the number of its outputs: the counts of
// others are not kept.
func (q *releases) add(id releaser, body []byte, known bool, outputs int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.of[id]
	switch {
	case l == nil && (len(q.of) >= releasesMost || !known && q.early >= earlyReleases):
		return
	case l == nil:
		l = &release{pause: firstReleaseLook, early: !known}
		if q.of[id] = l; l.early {
			q.early++
		}
		if len(q.of) == 1 {
			select {
			case q.begun <- struct{}{}:
			default: // the last signal is not received yet
			}
		}
	}
	if len(l.read.Read) == 0 && outputs > 0 {
		l.read = readRelease(body, outputs)
	}
}

// due returns the releases to check now, and sets the time of their next check. none is true if none wait at all.
func (q *releases) due(now time.Time) (due map[releaser]contract.Release, none bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	due = make(map[releaser]contract.Release)
	for id, l := range q.of {
		if !now.Before(l.due) {
			due[id] = l.read
			l.wait(now)
		}
	}
	return due, len(q.of) == 0
}

func (q *releases) remove(id releaser) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of[id].early {
		q.early--
	}
	delete(q.of, id)
}

// heedReleases reports flows to the state that were released, have ended, and whose outputs are read. Until then a
// release has no effect: an early one loses no output.
func (w *wiring) heedReleases(ctx context.Context, r *service.Runtime[*State]) error {
	q := newReleases()
	hear := func(m *nats.Msg) {
		id, ok := readReleaser(m.Subject)
		if !ok || len(m.Data) > releaseBytes {
			return
		}
		var outputs []contract.Address
		var known, foreign bool
		r.Read(func(s *State) {
			outputs, known, _ = s.outputs(id)
			foreign = !known && s.runs[id.flow] != nil
		})
		if !foreign {
			q.add(id, m.Data, known, len(outputs))
		}
	}
	plain, err := w.link.Subscribe(contract.ReleaseSubjects, hear)
	if err != nil {
		return err
	}
	named, err := w.link.Subscribe(contract.FromAny(contract.ReleaseSubjects), hear)
	if err != nil {
		return errors.Join(err, plain.Unsubscribe())
	}
	looks := time.NewTicker(firstReleaseLook)
	defer looks.Stop()
	for {
		select {
		case <-q.begun:
			looks.Reset(firstReleaseLook)
		case now := <-looks.C:
			due, none := q.due(now)
			if none {
				looks.Stop()
			}
			w.lookAll(ctx, r, q, due)
		case <-ctx.Done():
			return errors.Join(plain.Unsubscribe(), named.Unsubscribe())
		}
	}
}

// lookAll checks released flows.
func (w *wiring) lookAll(ctx context.Context, r *service.Runtime[*State], q *releases, due map[releaser]contract.Release) {
	for id, read := range due {
		over, err := w.look(ctx, r, id, read)
		if err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Str("flow", id.flow).Msg("cannot check whether the outputs are read; trying again")
		}
		if over {
			q.remove(id)
		}
	}
}

// look releases a flow if it has ended and its outputs are read. It reports whether no further check is needed.
func (w *wiring) look(
	ctx context.Context, r *service.Runtime[*State], id releaser, read contract.Release,
) (over bool, err error) {
	var outputs []contract.Address
	var known, ended bool
	r.Read(func(s *State) { outputs, known, ended = s.outputs(id) })
	if !known || !ended {
		return !known, nil
	}
	for _, a := range outputs {
		if done, err := w.isRead(ctx, a); !done || err != nil {
			return false, err
		}
	}
	r.Fold(contract.Event{Type: FactReleased, Subject: id.flow, With: read})
	return true, nil
}

// outputs returns the addresses of a flow's outputs, whether any are kept that the releaser may release, and whether the
// flow has ended.
func (s *State) outputs(id releaser) (ends []contract.Address, known, ended bool) {
	r := s.runs[id.flow]
	if r == nil || r.Planned && !r.Outputs || (contract.Sender{Name: id.user}).Foreign(r.Owner) {
		return nil, false, false
	}
	return r.Ends, true, !r.Ended.IsZero()
}

// isRead reports whether the reader has consumed all stored frames of an output. Frames that were sent directly to the
// reader are not stored, and the writer's job ends only when they are consumed.
func (w *wiring) isRead(ctx context.Context, a contract.Address) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	if a.Salt != "" {
		return w.isSealedRead(ctx, a)
	}
	s, err := w.stream(ctx, a.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at stream %s: %w", a.Stream, err)
	}
	last := func(subject string) ([]byte, error) { return lastOn(ctx, s, subject) }
	done, err := readIn(a, last)
	if err != nil {
		w.streams.Delete(a.Stream) // the next check shows whether the stream still exists
	}
	return done, err
}

// isSealedRead is isRead for a sealed edge, on which others may have stored something, too.
func (w *wiring) isSealedRead(ctx context.Context, a contract.Address) (bool, error) {
	a, err := w.secret.Address(a)
	if err != nil {
		return false, err
	}
	credit, err := stream.LastCredit(ctx, w.link.JS, a)
	if err == nil && !credit.Closed {
		behind, err := stream.Behind(ctx, w.link.JS, a, credit.Frame)
		return !behind, ignoreGone(err)
	}
	return true, ignoreGone(err)
}

func ignoreGone(err error) error {
	if errors.Is(err, stream.ErrGone) {
		return nil
	}
	return err
}

// readIn is isRead for a stream whose last message on a subject is known.
func readIn(a contract.Address, last func(subject string) ([]byte, error)) (bool, error) {
	raw, err := last(a.Credit)
	if err != nil {
		return false, err
	}
	credit, err := wire.ParseCredit(raw)
	if err != nil {
		credit = wire.Credit{} // no credit yet
	}
	if credit.Closed {
		return true, nil
	}
	return noneBehind(a, credit.Frame, last)
}

// noneBehind reports whether no frame is stored after the given one. Frames are stored in order, so the last message
// shows that, unless the writer has cleared a slot with it; then every slot must be checked.
func noneBehind(a contract.Address, frame uint64, last func(subject string) ([]byte, error)) (bool, error) {
	all := a.Subject
	if a.Slots > 0 {
		all += ".*"
	}
	m, err := last(all)
	switch {
	case err != nil:
		return false, err
	case m == nil:
		return true, nil
	case len(m) > 0:
		return wire.Number(m) <= frame, nil
	}
	for i := range uint64(a.Slots) {
		m, err := last(a.Slot(frame + 1 + i))
		if err != nil || wire.Number(m) > frame {
			return false, err
		}
	}
	return true, nil
}

const lookWait = 5 * time.Second

// lastOn returns the last message on a subject, or nil if there is none.
func lastOn(ctx context.Context, s jetstream.Stream, subject string) ([]byte, error) {
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", subject, err)
	}
	return m.Data, nil
}

// readRelease reads the counts that a client reports, of at most so many outputs. A malformed release counts as an empty
// one.
func readRelease(raw []byte, outputs int) contract.Release {
	var d contract.Release
	if json.Unmarshal(raw, &d) != nil || len(d.Read) > outputs {
		return contract.Release{}
	}
	for name, n := range d.Read {
		if !document.ValidName(name) || n.Records < 0 || n.Bytes < 0 {
			return contract.Release{}
		}
	}
	return d
}
