package planner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
	// releaseBuffer limits the waiting releases. If a release is dropped, the outputs are kept until the retention
	// expires.
	releaseBuffer = 1024
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
}

// A releaser is a flow and the user who releases it, "" if that is not known.
type releaser struct{ flow, user string }

// wait sets the time of the next check.
func (l *release) wait(now time.Time) {
	l.due = now.Add(l.pause)
	l.pause = min(2*l.pause, lastReleaseLook)
}

// heedReleases reports flows to the state that were released, have ended, and whose outputs are read. Until then a
// release has no effect: an early one loses no output.
func (w *wiring) heedReleases(ctx context.Context, r *service.Runtime[*State]) error {
	heard := make(chan *nats.Msg, releaseBuffer)
	plain, err := w.link.ChanSubscribe(contract.ReleaseSubjects, heard)
	if err != nil {
		return err
	}
	named, err := w.link.ChanSubscribe(contract.FromAny(contract.ReleaseSubjects), heard)
	if err != nil {
		return errors.Join(err, plain.Unsubscribe())
	}
	asked := make(map[releaser]*release)
	looks := time.NewTicker(firstReleaseLook)
	defer looks.Stop()
	for {
		select {
		case m := <-heard:
			sender, subject := contract.SplitSender(m.Subject)
			id := releaser{strings.TrimPrefix(subject, contract.ReleaseSubject("")), sender.Name}
			if len(asked) == 0 {
				looks.Reset(firstReleaseLook)
			}
			if r := asked[id]; r == nil || len(r.read.Read) == 0 {
				asked[id] = &release{pause: firstReleaseLook, read: readRelease(m.Data)}
			}
		case now := <-looks.C:
			if w.lookAll(ctx, r, asked, now); len(asked) == 0 {
				looks.Stop()
			}
		case <-ctx.Done():
			return errors.Join(plain.Unsubscribe(), named.Unsubscribe())
		}
	}
}

// lookAll checks the released flows that are due.
func (w *wiring) lookAll(ctx context.Context, r *service.Runtime[*State], asked map[releaser]*release, now time.Time) {
	for id, l := range asked {
		if now.Before(l.due) {
			continue
		}
		over, err := w.look(ctx, r, id, l.read)
		if err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Str("flow", id.flow).Msg("cannot check whether the outputs are read; trying again")
		}
		if l.wait(now); over {
			delete(asked, id)
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

// readRelease reads the counts that a client reports. A malformed release counts as an empty one.
func readRelease(raw []byte) contract.Release {
	var d contract.Release
	if json.Unmarshal(raw, &d) != nil || len(d.Read) > releasedOutputs {
		return contract.Release{}
	}
	for name, n := range d.Read {
		if !document.ValidName(name) || n.Records < 0 || n.Bytes < 0 {
			return contract.Release{}
		}
	}
	return d
}

// releasedOutputs limits the outputs in a release.
const releasedOutputs = 1000
