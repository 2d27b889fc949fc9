package programs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/trace"
	"github.com/dagyo/dagyo/tests/harness"
)

const (
	flow = "f"
	// window is small, so little data fills it.
	window = 64 << 10
	frames = 64
)

// edges maps ports to edges.
type edges map[string]contract.Address

// A bench is a broker with one flow, whose edges and jobs the test creates.
type bench struct {
	t       *testing.T
	url     string
	link    *broker.Link
	log     *slog.Logger
	working sync.WaitGroup
	edges   int
	jobs    int
	secrets []string      // of the executors
	logRate int           // of the jobs; 0 if they do not log
	trace   trace.Context // of the jobs
}

func newBench(t *testing.T) *bench {
	t.Helper()
	server := harness.StartServer(t, filepath.Join(t.TempDir(), "nats"), 1<<20)
	t.Cleanup(server.Stop)
	b := &bench{t: t, url: server.ClientURL(), log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	b.link = b.connect()
	if err := broker.Ensure(b.ctx(), b.link, broker.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	config := stream.ShardConfig("0", jetstream.MemoryStorage)
	if _, err := b.link.JS.CreateStream(b.ctx(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := b.link.JS.Publish(b.ctx(), contract.StopSubject("0", flow), []byte(contract.Running)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.working.Wait)
	return b
}

func (b *bench) connect() *broker.Link {
	b.t.Helper()
	link, err := broker.Connect(b.ctx(), broker.Options{URL: b.url, Name: "test", Wait: harness.Patience})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(link.Close)
	return link
}

// ctx ends with the test, or when the test hangs.
func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), harness.Patience)
	b.t.Cleanup(cancel)
	return ctx
}

// edge creates another edge.
func (b *bench) edge(typename string) contract.Address {
	n := b.edges
	b.edges++
	return contract.EdgeAddress("0", flow, n, window, frames, typename)
}

// send writes records in the background, and ends the edge.
func (b *bench) send(a contract.Address, records ...string) {
	b.t.Helper()
	b.feed(a, func(send func(string) error) error {
		for _, r := range records {
			if err := send(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// given returns an edge with the given records.
func (b *bench) given(typename string, records ...string) contract.Address {
	b.t.Helper()
	a := b.edge(typename)
	b.send(a, records...)
	return a
}

// feed writes an edge in the background. Its reader may close at any time.
func (b *bench) feed(a contract.Address, write func(send func(string) error) error) {
	b.t.Helper()
	w, err := stream.NewWriter(b.link.JS, a)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx := b.ctx()
	b.working.Go(func() {
		err := write(func(r string) error { return w.Send(ctx, []byte(r)) })
		if err == nil {
			err = w.Close(ctx)
		}
		w.Abort()
		if err != nil && !errors.Is(err, stream.ErrReaderClosed) && b.t.Context().Err() == nil {
			b.t.Errorf("write %s: %v", a.Subject, err)
		}
	})
}

func (b *bench) reader(a contract.Address) *stream.Reader {
	b.t.Helper()
	r, err := stream.NewReader(b.link.JS, a)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(r.Abort)
	return r
}

// receive reads an edge to its end.
func (b *bench) receive(a contract.Address) []string {
	b.t.Helper()
	return b.rest(b.reader(a))
}

func (b *bench) rest(r *stream.Reader) []string {
	b.t.Helper()
	records, ctx := []string{}, b.ctx()
	for {
		record, err := r.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			b.t.Fatalf("after %d records: %v", len(records), err)
		}
		records = append(records, string(record))
	}
}

// some reads n records.
func (b *bench) some(r *stream.Reader, n int) []string {
	b.t.Helper()
	records, ctx := []string{}, b.ctx()
	for range n {
		record, err := r.Recv(ctx)
		if err != nil {
			b.t.Fatalf("after %d records: %v", len(records), err)
		}
		records = append(records, string(record))
	}
	return records
}

// A job is served by its own executor.
type job struct {
	b     *bench
	name  string
	ended chan contract.Event
}

// run starts an executor and gives it a job.
func (b *bench) run(p executor.Program, inputs, outputs edges) *job {
	b.t.Helper()
	b.jobs++
	j := &job{b: b, name: fmt.Sprintf("j%d", b.jobs), ended: make(chan contract.Event, 1)}
	j.listen()
	if _, err := broker.EnsureMailbox(b.ctx(), b.link.JS, j.name, "r"); err != nil { // as the planner does
		b.t.Fatal(err)
	}
	drain := make(chan os.Signal, 2)
	done := make(chan error, 1)
	config := executor.Config{
		Queue: b.url, Mailbox: contract.Mailbox(j.name, "r"), ID: "x-" + j.name, Slots: 1,
		Grace: harness.Patience, StopGrace: executor.DefaultStopGrace, Log: b.log, Secrets: b.secrets,
	}
	go func() { done <- executor.Run(context.Background(), config, p, drain) }()
	b.t.Cleanup(func() {
		drain <- syscall.SIGTERM
		drain <- syscall.SIGTERM
		<-done // an error means that jobs were given up, because the test has failed
	})
	j.put(inputs, outputs)
	return j
}

// listen receives the event of the job's end.
func (j *job) listen() {
	j.b.t.Helper()
	for _, typ := range []contract.Type{contract.TypeJobDone, contract.TypeJobPanic} {
		sub, err := j.b.link.Subscribe(contract.FromAny(fmt.Sprintf("%s.%s.%s", typ, flow, j.name)), func(m *nats.Msg) {
			if e, err := event.Decode(m.Subject, m.Header, m.Data); err == nil {
				j.ended <- e
			}
		})
		if err != nil {
			j.b.t.Fatal(err)
		}
		j.b.t.Cleanup(func() { _ = sub.Unsubscribe() })
	}
}

// put puts the job on its mailbox.
func (j *job) put(inputs, outputs edges) {
	j.b.t.Helper()
	var log *contract.Log
	if j.b.logRate > 0 {
		log = &contract.Log{Subject: contract.LogSubject(flow, j.name), Rate: j.b.logRate}
	}
	body, err := json.Marshal(contract.Job{
		Flow: flow, Job: j.name, Node: j.name, Progdef: j.name, Revision: "r",
		Inputs: inputs, Outputs: outputs,
		Started: "job.started." + flow + "." + j.name, Done: "job.done." + flow + "." + j.name,
		Panic: "job.panic." + flow + "." + j.name, Health: contract.HealthSubject(flow, j.name),
		Stop: contract.StopSubject("0", flow), Stream: contract.EdgeStream("0"), HealthInterval: document.Duration(time.Second),
		HealthTimeout: document.Duration(10 * time.Second), Log: log, TraceParent: j.b.trace.Parent, TraceState: j.b.trace.State,
	})
	if err != nil {
		j.b.t.Fatal(err)
	}
	subject := contract.JobSubject(j.name, "r", flow, j.name)
	if _, err := j.b.link.JS.Publish(j.b.ctx(), subject, body); err != nil {
		j.b.t.Fatal(err)
	}
}

// stop stops the flow, as the aggregator would.
func (b *bench) stop() {
	b.t.Helper()
	if _, err := b.link.JS.Publish(b.ctx(), contract.StopSubject("0", flow), nil); err != nil {
		b.t.Fatal(err)
	}
}

func (j *job) end() contract.Event {
	j.b.t.Helper()
	select {
	case e := <-j.ended:
		return e
	case <-j.b.ctx().Done():
		j.b.t.Fatalf("job %s did not end", j.name)
		return contract.Event{}
	}
}

func (j *job) done() *contract.JobDone {
	j.b.t.Helper()
	e := j.end()
	d, ok := e.Data.(*contract.JobDone)
	if !ok {
		j.b.t.Fatalf("%s: %+v; want job.done", e.Type, e.Data)
	}
	return d
}

func (j *job) panic() *contract.JobPanic {
	j.b.t.Helper()
	e := j.end()
	p, ok := e.Data.(*contract.JobPanic)
	if !ok {
		j.b.t.Fatalf("%s: %+v; want job.panic", e.Type, e.Data)
	}
	return p
}
