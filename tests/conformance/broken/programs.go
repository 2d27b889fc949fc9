package broken

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

func copies(ctx context.Context, job *executor.Job, p ports) error {
	return edits(func(_ int, v string) []string { return []string{v} })(ctx, job, p)
}

// edits writes a different record for each record.
func edits(edit func(i int, v string) []string) program {
	return func(ctx context.Context, job *executor.Job, p ports) error {
		i := 0
		for v, err := range p.in.All(ctx, job) {
			if err != nil {
				return err
			}
			if err := p.out.SendBatch(ctx, job, edit(i, v)); err != nil {
				return err
			}
			i++
		}
		return nil
	}
}

// swaps writes the second record before the first.
func swaps() program {
	first := ""
	return edits(func(i int, v string) []string {
		switch i {
		case 0:
			first = v
			return nil
		case 1:
			return []string{v, first}
		}
		return []string{v}
	})
}

func truncates(octets int) program {
	return edits(func(_ int, v string) []string { return []string{v[:min(len(v), octets)]} })
}

// addsOne writes an additional record.
func addsOne(ctx context.Context, job *executor.Job, p ports) error {
	if err := copies(ctx, job, p); err != nil {
		return err
	}
	return p.out.Send(ctx, job, "the end")
}

// hoards reads everything before it writes anything.
func hoards(ctx context.Context, job *executor.Job, p ports) error {
	var all []string
	for v, err := range p.in.All(ctx, job) {
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	return p.out.SendBatch(ctx, job, all)
}

// failsWhenClosed fails when its reader closes the output.
func failsWhenClosed(ctx context.Context, job *executor.Job, p ports) error {
	err := copies(ctx, job, p)
	if errors.Is(err, executor.ErrReaderClosed) {
		return errors.New("broken pipe")
	}
	return err
}

// losesAtReconnect omits a record after each reconnect.
func losesAtReconnect(ctx context.Context, job *executor.Job, p ports) error {
	var reconnected atomic.Bool
	link, err := broker.Connect(ctx, broker.Options{
		URL: os.Getenv(contract.EnvQueue), Access: broker.AccessFromEnvironment(os.Getenv),
		Extra: []nats.Option{
			nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0),
			nats.ReconnectHandler(func(*nats.Conn) { reconnected.Store(true) }),
		},
	})
	if err != nil {
		return err
	}
	defer link.Close()
	return edits(func(_ int, v string) []string {
		if reconnected.Swap(false) {
			return nil
		}
		return []string{v}
	})(ctx, job, p)
}
