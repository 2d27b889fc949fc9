package conformance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

func stopChecks() []Check {
	const see = "Executors, While a job runs, Stop"
	const wired = "Executors, While a job runs, Stopped by a stream"
	return []Check{{
		Name: "stop.blocked-on-input", See: see, run: stopIdle,
		Demand: "A job waiting for its input ends within 10 s of a stop, with job.done and stopped: " +
			"true; the executor continues with the next one.",
	}, {
		Name: "stop.running", See: see, run: stopRunning,
		Demand: "A job that is processing records ends within 10 s of a stop, with stopped: true.",
	}, {
		Name: "stop.blocked-on-output", See: see, run: stopBlocked,
		Demand: "A job that is blocked on its output ends within 10 s of a stop, with stopped: true.",
	}, {
		Name: "stop.before-start", See: see, run: stopBefore,
		Demand: "A stop stored before the job started is found.",
	}, {
		Name: "stop.missed", See: see, run: stopMissed,
		Demand: "A stop sent while the executor was not connected is found after the reconnect.",
	}, {
		Name: "stop.no-stream", See: see, run: stopNoStream,
		Demand: "A job whose stream no longer exists is done with stopped: true.",
	}, {
		Name: "stop.cleaned", See: see, run: stopCleaned,
		Demand: "A job whose stop subject no longer holds a message is done with stopped: true.",
	}, {
		Name: "stop.stream-gone", run: stopGone,
		See:    "Executors, While a job runs, Edges; Edges, Reader, While nothing comes",
		Demand: "A stream deleted while the job is running means the same as a stop.",
	}, {
		Name: "stop.wired", See: wired, run: stopWired,
		Demand: "The first record of a stream connected to `stop` stops the program: its outputs end, " +
			"its inputs are closed early, and job.done has stopped: false and counts the record.",
	}, {
		Name: "stop.wired-empty", See: wired, run: stopWiredEmpty,
		Demand: "A stream connected to `stop` that ends without a record has no effect.",
	}}
}

// stopNow stops the flow and awaits what the protocol wants of it.
func (f *flow) stopNow(ctx context.Context) (string, error) {
	from := time.Now()
	if err := f.stop(ctx); err != nil {
		return "", err
	}
	if err := f.stopped(ctx, stopLimit); err != nil {
		return "", fmt.Errorf("after the stop: %w", err)
	}
	return fmt.Sprintf("stopped: true after %.1f s", time.Since(from).Seconds()), nil
}

func stopIdle(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx)
	if err == nil {
		err = f.started(ctx)
	}
	if err != nil {
		return "", err
	}
	f.looked(ctx, p)
	seen, err := f.stopNow(ctx)
	if err != nil {
		return "", err
	}
	return seen + "; the next job ran", s.another(ctx)
}

// looked waits until the executor has had an answer to its look for a stop, if it looks at all. A stop
// that is stored in that moment is missed by its subscription and by its look.
func (f *flow) looked(ctx context.Context, p *program) {
	look := func(m tap.Message) bool {
		return m.Op == tap.Pub && strings.HasSuffix(m.Subject, "."+f.in.Stream+"."+f.doc.Stop)
	}
	ask, at, err := p.await(ctx, f.patience, "look for a stop", 0, look)
	if err != nil {
		return
	}
	answer := func(m tap.Message) bool { return m.Op == tap.Msg && m.Subject == ask.Reply }
	_, _, _ = p.await(ctx, f.patience, "answer to the look for a stop", at, answer)
}

// another runs one more job.
func (s *stage) another(ctx context.Context) error {
	f, err := s.queued(ctx)
	if err == nil {
		err = f.echo(ctx, repeated(10, 3))
	}
	if err != nil {
		return fmt.Errorf("the next job: %w", err)
	}
	return nil
}

func stopRunning(ctx context.Context, s *stage) (string, error) {
	_, f, err := s.running(ctx)
	if err != nil {
		return "", err
	}
	r, err := f.reader()
	if err != nil {
		return "", err
	}
	defer r.Abort()
	flowing := make(chan struct{})
	ready := func(ctx context.Context) error {
		select {
		case <-flowing:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.stopAfter(ctx, ready, func(ctx context.Context) error {
		for i := 0; ; i++ {
			if i == 5000 {
				close(flowing)
			}
			if _, err := r.Recv(ctx); err != nil {
				return err
			}
		}
	})
}

// stopAfter feeds the job, and stops it when ready says so. More tasks go on meanwhile.
func (f *flow) stopAfter(
	ctx context.Context, ready func(context.Context) error, more ...func(context.Context) error,
) (seen string, err error) {
	w, err := f.writer()
	if err != nil {
		return "", err
	}
	defer w.Abort()
	stop := func(ctx context.Context) error {
		err := ready(ctx)
		if err == nil {
			seen, err = f.stopNow(ctx)
		}
		if err == nil {
			err = errEnough
		}
		return err
	}
	err = f.during(ctx, append(more, stop, func(ctx context.Context) error { return feedForever(ctx, w) })...)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return seen, err
}

// feedForever writes records until that fails.
func feedForever(ctx context.Context, w *stream.Writer) error {
	for i := 0; ; i++ {
		if err := w.Send(ctx, record(i, 1000)); err != nil {
			return err
		}
	}
}

func stopBlocked(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx, window(smallWindow, 64))
	if err != nil {
		return "", err
	}
	return f.stopAfter(ctx, func(ctx context.Context) error {
		if _, _, err := p.await(ctx, s.patience, "frame on the output", 0, f.writes); err != nil {
			return err
		}
		return p.quiet(ctx, f.writes)
	})
}

func stopBefore(ctx context.Context, s *stage) (string, error) {
	f, err := s.flow(ctx)
	if err != nil {
		return "", err
	}
	if err := errors.Join(f.stop(ctx), f.put(ctx)); err != nil {
		return "", err
	}
	if _, err := s.start(ctx); err != nil {
		return "", err
	}
	if err := f.started(ctx); err != nil {
		return "", err
	}
	if err := f.stopped(ctx, stopLimit); err != nil {
		return "", fmt.Errorf("a stop was stored before the job started: %w", err)
	}
	return "the job said stopped: true", nil
}

// attached awaits that the input's reader has begun to wait.
func (f *flow) attached(ctx context.Context, p *program) error {
	_, err := f.attachedAt(ctx, p)
	return err
}

// attachedAt is attached, and returns the subject on which the reader takes frames directly.
func (f *flow) attachedAt(ctx context.Context, p *program) (string, error) {
	var to string
	attaches := func(m tap.Message) bool {
		c, err := wire.ParseCredit(m.Data)
		to = f.in.Direct + "." + strconv.FormatUint(c.Attach, 10)
		return m.Op == tap.Pub && m.Subject == f.in.Credit && err == nil && c.Attach > 0
	}
	_, _, err := p.await(ctx, f.patience, "credit with which the input's reader attaches", 0, attaches)
	for err == nil { // the tap sees it before the broker does
		var stored wire.Credit
		if stored, err = f.lastCredit(ctx); stored.Attach > 0 {
			return to, nil
		}
		if errors.Is(err, errNoCredit) {
			err = pause(ctx, creditPoll)
		}
	}
	return to, err
}

// creditPoll is the time between two looks for a stored credit.
const creditPoll = 10 * time.Millisecond

func stopMissed(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx)
	if err != nil {
		return "", err
	}
	// Its first look lies behind it when it has begun to read.
	if err := f.attached(ctx, p); err != nil {
		return "", err
	}
	p.tap.Down()
	if err := f.stop(ctx); err != nil {
		return "", err
	}
	back := p.tap.Journal.Len()
	p.tap.Up()
	anything := func(tap.Message) bool { return true }
	if _, _, err := p.await(ctx, s.patience, "reconnect", back, anything); err != nil {
		return "", err
	}
	if err := f.stopped(ctx, stopLimit); err != nil {
		return "", fmt.Errorf("after the reconnect: %w", err)
	}
	return "the job said stopped: true after the reconnect", nil
}

func stopNoStream(ctx context.Context, s *stage) (string, error) {
	return s.startsOver(ctx, (*flow).remove, "the stream of the flow's edges did not exist")
}

func stopCleaned(ctx context.Context, s *stage) (string, error) {
	return s.startsOver(ctx, (*flow).clean, "nothing was stored on the subject of the stop: the flow is over")
}

// startsOver starts an executor on the job of a flow that is over.
func (s *stage) startsOver(ctx context.Context, end func(*flow, context.Context) error, why string) (string, error) {
	f, err := s.flow(ctx)
	if err != nil {
		return "", err
	}
	if err := errors.Join(end(f, ctx), f.put(ctx)); err != nil {
		return "", err
	}
	if _, err := s.start(ctx); err != nil {
		return "", err
	}
	if err := f.started(ctx); err != nil {
		return "", err
	}
	if err := f.stopped(ctx, stopLimit); err != nil {
		return "", fmt.Errorf("%s: %w", why, err)
	}
	return "the job said stopped: true", nil
}

func stopGone(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx)
	if err != nil {
		return "", err
	}
	if err := f.attached(ctx, p); err != nil {
		return "", err
	}
	from := time.Now()
	if err := f.remove(ctx); err != nil {
		return "", err
	}
	// A reader to whom nothing comes looks into the stream every 30 s at least.
	if err := f.stopped(ctx, 30*time.Second+stopLimit); err != nil {
		return "", fmt.Errorf("the flow's stream was deleted: %w", err)
	}
	return fmt.Sprintf("stopped: true after %.1f s", time.Since(from).Seconds()), nil
}
