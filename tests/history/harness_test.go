package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/history"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit ends a test that hangs.
const limit = 30 * time.Second

// A bundle is a server, a connection to it, and the stream.
type bundle struct {
	t    testing.TB
	ctx  context.Context
	opts server.Options
	srv  *server.Server
	link *broker.Link
}

func setup(t testing.TB, l history.Limits, maxPayload int32) *bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*limit)
	t.Cleanup(cancel)
	b := &bundle{t: t, ctx: ctx, opts: server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), MaxPayload: maxPayload,
		NoSigs: true, NoLog: true, JetStreamMaxStore: 8 << 30,
	}}
	b.start()
	t.Cleanup(b.stop)
	if _, err := b.link.JS.CreateStream(ctx, history.StreamConfig(1, l)); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bundle) start() {
	b.t.Helper()
	opts := b.opts
	var err error
	if b.srv, err = server.NewServer(&opts); err != nil {
		b.t.Fatal(err)
	}
	b.srv.Start()
	if !b.srv.ReadyForConnections(limit) {
		b.t.Fatal("the server did not start")
	}
	b.link = b.connect()
}

func (b *bundle) stop() {
	b.link.Close()
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
}

func (b *bundle) connect() *broker.Link {
	b.t.Helper()
	link, err := broker.Connect(b.ctx, broker.Options{URL: b.srv.ClientURL(), Name: "test"})
	if err != nil {
		b.t.Fatal(err)
	}
	return link
}

// index runs an index until the test ends, and returns it when it is loaded. stored receives each place up to which
// history is complete.
func (b *bundle) index() (x *history.Index, stored <-chan uint64) {
	b.t.Helper()
	calls := make(chan uint64, 10_000)
	x = history.NewIndex(b.link.JS, func(upto uint64) { calls <- upto })
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	select {
	case <-x.Loaded():
	case <-time.After(limit):
		b.t.Fatal("the index was not loaded")
	}
	return x, calls
}

// await waits until the index is complete up to a place.
func await(t testing.TB, stored <-chan uint64, upto uint64) {
	t.Helper()
	for {
		select {
		case got := <-stored:
			if got == upto {
				return
			}
		case <-time.After(limit):
			t.Fatalf("history is not complete up to %d", upto)
		}
	}
}

func (b *bundle) append(w *history.Writer, records []contract.FlowStatus, upto uint64) {
	b.t.Helper()
	if err := w.Append(b.ctx, records, upto); err != nil {
		b.t.Fatal(err)
	}
}

// messages is the number of segments in the stream.
func (b *bundle) messages() uint64 {
	b.t.Helper()
	s, err := b.link.JS.Stream(b.ctx, contract.StreamHistory)
	if err != nil {
		b.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// nothing yields no current flows.
func nothing(func(contract.FlowStatus) bool) {}

// list returns the ids of all flows selected by a query.
func list(t testing.TB, x *history.Index, q contract.FlowQuery) (ids []string) {
	t.Helper()
	for {
		p, err := x.Page(context.Background(), q, nothing, history.DefaultBudget())
		if err != nil || len(p.Problems) > 0 {
			t.Fatal(p.Problems, err)
		}
		for _, l := range p.Flows {
			ids = append(ids, l.Flow)
		}
		if q.After = p.Next; q.After == "" {
			return ids
		}
	}
}

// records returns the statuses of the flows from..to-1.
func records(from, to int) []contract.FlowStatus {
	out := make([]contract.FlowStatus, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, sample(i))
	}
	return out
}

func id(i int) string { return fmt.Sprintf("orders-%07d", i) }

// sample is the status of the i-th of many ended flows: a chain of four jobs; one flow in ten fails.
func sample(i int) contract.FlowStatus {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	at := time.Unix(1_790_000_000, 0).UTC().Add(time.Duration(i)*10*time.Millisecond + time.Duration(r.IntN(1e7)))
	took := time.Duration(r.IntN(30_000_000_000))
	s := contract.FlowStatus{
		Flow: id(i), Phase: contract.TypeFlowCleaned,
		Verdict: contract.TypeFlowCompleted, Submitted: at, Updated: at.Add(took),
		Deadline: at.Add(24 * time.Hour), Duration: document.Duration(took),
		Jobs: make(map[string]contract.JobStatus),
	}
	if i%10 == 3 {
		s.Verdict = contract.TypeFlowPanic
		s.Failures = []contract.JobFailure{{Job: "score", Progdef: "score", Failure: contract.Failure{
			Kind: contract.KindCrash, Message: fmt.Sprintf("exit code %d", r.IntN(100)),
			Detail: "Traceback (most recent call last):\n  File \"score.py\", line 12\nValueError: not a number",
		}}}
	}
	total := r.Int64N(100_000)
	names := []string{"read_orders", "parse", "score", "write"}
	for n, name := range names {
		count := contract.Count{Records: total, Bytes: total * r.Int64N(300)}
		j := contract.JobStatus{
			Progdef: name, Revision: "0123456789abcde" + name[:1],
			JobSummary: contract.JobSummary{
				State: contract.JobEnded, Executor: fmt.Sprintf("%s-%06x", name, r.Uint32N(1<<24)),
			},
		}
		if n > 0 {
			j.Inputs = map[string]contract.Count{"rows": count}
			s.Edges = append(s.Edges, contract.EdgeCount{
				From: names[n-1] + ".rows", To: name + ".rows", Sent: &count, Received: &count,
			})
		}
		if n < len(names)-1 {
			j.Outputs = map[string]contract.Count{"rows": count}
		}
		s.Jobs[name] = j
	}
	return s
}
