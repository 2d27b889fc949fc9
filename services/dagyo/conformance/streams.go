package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
)

func streamChecks() []Check {
	const done = "Executors, How a job ends, Done"
	return []Check{{
		Name: "stream.echo", See: done, run: echoes(varied(50, 40)),
		Demand: "Records pass through unchanged and in order; then the output ends with correct totals, " +
			"and job.done has the records and bytes of every port.",
	}, {
		Name: "stream.empty", See: done, run: echoes(load{}),
		Demand: "An input without records results in an output without records, and counts of 0.",
	}, {
		Name: "stream.empty-records", See: "Frames", run: echoes(load{0, 0, 5, 0}),
		Demand: "Empty records are records.",
	}, {
		Name: "stream.many", See: "Frames", run: echoes(varied(200_000, 60)),
		Demand: "Many records pass through unchanged and in order.",
	}, {
		Name: "stream.large", See: "Frames", run: echoes(load{3, 16 << 20, 0, 1 << 20, 7}),
		Demand: "A record of 16 MiB, twice the window, is received and sent in several frames, unchanged.",
	}, {
		Name: "stream.small-window", See: "Edges", run: streamSmallWindow,
		Demand: "An edge with a window of 16 KiB and 8 frames carries any record.",
	}, {
		Name: "stream.stored", See: "Edges, Reader, Stored frames", run: streamStored,
		Demand: "An input that ended before the job started is read from the stream, and an output " +
			"without a reader is stored there before job.done.",
	}, {
		Name: "stream.lone-record", See: "Edges, Writer, Directly", run: streamLoneRecord,
		Demand: "A record does not wait for the next one: it is not delayed by a timer or until a frame " +
			"is full.",
	}, {
		Name: "stream.reply-subject", See: "Edges, Writer, Directly", run: streamReplySubject,
		Demand: "A frame that is sent directly has a reply subject on which its reader may publish credits: " +
			"`_INBOX.executor.<executor>.<token>.credit`.",
	}, {
		Name: "stream.frames", See: "Frames", run: streamFrames,
		Demand: "Frames are no longer than a quarter of the window, max_payload and 128 KiB; END is sent " +
			"once, in the last frame.",
	}, {
		Name: "stream.credits", See: "Edges, Reader, Credits", run: streamCredits,
		Demand: "Credits are cumulative, cover only received frames, and the last one covers all.",
	}}
}

// echoes is a check that sends a load through a job.
func echoes(l load) func(context.Context, *stage) (string, error) {
	return func(ctx context.Context, s *stage) (string, error) {
		_, f, err := s.running(ctx)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%v went through, and were counted", l), f.echo(ctx, l)
	}
}

func streamSmallWindow(ctx context.Context, s *stage) (string, error) {
	l := load{1, 0, 100_000, 3, 5000, 16 << 10, 2}
	_, f, err := s.running(ctx, window(16<<10, 8))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%v went through, the largest of %d", l, 100_000), f.echo(ctx, l)
}

func streamStored(ctx context.Context, s *stage) (string, error) {
	l := varied(500, 200)
	f, err := s.flow(ctx)
	if err != nil {
		return "", err
	}
	if err := errors.Join(f.prepare(ctx, l), f.put(ctx)); err != nil {
		return "", err
	}
	if _, err := s.start(ctx); err != nil {
		return "", err
	}
	if err := f.doneWith(ctx, l.count()); err != nil {
		return "", fmt.Errorf("nobody read the output: %w", err)
	}
	r, err := f.reader()
	if err != nil {
		return "", err
	}
	defer r.Abort()
	within, cancel := s.clock.Within(ctx, s.patience, errLate)
	defer cancel()
	if err := l.expect(within, r, 0); err != nil {
		return "", fmt.Errorf("behind job.done: %w", err)
	}
	return fmt.Sprintf("%v were read behind job.done", l), nil
}

func streamLoneRecord(ctx context.Context, s *stage) (string, error) {
	l := varied(20, 30)
	_, f, err := s.running(ctx)
	if err != nil {
		return "", err
	}
	w, r, release, err := f.ends()
	if err != nil {
		return "", err
	}
	defer release()
	err = f.during(ctx, func(ctx context.Context) error {
		for i, size := range l {
			if err := w.Send(ctx, record(i, size)); err != nil {
				return err
			}
			within, cancel := s.clock.Within(ctx, s.patience, errLate)
			err := l.expectOne(within, r, i)
			cancel()
			if err != nil {
				return fmt.Errorf("record %d did not come out while none was sent behind it: %w", i, err)
			}
		}
		return w.Close(ctx)
	})
	if err == nil {
		err = l.expect(ctx, r, len(l))
	}
	return fmt.Sprintf("%d records, each sent when the one before had come out", len(l)), err
}

func streamReplySubject(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx)
	if err != nil {
		return "", err
	}
	w, r, release, err := f.ends()
	if err != nil {
		return "", err
	}
	defer release()
	l := varied(50, 30)
	if err := f.during(ctx, func(ctx context.Context) error { return l.through(ctx, w, r) }); err != nil {
		return "", err
	}
	n := 0
	for _, m := range p.tap.Journal.All() {
		if !f.writes(m) || !strings.HasPrefix(m.Subject, f.out.Direct+".") {
			continue
		}
		if n++; m.Reply == "" {
			return "", fmt.Errorf("a frame on %s has no reply subject", m.Subject)
		}
	}
	if n == 0 {
		return "", &skip{"this executor sends no frames directly"}
	}
	return fmt.Sprintf("%s sent directly", document.Count(n, "frame")), nil // what they name is judged as they pass
}

func streamFrames(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx, window(256<<10, 64))
	if err != nil {
		return "", err
	}
	if err := f.echo(ctx, append(varied(5000, 300), 1<<20, 0, 5)); err != nil {
		return "", err
	}
	n, ended, err := audit.Frames(p.tap.Journal.All(), f.out, s.hub.outside.MaxPayload())
	if err == nil && !ended {
		err = errors.New("no frame had END")
	}
	return fmt.Sprintf("%s checked", document.Count(n, "frame")), err
}

func streamCredits(ctx context.Context, s *stage) (string, error) {
	l := varied(20_000, 400)
	p, f, err := s.running(ctx, window(256<<10, 64))
	if err != nil {
		return "", err
	}
	if err := f.echo(ctx, l); err != nil {
		return "", err
	}
	last, n, err := audit.Credits(p.tap.Journal.All(), f.in)
	want := l.count()
	if err == nil && (int64(last.Records) != want.Records || int64(last.Octets) != want.Bytes) {
		err = fmt.Errorf("the last credit of %d is for %s of %s; the input had %d of %d", n,
			document.Count(int64(last.Records), "record"), document.Count(int64(last.Octets), "byte"), want.Records, want.Bytes)
	}
	return fmt.Sprintf("%s, the last for all of %s", document.Count(n, "credit"), document.Count(int64(last.Records), "record")), err
}
