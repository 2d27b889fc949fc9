package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/stream"
)

// Times of the protocol and of docs/limits.md. For what they leave open there is Config.Patience.
const (
	stopLimit    = 10 * time.Second // a job that goes on longer costs its executor
	claimWait    = 10 * time.Second // until a job that nobody acknowledges goes to another executor
	lastWords    = 5 * time.Second  // of an executor that has to go
	hold         = time.Second      // for what must not happen meanwhile
	quietFor     = 1500 * time.Millisecond
	slack        = time.Second // by which a timer may be late on an idle machine
	testInterval = time.Second // of heartbeats
	testTimeout  = 5 * time.Second
)

// The default window of an edge (docs/limits.md).
const (
	defaultWindow = 8 << 20
	defaultFrames = 128
)

// A stage is what one check has: a mailbox, flows and executors of its own.
type stage struct {
	ports    Ports
	launcher launcher
	hub      *hub
	name     string      // tells its flows and its mailbox from those of others
	lost     func(error) // an executor has ended that should not have
	programs []*program
	flows    int

	timing
}

func (s *stage) progdef() string  { return s.ports.Progdef }
func (s *stage) revision() string { return s.name }

// close ends what the stage has started.
func (s *stage) close() {
	for _, p := range s.programs {
		p.close()
	}
}

// An option changes an executor's environment.
type option func(env map[string]string)

func withSlots(n int) option {
	return func(env map[string]string) { env[contract.EnvSlots] = fmt.Sprint(n) }
}

func withGrace(d time.Duration) option {
	return func(env map[string]string) { env[contract.EnvGrace] = d.String() }
}

func withoutID(env map[string]string) { delete(env, contract.EnvExecutor) }

// start makes the mailbox and starts an executor for it.
func (s *stage) start(ctx context.Context, options ...option) (*program, error) {
	if err := s.makeMailbox(ctx); err != nil {
		return nil, err
	}
	return s.startAlone(options...)
}

// makeMailbox does what the planner does.
func (s *stage) makeMailbox(ctx context.Context) error {
	_, err := broker.EnsureMailbox(whole(ctx), s.hub.inside.JS, s.progdef(), s.revision())
	return err
}

// startWithFlow starts an executor and makes a flow for it.
func (s *stage) startWithFlow(ctx context.Context) (*program, *flow, error) {
	p, err := s.start(ctx)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.flow(ctx)
	return p, f, err
}

// whole is for what the server must not be left in the middle of: one that shuts down while it makes a
// stream or a consumer does not end cleanly. The client's own time-out bounds it.
func whole(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// startAlone starts an executor.
func (s *stage) startAlone(options ...option) (*program, error) {
	id := fmt.Sprintf("%s-x%d", s.name, len(s.programs)+1)
	env := map[string]string{
		contract.EnvJobs:     contract.Mailbox(s.progdef(), s.revision()),
		contract.EnvExecutor: id,
		contract.EnvSlots:    "1",
	}
	for _, o := range options {
		o(env)
	}
	credentials, err := s.hub.credentials(id, contract.MailboxConsumer(s.progdef(), s.revision()))
	if err != nil {
		return nil, err
	}
	p, err := startProgram(s.launcher, environ(os.Environ(), env), id, credentials, s.hub.server.ClientURL(), s.lost)
	if err == nil {
		p.timing = s.timing
		s.programs = append(s.programs, p)
	}
	return p, err
}

// environ is an executor's environment: ours, without what another Dagyo has told us.
func environ(ours []string, more map[string]string) []string {
	known := []string{
		contract.EnvQueue, contract.EnvJobs, contract.EnvExecutor, contract.EnvSlots, contract.EnvGrace,
		contract.EnvCreds, contract.EnvTLSCA, contract.EnvTLSCert, contract.EnvTLSKey,
	}
	var out []string
	for _, e := range ours {
		if name, _, _ := strings.Cut(e, "="); !slices.Contains(known, name) {
			out = append(out, e)
		}
	}
	for name, value := range more {
		out = append(out, name+"="+value)
	}
	return out
}

// A flow is a job with one input and one output, and the stream of its edges.
type flow struct {
	doc     contract.Job
	in, out contract.Address
	hub     *hub

	timing
}

// An edit changes a flow before it exists.
type edit func(*flow)

func window(octets, frames int64) edit {
	return func(f *flow) {
		f.in.Window, f.in.Frames, f.in.Slots = octets, frames, frames
		f.out.Window, f.out.Frames, f.out.Slots = octets, frames, frames
	}
}

// outWindow bounds what the program may write ahead.
func outWindow(octets, frames int64) edit {
	return func(f *flow) { f.out.Window, f.out.Frames, f.out.Slots = octets, frames, frames }
}

// flow makes a flow, with a shard of its own. Its job is in no mailbox yet.
func (s *stage) flow(ctx context.Context, edits ...edit) (*flow, error) {
	s.flows++
	id := fmt.Sprintf("%s-f%d", s.name, s.flows)
	f := &flow{hub: s.hub, timing: s.timing, in: s.address(id, 0), out: s.address(id, 1)}
	for _, e := range edits {
		e(f)
	}
	f.doc = s.job(id, f.in, f.out)
	if _, err := s.hub.inside.JS.CreateStream(whole(ctx), stream.ShardConfig(id, jetstream.FileStorage)); err != nil {
		return nil, fmt.Errorf("make the stream of flow %s: %w", id, err)
	}
	if _, err := s.hub.inside.JS.Publish(whole(ctx), f.doc.Stop, []byte(contract.Running)); err != nil {
		return nil, fmt.Errorf("store that flow %s runs: %w", id, err)
	}
	return f, nil
}

func (s *stage) address(id string, n int) contract.Address {
	return contract.EdgeAddress(id, id, n, defaultWindow, defaultFrames, s.ports.Type)
}

// echoJob is the job of each flow.
const echoJob = "echo"

func (s *stage) job(id string, in, out contract.Address) contract.Job {
	const job = echoJob
	subject := func(head string) string { return head + "." + id + "." + job }
	return contract.Job{
		Flow: id, Job: job, Node: job, Progdef: s.progdef(), Revision: s.revision(),
		Inputs:  map[string]contract.Address{s.ports.In: in},
		Outputs: map[string]contract.Address{s.ports.Out: out},
		Started: subject("job.started"), Done: subject("job.done"), Panic: subject("job.panic"),
		Health: contract.HealthSubject(id, job), Stop: contract.StopSubject(id, id), Stream: contract.EdgeStream(id),
		HealthInterval: document.Duration(testInterval), HealthTimeout: document.Duration(testTimeout),
	}
}

// put puts the flow's job into the mailbox.
func (f *flow) put(ctx context.Context) error {
	d := f.doc
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	_, err = f.hub.inside.JS.Publish(ctx, contract.JobSubject(d.Progdef, d.Revision, d.Flow, d.Job), data)
	if err != nil {
		return fmt.Errorf("put the job into the mailbox: %w", err)
	}
	return nil
}

// queued makes a flow and puts its job into the mailbox.
func (s *stage) queued(ctx context.Context, edits ...edit) (*flow, error) {
	f, err := s.flow(ctx, edits...)
	if err == nil {
		err = f.put(ctx)
	}
	return f, err
}

// stop stops the flow, as the panic-aggregator does.
func (f *flow) stop(ctx context.Context) error {
	if _, err := f.hub.inside.JS.Publish(ctx, f.doc.Stop, nil); err != nil {
		return fmt.Errorf("stop the flow: %w", err)
	}
	return nil
}

// remove deletes the flow's stream: the flow is over.
func (f *flow) remove(ctx context.Context) error {
	if err := f.hub.inside.JS.DeleteStream(ctx, f.in.Stream); err != nil {
		return fmt.Errorf("delete the flow's stream: %w", err)
	}
	return nil
}

// clean deletes all that is stored of the flow, as the planner does when a flow is over.
func (f *flow) clean(ctx context.Context) error {
	held, err := f.hub.inside.JS.Stream(ctx, f.in.Stream)
	if err == nil {
		err = held.Purge(ctx)
	}
	if err != nil {
		return fmt.Errorf("clean up the flow: %w", err)
	}
	return nil
}

// ends opens the flow's ends: what the program reads from and what it writes to. Release them.
func (f *flow) ends() (w *stream.Writer, r *stream.Reader, release func(), err error) {
	if w, err = f.writer(); err != nil {
		return nil, nil, nil, err
	}
	if r, err = f.reader(); err != nil {
		w.Abort()
		return nil, nil, nil, err
	}
	return w, r, func() { w.Abort(); r.Abort() }, nil
}

func (f *flow) writer() (*stream.Writer, error) {
	return stream.NewWriter(f.hub.outside.JS, f.in, stream.WriteAs(kitName))
}

func (f *flow) reader() (*stream.Reader, error) {
	return stream.NewReader(f.hub.outside.JS, f.out, stream.ReadAs(kitName))
}

// running starts an executor and a flow, and puts the flow's job into the mailbox.
func (s *stage) running(ctx context.Context, edits ...edit) (*program, *flow, error) {
	p, err := s.start(ctx)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.queued(ctx, edits...)
	return p, f, err
}
