package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// Version is what `dagyo version` and `nats micro ls` show; `make dist` sets it with the linker.
var Version = "0.1.0"

// Commit is the commit of the source; builds set it with -ldflags -X if the Go command does not know it.
var Commit string

// MetadataHost is the metadata key of the name of the host that a service runs on.
const MetadataHost = "host"

// An Ask answers one kind of request from the state. It must not change the state. If it needs I/O, it returns a Later; if
// the state is about to change, an After.
type Ask[S any] func(S, []byte) (any, error)

// An After is an answer from a later state: of Ask, once Ready reports true, or after afterWait.
type After[S any] struct {
	Ready func(S) bool
	Ask   Ask[S]
}

// afterWait bounds the wait for the state of an After.
const afterWait = time.Second

// A Later is an answer that needs I/O; it is called without the lock on the state.
type Later func(context.Context) (any, error)

// A For is an answer that depends on who asks, as the subject of the question proves it.
type For func(contract.Sender) (any, error)

// An AskError is an answer with a code other than 400.
type AskError struct{ Code, Message string }

func (e *AskError) Error() string { return e.Message + " (" + e.Code + ")" }

// serveAsks serves the service's requests, on plain subjects and on those of named senders, and shows it in `nats micro ls`, until the context ends.
func (r *Runtime[S]) serveAsks(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("serve requests: %w", err)
	}
	svc, err := micro.AddService(r.link.Conn, micro.Config{
		Metadata: map[string]string{MetadataHost: host},
		Name:     "dagyo-" + r.service.Name, Version: Version, Description: "Dagyo " + r.service.Name,
		StatsHandler: func(*micro.Endpoint) any { return r.figures() },
	})
	if err != nil {
		return fmt.Errorf("serve requests: %w", err)
	}
	for subject, ask := range r.service.Asks {
		name := strings.ReplaceAll(subject, ".", "-") // the micro protocol allows no dots
		for name, on := range map[string]string{name: subject, "by-" + name: contract.FromAny(subject)} {
			if err := svc.AddEndpoint(name, r.handler(ctx, ask), micro.WithEndpointSubject(on)); err != nil {
				return fmt.Errorf("serve %s: %w", on, err)
			}
		}
	}
	<-ctx.Done()
	return svc.Stop()
}

// handler answers requests. An answer that cannot be sent is dropped: its requester has disconnected.
func (r *Runtime[S]) handler(ctx context.Context, ask Ask[S]) micro.HandlerFunc {
	return func(req micro.Request) {
		var answer any
		var err error
		r.Read(func(s S) { answer, err = ask(s, req.Data()) })
		if after, ok := answer.(After[S]); ok {
			r.await(ctx, after.Ready)
			r.Read(func(s S) { answer, err = after.Ask(s, req.Data()) })
		}
		if who, ok := answer.(For); ok && err == nil {
			answer, err = who(contract.Asker(req.Subject()))
		}
		if later, ok := answer.(Later); ok && err == nil {
			answer, err = later(ctx)
		}
		code := "400"
		var body []byte
		if err == nil {
			code = "500"
			body, err = json.Marshal(answer)
		}
		at := micro.WithHeaders(micro.Headers{contract.HeaderTime: {r.EstimatedTime().UTC().Format(time.RFC3339Nano)}})
		var failed *AskError
		switch {
		case errors.As(err, &failed):
			_ = req.Error(failed.Code, failed.Message, nil, at)
		case err != nil:
			_ = req.Error(code, err.Error(), nil, at)
		default:
			_ = req.Respond(body, at)
		}
	}
}

// await returns when the state is ready, or after afterWait.
func (r *Runtime[S]) await(ctx context.Context, ready func(S) bool) {
	ctx, cancel := context.WithTimeout(ctx, afterWait)
	defer cancel()
	for {
		r.mu.Lock()
		done, changed := ready(r.core.State), r.watch()
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// A figures is what `nats micro stats` shows.
type figures struct {
	core.Stats
	Folded               uint64 `json:"folded"`
	Snapshots            int64  `json:"snapshots"`
	SnapshotMicroseconds int64  `json:"snapshotMicroseconds"`
}

func (r *Runtime[S]) figures() (f figures) {
	r.view(func(c *core.Core[S]) { f = figures{c.Stats, c.Last.Seq, r.snapshots.Load(), r.encoding.Load()} })
	return f
}
