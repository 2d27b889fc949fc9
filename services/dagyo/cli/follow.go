package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
)

// A follower follows one flow from its submission to its verdict.
type follower struct {
	app     *app
	client  *client.Client
	flow    string
	display display
	// submitted is the sequence number of our submission in EVENTS, 0 without a submission.
	submitted uint64
	// ends are the flow's own inputs and outputs; nil if this command does not feed or read them.
	ends *ends

	// document is the digest of the submitted document; chosen is set if the user chose its id.
	document string
	chosen   bool
	// past is the status of a flow that already had its verdict at the start, else nil.
	past *contract.FlowStatus
	// attached holds the inputs to feed and outputs to read of a flow submitted by another command, else nil.
	attached *contract.FlowPlanned
	// taken is set once the id turns out to belong to a different flow.
	taken error

	// hold is set if the flow depends on this command.
	hold *client.Hold

	in interrupts
	// interrupted is set by the first signal.
	interrupted bool
	// aborted is the error for which this command cancelled the flow.
	aborted error
	// connection delivers the changes of the client's connection.
	connection <-chan bool
	story      story
	known      bool // the flow was validated before our submission
	heard      bool // an event of the flow was received
	warned     bool

	tasks  sync.WaitGroup
	events <-chan contract.Event // of the feed, until the verdict
	// verdict is the event that ended the flow; its type is "" until then.
	verdict contract.Event
	stored  chan error // the result of storing our cancel
	read    chan error // the outputs were read to the end
	hint    <-chan time.Time
	late    <-chan time.Time
	lateFor error // the error when the wait is over
}

const (
	// cancelWait bounds the attempts to store a cancel; cancelPause is the time between two attempts.
	cancelWait  = 10 * time.Second
	cancelPause = 250 * time.Millisecond
	// hintWait is the time after a cancel until a hint is printed on how to exit without waiting.
	hintWait = time.Second
	// verdictWait bounds the wait for the verdict of a flow that was cancelled by a signal.
	verdictWait = 30 * time.Second
	// restWait bounds writing the rest of the outputs after that.
	restWait = 3 * time.Second
)

// drawEvery is the time between two updates of the status.
const drawEvery = 200 * time.Millisecond

// quietFor is the time without events after which the services are pinged.
const quietFor = 3 * time.Second

// follow returns the event that ends the flow, once its outputs are read. The first signal cancels the flow and bounds
// all waiting; after that bound follow returns errGivenUp. A second signal, once the cancel is stored, returns
// errInterrupted.
func (f *follower) follow(ctx context.Context, in interrupts) (contract.Event, error) {
	ctx, cancel := f.client.Alive(ctx)
	defer f.tasks.Wait()
	defer cancel()
	feed, err := f.client.Follow(ctx, client.Start{}, client.FlowSubjects(f.flow)...)
	if err != nil {
		return contract.Event{}, err
	}
	defer feed.Close()
	meter, err := f.client.Measure(f.flow)
	if err != nil {
		return contract.Event{}, err
	}
	defer meter.Close()
	connection, disconnect := f.client.Connection()
	defer disconnect()
	f.connection = connection
	defer f.display.close()
	f.in, f.story, f.events = in, newStory(feed), feed.Events()
	f.in.together(true)
	defer f.in.together(false)
	defer f.app.stdout.patient()()
	defer cancel()
	if f.attached != nil {
		f.ends.open(ctx, f.attached)
	}
	if f.verdictGone() && f.over(ctx, f.fromPast()) {
		return f.verdict, nil
	}
	err = f.listen(ctx, meter)
	return f.verdict, err
}

// listen handles events until the flow has ended and its outputs are read.
func (f *follower) listen(ctx context.Context, meter *client.Meter) error {
	began := time.Now()
	first := f.in.first
	draw := time.NewTicker(drawEvery)
	defer draw.Stop()
	for {
		select {
		case e := <-f.events:
			ended := f.take(ctx, e)
			if !ended && f.verdictGone() {
				e, ended = f.fromPast(), true
			}
			switch {
			case f.taken != nil:
				return f.taken
			case ended && f.over(ctx, e):
				return nil
			}
		case connected := <-f.connection:
			f.sayConnection(connected)
		case err := <-f.read:
			return err
		case c := <-meter.Credits:
			f.display.consumed(c.Subject, c.Records)
		case now := <-draw.C:
			f.ends.progress(f.display.consumed)
			f.display.tick(now)
			if !f.heard && now.Sub(began) > quietFor {
				f.warnOfSilence(ctx)
			}
		case <-first:
			if first = nil; !f.interrupt(ctx) {
				return errInterrupted
			}
		case <-f.in.second:
			return errInterrupted
		case err := <-f.ends.failure():
			f.abort(ctx, err)
		case err := <-f.stored:
			if err := f.cancelled(err); err != nil {
				return err
			}
		case <-f.hint:
			f.say("flow %s has not ended yet; press Ctrl-C again to exit without waiting", f.flow)
		case <-f.late:
			return f.lateFor
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// verdictGone reports whether the flow had its verdict at the start, and no stored event is left that could be it.
func (f *follower) verdictGone() bool { return f.past != nil && f.story.told >= f.story.stored }

// fromPast returns the verdict of a flow whose events are no longer stored.
func (f *follower) fromPast() contract.Event {
	if !f.known {
		f.said()
	}
	return verdictOf(*f.past)
}

// over records the verdict, and reports whether all outputs are read.
func (f *follower) over(ctx context.Context, verdict contract.Event) bool {
	f.verdict, f.events, f.hint, f.late = verdict, nil, nil, nil
	if f.ends == nil {
		return true
	}
	read := make(chan error, 1)
	f.read = read
	f.tasks.Go(func() { read <- f.ends.finish(ctx, verdict.Type) })
	if f.interrupted {
		f.wait(restWait, errUnread)
	}
	return false
}

// wait bounds the wait for the next step.
func (f *follower) wait(d time.Duration, why error) {
	f.late, f.lateFor = time.After(d), why
}

// interrupt handles the first signal. It reports whether to keep waiting: not if the flow has ended and only a reader
// of the outputs is missing.
func (f *follower) interrupt(ctx context.Context) bool {
	f.interrupted = true
	if f.verdict.Type != "" {
		return false
	}
	if f.aborted == nil {
		f.say("cancelling flow %s", f.flow)
		f.cancel(ctx, "interrupted")
	}
	return true
}

// abort cancels the flow because of an error of this command.
func (f *follower) abort(ctx context.Context, err error) {
	if f.aborted != nil || f.interrupted {
		return
	}
	f.aborted = err
	if f.verdict.Type != "" {
		return // there is nothing to cancel
	}
	f.say("cancelling flow %s: %v", f.flow, err)
	f.cancel(ctx, err.Error())
}

// cancel publishes the cancel of the flow in the background, and retries until it is stored.
func (f *follower) cancel(ctx context.Context, reason string) {
	stored := make(chan error, 1)
	f.stored = stored
	f.tasks.Go(func() {
		ctx, done := context.WithTimeout(ctx, cancelWait)
		defer done()
		for {
			_, err := f.client.Cancel(ctx, f.flow, reason)
			if err == nil {
				stored <- nil
				return
			}
			select {
			case <-time.After(cancelPause):
			case <-ctx.Done():
				stored <- err
				return
			}
		}
	})
}

// cancelled handles the result of storing our cancel. From now on a second signal exits, and the wait for the verdict
// is bounded.
func (f *follower) cancelled(err error) error {
	f.stored = nil
	f.in.together(false)
	switch {
	case f.verdict.Type != "":
	case err != nil:
		return f.givenUp(fmt.Sprintf("its cancel could not be stored within %v: %v", cancelWait, err))
	default:
		f.hint = time.After(hintWait)
		f.wait(verdictWait, f.givenUp(fmt.Sprintf("its cancel is stored, but there is no verdict after %v", verdictWait)))
	}
	return nil
}

// givenUp returns the error of a command that stopped waiting.
func (f *follower) givenUp(why string) error {
	return &exit{ExitUnknown, fmt.Errorf(
		"gave up waiting for flow %s, which may still be running: %s; see `dagyo show %s`", f.flow, why, f.flow)}
}

// errUnread is reported when records of outputs are discarded.
var errUnread = errors.New("not all records of the outputs were written: their reader does not read")

// take handles an event of the flow, and reports whether it ends the flow.
func (f *follower) take(ctx context.Context, e contract.Event) (ended bool) {
	ended = f.story.ends(e)
	if d, ok := e.Data.(*contract.FlowValidated); ok && f.submitted > 0 {
		if f.taken = f.client.Same(f.flow, d.Owner, d.Document, f.document); f.taken != nil {
			f.release()
			return true
		}
	}
	if f.stale(e) {
		return false
	}
	f.heard = true
	f.display.event(e)
	if d, planned := e.Data.(*contract.FlowPlanned); planned && f.ends != nil && !f.known {
		f.ends.open(ctx, d)
	}
	return ended || f.submitted > 0 && e.Type == contract.TypeFlowRejected
}

// stale reports whether an event is about an earlier submission under the same id that was rejected.
// An earlier submission that is valid is the same flow as ours.
func (f *follower) stale(e contract.Event) bool {
	if e.Seq >= f.submitted {
		return false
	}
	if e.Type == contract.TypeFlowValidated && !f.known {
		f.known = true
		f.release()
		f.said()
	}
	return !f.known
}

func (f *follower) said() {
	if f.attached == nil {
		f.say("flow %s was already submitted: following that run, without its inputs and outputs", f.flow)
	}
}

// announce starts the heartbeats of this client if the document has inputs or outputs.
func (f *follower) announce(document []byte) error {
	own, _ := namesIn(document)
	if f.ends == nil || len(own.inputs)+len(own.outputs) == 0 {
		return nil
	}
	var err error
	f.hold, err = f.client.Hold(f.flow)
	return err
}

func (f *follower) sayConnection(connected bool) {
	if connected {
		f.say("reconnected to %s", broker.Redact(f.app.server))
		return
	}
	f.say("lost the connection to %s; reconnecting (the flow keeps running)", broker.Redact(f.app.server))
}

// unhold stops the heartbeats.
func (f *follower) unhold() {
	if f.hold != nil {
		f.hold.Close()
	}
}

// release lets the flow run without this client.
func (f *follower) release() {
	if f.hold != nil {
		_ = f.hold.Release() // it fails on a closed connection only
	}
}

func (f *follower) say(format string, args ...any) {
	fmt.Fprintf(f.app.Err, format+"\n", args...)
}

// warnOfSilence prints once, in the background, which services do not answer.
func (f *follower) warnOfSilence(ctx context.Context) {
	if f.warned {
		return
	}
	f.warned = true
	f.tasks.Go(func() {
		ctx, done := context.WithTimeout(ctx, pingWait)
		defer done()
		found, err := f.client.Ping(ctx)
		if missing := client.Missing(found); err == nil && len(missing) > 0 {
			f.say("no answer from %s: the flow waits until the service answers", strings.Join(missing, ", "))
		}
	})
}
