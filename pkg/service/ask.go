package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go/micro"
)

// Version is what `dagyo version` and `nats micro ls` show; `make dist` has the linker put its own there.
var Version = "0.1.0"

// MetadataHost is the key, in what a service tells of itself, of the name of the host that it runs on.
const MetadataHost = "host"

// answer serves the service's questions, and shows it in `nats micro ls`, until the context ends.
func (r *Runtime[S]) answer(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("serve questions: %w", err)
	}
	svc, err := micro.AddService(r.link.Conn, micro.Config{
		Metadata: map[string]string{MetadataHost: host},
		Name:     "dagyo-" + r.s.Name, Version: Version, Description: "Dagyo " + r.s.Name,
		StatsHandler: func(*micro.Endpoint) any { return r.figures() },
	})
	if err != nil {
		return fmt.Errorf("serve questions: %w", err)
	}
	for subject, ask := range r.s.Asks {
		err := svc.AddEndpoint(endpointName(subject), r.question(ctx, ask), micro.WithEndpointSubject(subject))
		if err != nil {
			return fmt.Errorf("serve %s: %w", subject, err)
		}
	}
	<-ctx.Done()
	return svc.Stop()
}

func (r *Runtime[S]) question(ctx context.Context, ask Ask[S]) micro.HandlerFunc {
	return func(req micro.Request) {
		r.mu.RLock()
		answer, err := ask(r.core.state, req.Data())
		r.mu.RUnlock()
		if later, ok := answer.(Later); ok && err == nil {
			answer, err = later(ctx)
		}
		var failed *AskError
		switch {
		case errors.As(err, &failed):
			_ = req.Error(failed.Code, failed.Message, nil) // the asker has gone: nobody to tell
			return
		case err != nil:
			_ = req.Error("400", err.Error(), nil)
			return
		}
		body, err := json.Marshal(answer)
		if err != nil {
			_ = req.Error("500", err.Error(), nil)
			return
		}
		_ = req.Respond(body)
	}
}

// An AskError is an answer with a code other than 400.
type AskError struct{ Code, Message string }

func (e *AskError) Error() string { return e.Message + " (" + e.Code + ")" }

// endpointName makes "ask.flow.validate" a name that the micro protocol allows.
func endpointName(subject string) string {
	name := []byte(subject)
	for i, c := range name {
		if c == '.' {
			name[i] = '-'
		}
	}
	return string(name)
}

func (r *Runtime[S]) figures() map[string]int64 {
	return map[string]int64{
		"effects": r.stats.Effects.Load(), "retries": r.stats.Retries.Load(), "refused": r.stats.Refused.Load(),
		"unreadable": r.stats.Unreadable.Load(), "snapshots": r.stats.Snapshots.Load(),
		"snapshotMicroseconds": r.stats.Snapshotting.Load(), "folded": int64(r.folded()),
	}
}
