package executor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// openLog opens what the job logs for the users of its flow. An older planner, or one that keeps nothing, gives the job no
// subject.
func (x *executor) openLog(job *Job) {
	job.log = x.config.Log.With("flow", job.doc.Flow, "job", job.doc.Job, "node", job.doc.Node)
	to := job.doc.Log
	if to == nil || to.Rate < 1 {
		return
	}
	subject := x.on(to.Subject)
	job.journal = newJournal(to.Rate, x.mask,
		func(batch []byte) error {
			if !x.link.IsConnected() { // what waits for a connection is limited, and edges need it
				return nats.ErrDisconnected
			}
			return x.link.Publish(subject, batch)
		},
		func(ctx context.Context, batch []byte) error {
			_, err := x.link.JS.Publish(ctx, subject, batch, jetstream.WithRetryAttempts(0))
			return err
		})
	job.log = slog.New(both{job.log.Handler(), newLineHandler(job.journal)})
}

// closeLog returns when what the job has logged is stored, or after a while.
func (j *Job) closeLog(ctx context.Context) {
	if j.journal != nil {
		j.journal.close(context.WithoutCancel(ctx))
	}
}

// Stderr returns a writer whose lines are logged as those of a command's standard error, like those of [Job.Log] but without
// a level, and not to the executor's own log. It may be used concurrently, never fails and never waits.
func (j *Job) Stderr() io.Writer {
	if j.journal == nil {
		return io.Discard
	}
	return j.journal
}

// both is a handler for two logs.
type both [2]slog.Handler

func (b both) Enabled(ctx context.Context, l slog.Level) bool {
	return b[0].Enabled(ctx, l) || b[1].Enabled(ctx, l)
}

func (b both) Handle(ctx context.Context, r slog.Record) error {
	var errs []error
	for _, h := range b {
		if h.Enabled(ctx, r.Level) {
			errs = append(errs, h.Handle(ctx, r.Clone()))
		}
	}
	return errors.Join(errs...)
}

func (b both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{b[0].WithAttrs(attrs), b[1].WithAttrs(attrs)}
}

func (b both) WithGroup(name string) slog.Handler {
	return both{b[0].WithGroup(name), b[1].WithGroup(name)}
}

// A lineHandler logs records to a journal: the message, and the attributes as slog's text.
type lineHandler struct {
	journal *journal
	attrs   slog.Handler // writes to text
	text    *attrText    // shared with the handlers made of this one
}

type attrText struct {
	mu sync.Mutex
	bytes.Buffer
}

func newLineHandler(j *journal) *lineHandler {
	text := new(attrText)
	return &lineHandler{journal: j, text: text, attrs: slog.NewTextHandler(text, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			own := a.Key == slog.LevelKey || a.Key == slog.MessageKey && a.Value.String() == ""
			if _, level := a.Value.Any().(slog.Level); len(groups) == 0 && own && (level || a.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return a
		},
	})}
}

func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	bare := slog.Record{Level: r.Level} // without time and message
	r.Attrs(func(a slog.Attr) bool { bare.AddAttrs(a); return true })
	h.text.mu.Lock()
	h.text.Reset()
	err := h.attrs.Handle(ctx, bare)
	attrs := strings.TrimSpace(h.text.String())
	h.text.mu.Unlock()
	text := r.Message
	if text != "" && attrs != "" {
		text += " "
	}
	text += attrs
	h.journal.log(levelName(r.Level), text)
	return err
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lineHandler{h.journal, h.attrs.WithAttrs(attrs), h.text}
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	return &lineHandler{h.journal, h.attrs.WithGroup(name), h.text}
}

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	case l >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}
