package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/client"
)

// A follower follows one flow from its submission to its verdict.
type follower struct {
	app     *app
	client  *client.Client
	flow    string
	display display
	// submitted is the place of our submission in EVENTS; 0 where we have submitted nothing.
	submitted uint64
	// ends are the flow's own inputs and outputs; nil leaves them to others.
	ends *ends

	// aborted is why we have cancelled the flow ourselves.
	aborted error
	story   story
	known   bool // the flow had been found valid before our submission
	heard   bool // an event of the flow has come
	warned  bool
}

// cancelWait bounds the sending of a cancel.
const cancelWait = 10 * time.Second

// drawEvery is the time between two pictures of a status.
const drawEvery = 200 * time.Millisecond

// quietFor is the silence after which it is worth a look whether anybody serves.
const quietFor = 3 * time.Second

// follow returns the event that ends the flow. A first signal cancels the flow; a second one leaves it
// alone, with errInterrupted.
func (f *follower) follow(ctx context.Context, in interrupts) (contract.Event, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
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
	defer f.display.close()
	leave := make(chan struct{})
	defer func() { <-leave }()
	defer cancel(nil)
	go func() {
		defer close(leave)
		select {
		case <-in.second:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	f.story = newStory(feed)
	verdict, err := f.listen(ctx, feed, meter, in.first)
	if err != nil || f.ends == nil {
		return verdict, err
	}
	return verdict, f.ends.finish(ctx)
}

// listen takes what comes until the verdict.
func (f *follower) listen(
	ctx context.Context, feed *client.Feed, meter *client.Meter, cancelled <-chan struct{},
) (contract.Event, error) {
	began := time.Now()
	draw := time.NewTicker(drawEvery)
	defer draw.Stop()
	for {
		select {
		case e := <-feed.Events():
			if f.take(ctx, e) {
				return e, nil
			}
		case c := <-meter.Credits:
			f.display.consumed(c.Subject, c.Records)
		case now := <-draw.C:
			f.display.tick(now)
			if !f.heard && now.Sub(began) > quietFor {
				f.warnOfSilence(ctx)
			}
		case <-cancelled:
			cancelled = nil
			f.say("cancelling flow %s; interrupt again to leave it alone", f.flow)
			f.cancel(ctx, "interrupted")
		case f.aborted = <-f.ends.failure():
			f.say("cancelling flow %s: %v", f.flow, f.aborted)
			f.cancel(ctx, f.aborted.Error())
		case <-ctx.Done():
			return contract.Event{}, context.Cause(ctx)
		}
	}
}

// take takes an event of the flow, and reports whether it is the one that ends it.
func (f *follower) take(ctx context.Context, e contract.Event) (ended bool) {
	ended = f.story.ends(e)
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

// stale reports whether an event is about an earlier submission under the same id that was
// rejected. One that was found valid is the same flow as ours.
func (f *follower) stale(e contract.Event) bool {
	if e.Seq >= f.submitted {
		return false
	}
	if e.Type == contract.TypeFlowValidated && !f.known {
		f.known = true
		f.say("flow %s was submitted before: this is that run, without its inputs and outputs", f.flow)
	}
	return !f.known
}

func (f *follower) say(format string, args ...any) {
	f.display.around(func() { fmt.Fprintf(f.app.Err, format+"\n", args...) })
}

func (f *follower) cancel(ctx context.Context, reason string) {
	ctx, done := context.WithTimeout(ctx, cancelWait)
	defer done()
	if _, err := f.client.Cancel(ctx, f.flow, reason); err != nil {
		f.say("cannot cancel flow %s: %v", f.flow, err)
	}
}

// warnOfSilence says once which services do not answer.
func (f *follower) warnOfSilence(ctx context.Context) {
	if f.warned {
		return
	}
	f.warned = true
	ctx, done := context.WithTimeout(ctx, pingWait)
	defer done()
	found, err := f.client.Ping(ctx)
	if missing := client.Missing(found); err == nil && len(missing) > 0 {
		f.say("no answer from %s: the flow waits until they are there", strings.Join(missing, ", "))
	}
}
