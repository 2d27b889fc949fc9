package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/metrics"
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
	turns := newTurns()
	defer turns.close()
	defer r.metrics.Register(func(observe metrics.Observe) { observe(metrics.AsksWaiting, float64(turns.waitingRequests())) })()
	for subject, ask := range r.service.Asks {
		name := strings.ReplaceAll(subject, ".", "-") // the micro protocol allows no dots
		for name, on := range map[string]string{name: subject, "by-" + name: contract.FromAny(subject)} {
			if err := svc.AddEndpoint(name, r.handler(ctx, turns, subject, ask), micro.WithEndpointSubject(on)); err != nil {
				return fmt.Errorf("serve %s: %w", on, err)
			}
		}
	}
	<-ctx.Done()
	return svc.Stop()
}

// handler puts requests in line, or refuses them.
func (r *Runtime[S]) handler(ctx context.Context, turns *turns, subject string, ask Ask[S]) micro.HandlerFunc {
	most := contract.QuestionLimit(subject)
	return func(req micro.Request) {
		who, to, body := contract.Asker(req.Subject()), req.Reply(), req.Data()
		respond := func(answer any, err error) { r.metrics.Add(metrics.Asks, subject, r.respond(to, answer, err)) }
		if size := len(body); size > most {
			respond(nil, fmt.Errorf("the request has %d bytes; the limit is %d", size, most))
			return
		}
		sender := strings.TrimPrefix(req.Subject(), subject)
		after := uint64(0)
		if contract.AsOf(subject) {
			after, _ = strconv.ParseUint(req.Headers().Get(contract.HeaderAfter), 10, 64) // without a number, any state will do
		}
		turns.add(sender, len(body), func() {
			r.catchUp(ctx, after)
			respond(r.answer(ctx, who, ask, body))
		}, func(err error) { respond(nil, err) })
	}
}

// answer returns the answer to a request. If the service panics, that is an error, and the service goes on.
func (r *Runtime[S]) answer(ctx context.Context, who contract.Sender, ask Ask[S], body []byte) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error().Bytes("stack", debug.Stack()).Msgf("a question cannot be answered: %v", p)
			answer, err = nil, &AskError{Code: "500", Message: "the question cannot be answered: a defect of Dagyo; its log has more"}
		}
	}()
	r.Read(func(s S) { answer, err = ask(s, body) })
	if after, ok := answer.(After[S]); ok {
		r.await(ctx, func(c *core.Core[S]) bool { return after.Ready(c.State) })
		r.Read(func(s S) { answer, err = after.Ask(s, body) })
	}
	if of, ok := answer.(For); ok && err == nil {
		answer, err = of(who)
	}
	if later, ok := answer.(Later); ok && err == nil {
		answer, err = later(ctx)
	}
	return answer, err
}

const (
	// errorBytes limits the text of an error, which may repeat what the requester has sent.
	errorBytes = 1 << 10
	// headerBytes is the maximum size of the headers of an answer.
	headerBytes = 4 << 10
)

// codeOK is the code of an answer that is no error, in metrics only.
const codeOK = "200"

// respond sends an answer or an error, in the form of the micro protocol, and returns its code. It is not done with
// micro's own functions because these may only be called while the endpoint's handler runs. An answer that cannot be sent
// is dropped: its requester has disconnected.
func (r *Runtime[S]) respond(to string, answer any, err error) (code string) {
	code = "400"
	var body []byte
	if err == nil {
		code = "500"
		body, err = json.Marshal(answer)
	}
	if limit := r.link.MaxPayload() - headerBytes; err == nil && int64(len(body)) > limit {
		code, err = "400", fmt.Errorf("the answer has %d bytes; the limit of the NATS server is %d: "+
			"narrow the request, or raise max_payload", len(body), limit)
	}
	m := &nats.Msg{Subject: to, Data: body, Header: nats.Header{
		contract.HeaderTime:  {r.EstimatedTime().UTC().Format(time.RFC3339Nano)},
		contract.HeaderAfter: {strconv.FormatUint(r.folded(), 10)},
	}}
	if err != nil {
		text := err.Error()
		if failed := new(AskError); errors.As(err, &failed) {
			code, text = failed.Code, failed.Message
		}
		m.Data, m.Header[micro.ErrorCodeHeader], m.Header[micro.ErrorHeader] = nil, []string{code}, []string{document.Shorten(text, errorBytes)}
	} else {
		code = codeOK
	}
	if to != "" {
		_ = r.link.PublishMsg(m)
	}
	return code
}

// mostBehind is how many questions may wait for an event at a time: those of others must have turns.
const mostBehind = asksAtOnce / 2

// catchUp returns when the state includes the event with a sequence number, or after afterWait.
func (r *Runtime[S]) catchUp(ctx context.Context, after uint64) {
	if after <= r.folded() {
		return
	}
	defer r.behind.Add(-1)
	if r.behind.Add(1) <= mostBehind {
		r.await(ctx, func(c *core.Core[S]) bool { return c.Last.Seq >= after })
	}
}

// await returns when the core is ready, or after afterWait.
func (r *Runtime[S]) await(ctx context.Context, ready func(*core.Core[S]) bool) {
	ctx, cancel := context.WithTimeout(ctx, afterWait)
	defer cancel()
	for {
		r.mu.Lock()
		done, changed := ready(r.core), r.watch()
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
