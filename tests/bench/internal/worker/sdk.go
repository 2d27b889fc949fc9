package worker

import (
	"context"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/executor"
	dagyoheap "github.com/dagyo/dagyo/pkg/heap"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
)

// batchOctets is the number of bytes that a source of batches sends per call.
const batchOctets = 32 << 10

// An outcome contains the counts of one job.
type outcome struct {
	result Result
	err    error
}

type job = func(context.Context, *executor.Job) (Result, error)

// source writes records of bytes to its output "out" for the duration of the load.
func source(ctx context.Context, l Load) (prepared, error) {
	out := executor.Output("out", executor.Bytes)
	return sdk(l, []executor.Port{out}, func(ctx context.Context, j *executor.Job) (Result, error) {
		m, record := newMeter(l), newRecord(l)
		if l.Batch {
			return sendBatches(m, slices.Repeat([][]byte{record}, batchOctets/l.Size),
				func(batch [][]byte) error { return out.SendBatch(ctx, j, batch) })
		}
		for !m.over() {
			stamp(l, record)
			if err := out.Send(ctx, j, record); err != nil {
				return Result{}, err
			}
			m.add(l.Size)
		}
		return m.done(), nil
	})
}

// sendBatches sends the same records repeatedly.
func sendBatches(m *meter, records [][]byte, send func([][]byte) error) (Result, error) {
	for !m.over() {
		if err := send(records); err != nil {
			return Result{}, err
		}
		for _, record := range records {
			m.add(len(record))
		}
	}
	return m.done(), nil
}

func recvBatches(m *meter, batches iter.Seq2[[][]byte, error]) (Result, error) {
	for batch, err := range batches {
		if err != nil {
			return Result{}, err
		}
		for _, record := range batch {
			m.add(len(record))
		}
	}
	return m.done(), nil
}

// mapper changes the first byte of each record.
func mapper(ctx context.Context, l Load) (prepared, error) {
	in, out := executor.Input("in", executor.Bytes), executor.Output("out", executor.Bytes)
	ports := []executor.Port{in, out}
	return sdk(l, ports, func(ctx context.Context, j *executor.Job) (Result, error) {
		m := newMeter(l)
		for record, err := range in.All(ctx, j) {
			if err != nil {
				return Result{}, err
			}
			record[0] ^= 1
			if err := out.Send(ctx, j, record); err != nil {
				return Result{}, err
			}
			m.add(len(record))
		}
		return m.done(), nil
	})
}

// sink counts the records of its input "in".
func sink(ctx context.Context, l Load) (prepared, error) {
	in := executor.Input("in", executor.Bytes)
	return sdk(l, []executor.Port{in}, func(ctx context.Context, j *executor.Job) (Result, error) {
		m := newMeter(l)
		if l.Batch {
			return recvBatches(m, in.Batches(ctx, j))
		}
		for record, err := range in.All(ctx, j) {
			if err != nil {
				return Result{}, err
			}
			m.delay(record)
			m.add(len(record))
		}
		return m.done(), nil
	})
}

// sdk prepares a real executor, which takes its jobs from the load's mailbox. It replies when it has run as many jobs
// as it has slots.
func sdk(l Load, ports []executor.Port, run job) (prepared, error) {
	outcomes := make(chan outcome, l.Slots)
	p := executor.Program{Ports: ports, Run: func(ctx context.Context, j *executor.Job) error {
		r, err := run(ctx, j)
		outcomes <- outcome{r, err}
		return err
	}}
	c := executor.Config{
		Queue: l.URL, Mailbox: l.Mailbox, ID: "x-" + id(), Slots: l.Slots, Grace: time.Minute,
	}
	if err := c.Validate(); err != nil {
		return prepared{}, err
	}
	release := dagyoheap.Settle() // as executor.Main does
	drain := make(chan os.Signal, 2)
	ended := make(chan error, 1)
	go func() { ended <- executor.Run(context.Background(), c, p, drain) }()
	end := func() {
		drain <- syscall.SIGTERM
		select {
		case <-ended:
		case <-time.After(patience):
		}
		release()
	}
	return prepared{end: end, run: func(ctx context.Context, _ *role.Session) (Result, error) {
		return gather(ctx, l, outcomes)
	}}, nil
}

// gather adds up the counts of the jobs.
func gather(ctx context.Context, l Load, outcomes <-chan outcome) (Result, error) {
	var total Result
	for n := range l.Slots {
		select {
		case o := <-outcomes:
			if o.err != nil {
				return Result{}, o.err
			}
			total = total.Add(o.result)
		case <-time.After(l.For + patience):
			return Result{}, fmt.Errorf("%d of %d jobs ended: %w", n, l.Slots, errPatience)
		case <-ctx.Done():
			return Result{}, context.Cause(ctx)
		}
	}
	return total, nil
}

func id() string { return strings.ToLower(nuid.Next()) }
