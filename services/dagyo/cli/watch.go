package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

// movesEvery is the time between two lines about the edges of a flow.
const movesEvery = 5 * time.Second

// A watcher prints the events of one flow and the traffic on its edges.
type watcher struct {
	app      *app
	feed     *client.Feed
	meter    *client.Meter
	progress *report.Progress
	moves    *time.Ticker
	flow     string
}

func (a *app) newWatcher(ctx context.Context, c *client.Client, flow string) (*watcher, error) {
	feed, err := c.Follow(ctx, client.Start{}, client.FlowSubjects(flow)...)
	if err != nil {
		return nil, err
	}
	meter, err := c.Measure(flow)
	if err != nil {
		feed.Close()
		return nil, err
	}
	return &watcher{
		app: a, feed: feed, meter: meter, progress: report.NewProgress(flow, time.Now()),
		moves: time.NewTicker(movesEvery), flow: flow,
	}, nil
}

func (w *watcher) close() {
	w.moves.Stop()
	w.meter.Close()
	w.feed.Close()
}

// next prints the next event, and the traffic until it arrives.
func (w *watcher) next(ctx context.Context) (contract.Event, error) {
	for {
		select {
		case e := <-w.feed.Events():
			w.progress.Apply(e)
			return e, w.app.printEvent(e)
		case c := <-w.meter.Credits:
			w.progress.Consumed(c.Subject, c.Records)
		case now := <-w.moves.C:
			if err := w.tellMoves(now); err != nil {
				return contract.Event{}, err
			}
		case <-ctx.Done():
			return contract.Event{}, context.Cause(ctx)
		}
	}
}

func (w *watcher) tellMoves(now time.Time) error {
	text := w.progress.Moved(now)
	if text == "" || w.app.json() {
		return nil
	}
	_, err := fmt.Fprintf(w.app.Out, "%s %-17s %s  %s\n", now.Local().Format("15:04:05.000"), "edges", w.flow, text)
	return err
}
