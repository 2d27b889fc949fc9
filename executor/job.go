package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
)

// A Job is one run of the program: one node of one flow.
type Job struct {
	doc     contract.Job
	inputs  []*input
	outputs []*output
	log     *slog.Logger
	journal *journal // nil if nothing is kept

	mu      sync.Mutex
	failure *PortError // the first one; the job panics with it, whatever the program returns
}

type input struct {
	reader
	port   string
	ended  bool // io.EOF was read
	closed bool // closed early
	batch  [][]byte
}

type output struct {
	writer
	port    string
	scratch []byte
	batch   [][]byte
}

// Flow returns the id of the job's flow.
func (j *Job) Flow() string { return j.doc.Flow }

// Node returns the name of the flow's node that the job runs.
func (j *Job) Node() string { return j.doc.Node }

// Trace returns the W3C trace context of the job, in the headers traceparent and tracestate, so that spans of the program
// belong to the trace of the flow. It is empty if the flow has none. With OpenTelemetry:
//
//	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(job.Trace()))
func (j *Job) Trace() map[string]string { return j.doc.Trace().Map() }

// Log returns a logger for the users of the flow (`dagyo logs`) and for operators: it also writes to the executor's log,
// with attributes of this job. For users, levels from Info on are kept, values of secrets are masked, and lines above the
// job's rate are dropped. It never waits.
func (j *Job) Log() *slog.Logger { return j.log }

func openJob(js jetstream.JetStream, replies *stream.Replies, name string, doc contract.Job) (*Job, error) {
	j := &Job{doc: doc}
	for port, a := range doc.Inputs {
		r, err := stream.NewReader(js, a, stream.ReadReplies(replies), stream.ReadAs(name))
		if err != nil {
			j.abort()
			return nil, fmt.Errorf("input %s: %w", port, err)
		}
		j.inputs = append(j.inputs, &input{reader: r, port: port})
	}
	for port, a := range doc.Outputs {
		w, err := stream.NewWriter(js, a, stream.WriteReplies(replies), stream.WriteAs(name))
		if err != nil {
			j.abort()
			return nil, fmt.Errorf("output %s: %w", port, err)
		}
		j.outputs = append(j.outputs, &output{writer: w, port: port})
	}
	return j, nil
}

// input looks up a port, for every record: jobs have too few ports for a map to be faster.
func (j *Job) input(port string) (*input, error) {
	for _, in := range j.inputs {
		if in.port == port {
			return in, nil
		}
	}
	return nil, fmt.Errorf("the job has no input %q; it has %v",
		port, slices.Sorted(maps.Keys(j.doc.Inputs)))
}

func (j *Job) output(port string) (*output, error) {
	for _, out := range j.outputs {
		if out.port == port {
			return out, nil
		}
	}
	return nil, fmt.Errorf("the job has no output %q; it has %v",
		port, slices.Sorted(maps.Keys(j.doc.Outputs)))
}

// Recv wraps the reader's Recv to note the end of the stream.
func (in *input) Recv(ctx context.Context) ([]byte, error) {
	record, err := in.reader.Recv(ctx)
	if err != nil && errors.Is(err, io.EOF) {
		in.ended = true
	}
	return record, err
}

// recvBatch returns the available records.
func (in *input) recvBatch(ctx context.Context) (records [][]byte, err error) {
	if in.batch == nil {
		in.batch = make([][]byte, 0, maxBatch)
	}
	in.batch, err = in.RecvBatch(ctx, in.batch[:0])
	if err != nil && errors.Is(err, io.EOF) {
		in.ended = true
	}
	return in.batch, err
}

// Close wraps the reader's Close to note that the rest stays unread.
func (in *input) Close(ctx context.Context) error {
	if in.ended {
		return nil
	}
	in.closed = true
	return in.reader.Close(ctx)
}

// portFailed records a breach of an edge's rules. Other errors are left to the program.
func (j *Job) portFailed(port string, err error) error {
	var protocol *stream.ProtocolError
	if !errors.As(err, &protocol) {
		return err
	}
	return j.fail(&PortError{Port: port, Record: -1, Err: err, kind: contract.KindProtocol})
}

func (j *Job) undecodable(port string, record int64, typename string, err error) error {
	return j.fail(&PortError{
		Port: port, Record: record, kind: contract.KindDeserialization,
		Err: fmt.Errorf("the record is not %s: %w", typename, err),
	})
}

func (j *Job) fail(e *PortError) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure == nil {
		j.failure = e
	}
	return e
}

func (j *Job) failed() *PortError {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failure
}

// finish ends all streams of a job whose program returned without failing: first the inputs, so that their
// writers can continue; then all outputs at once, since readers may wait for one before another.
func (j *Job) finish(ctx context.Context) error {
	for _, in := range j.inputs {
		if err := in.Close(ctx); err != nil {
			return j.portFailed(in.port, fmt.Errorf("input %s: %w", in.port, err))
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, out := range j.outputs {
		g.Go(func() error {
			err := out.Close(ctx)
			if err == nil || errors.Is(err, ErrReaderClosed) || errors.Is(err, stream.ErrClosed) {
				return nil
			}
			return j.portFailed(out.port, fmt.Errorf("output %s: %w", out.port, err))
		})
	}
	return g.Wait()
}

// sayDropped logs how many messages on the edges were not from the other ends.
func (j *Job) sayDropped() {
	say := func(port string, n int64) {
		if n > 0 {
			j.log.Warn("ignored messages on a sealed edge that the other end has not sealed", "port", port, "messages", n)
		}
	}
	for _, in := range j.inputs {
		say(in.port, in.Dropped())
	}
	for _, out := range j.outputs {
		say(out.port, out.Dropped())
	}
}

// abort releases all streams without ending them.
func (j *Job) abort() {
	for _, in := range j.inputs {
		in.Abort()
	}
	j.abortOutputs()
}

// abortOutputs may be called while the program is writing.
func (j *Job) abortOutputs() {
	for _, out := range j.outputs {
		out.Abort()
	}
}

func (j *Job) counts() contract.PortCounts {
	c := contract.PortCounts{
		Inputs: make(map[string]contract.Count), Outputs: make(map[string]contract.Count),
	}
	for _, in := range j.inputs {
		c.Inputs[in.port] = in.Count()
		if in.closed {
			c.ClosedEarly = append(c.ClosedEarly, in.port)
		}
	}
	for _, out := range j.outputs {
		c.Outputs[out.port] = out.Count()
	}
	slices.Sort(c.ClosedEarly)
	return c
}
