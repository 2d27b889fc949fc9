package spawner

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// silentAfter is how long an executor may run without taking its name until that is published.
const silentAfter = 5 * time.Second

// unproved returns the running executors that have not started a job for silentAfter, and their documents.
func (s *State) unproved(running []backend.Status, now time.Time) map[string]progdef.Document {
	out := make(map[string]progdef.Document)
	for _, x := range running {
		have := s.executors[x.Executor]
		if x.Waiting != "" || have == nil || have.Proved || have.Draining || now.Sub(have.Idle) < silentAfter {
			continue
		}
		if r := s.revisions[have.Mailbox]; r != nil {
			out[x.Executor] = r.Pinned.Document
		}
	}
	return out
}

// silent sets the possible reason for executors that run but have not connected.
func (w *wiring) silent(
	ctx context.Context, r *service.Runtime[*State], running []backend.Status,
) ([]backend.Status, error) {
	var unproved map[string]progdef.Document
	now := r.EstimatedTime()
	r.Read(func(s *State) { unproved = s.unproved(running, now) })
	if len(unproved) == 0 {
		return running, nil
	}
	names, err := broker.Names(ctx, w.link.JS)
	if err != nil {
		return running, err
	}
	running = slices.Clone(running)
	for i, x := range running {
		if doc, ok := unproved[x.Executor]; ok && !slices.Contains(names, x.Executor) {
			running[i].Waiting = fmt.Sprintf("executor %s is running and has not connected to NATS yet; %s", x.Executor, plainHint(doc))
		}
	}
	return running, nil
}

// explained adds the possible reason to the exit of an executor that never connected.
func (w *wiring) explained(ctx context.Context, r *service.Runtime[*State], exit backend.Exit) backend.Exit {
	var doc progdef.Document
	var unproved bool
	r.Read(func(s *State) { doc, unproved = s.unprovedExit(exit) })
	if !unproved {
		return exit
	}
	named, err := broker.Named(ctx, w.link.JS, exit.Executor)
	if err == nil && !named {
		exit.Reason = unconnected(exit, doc)
	}
	return exit
}

// unprovedExit reports whether the program of an executor may have exited before it connected, and returns the executor's
// document. An executor that exited at once is not known yet: its start is stored after it.
func (s *State) unprovedExit(exit backend.Exit) (doc progdef.Document, unproved bool) {
	rev := s.revisions[contract.Mailbox(exit.Progdef, exit.Revision)]
	if rev == nil || exit.Permanent || s.gone.known[exit.Executor] {
		return doc, false
	}
	x := s.executors[exit.Executor]
	return rev.Pinned.Document, x == nil || !x.Proved && !x.Draining
}

// unconnected returns the reason of the exit of a program that never connected. The hint about plain commands is
// omitted if the program printed a reason on standard error.
func unconnected(exit backend.Exit, doc progdef.Document) string {
	reason := "it had not connected to NATS"
	if exit.Reason != contract.PlainEnding(exit.Code, exit.Signal) {
		reason = exit.Reason + "; " + reason
	}
	if exit.Code != 0 && exit.Detail != "" {
		return reason
	}
	return reason + "; " + plainHint(doc)
}

// plainHint returns a hint for a program that does not connect.
func plainHint(doc progdef.Document) string {
	if len(doc.Command) == 0 {
		return "the program of the image must be an executor; run a plain command with `dagyo exec --`"
	}
	if shimmed(doc.Command) {
		return "it may be unable to reach the server"
	}
	wrapped, err := json.Marshal(append([]string{"dagyo", "exec", "--"}, doc.Command...))
	if err != nil {
		wrapped = []byte("dagyo exec -- " + doc.Command[0])
	}
	return fmt.Sprintf("if %s is a plain command and not an executor, run it with `dagyo exec --`: \"command\": %s",
		doc.Command[0], wrapped)
}

// shimmed reports whether a command runs under the shim.
func shimmed(command []string) bool {
	name := path.Base(command[0])
	return name == "dagyo-exec" || name == "dagyo" && len(command) > 1
}
