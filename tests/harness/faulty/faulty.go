// Package faulty contains programs that misbehave, each in one way, for tests of how Dagyo handles them.
package faulty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/contract"
)

// in and out are the ports of all programs that have them.
var (
	in  = executor.Input("in", executor.String)
	out = executor.Output("out", executor.String)
	// panics is the input that is connected to another node's panic port.
	panics = executor.Input("in", executor.JSON[contract.JobFailure]())
	// mislabelled declares text and sends arbitrary bytes.
	mislabelled = executor.Output("out", executor.Codec[[]byte](label{executor.Bytes}))
)

type label struct{ executor.Codec[[]byte] }

func (label) Typename() string { return "utf8-string" }

type run = func(context.Context, *executor.Job) error

// Main runs the named program. If it returns, it returns an exit code.
func Main(name string) int {
	if name == "never-starts" {
		fmt.Fprintln(os.Stderr, "no such model: faulty-7b")
		return 3
	}
	if name == "quits-at-once" {
		return 0
	}
	p, ok := programs()[name]
	if !ok {
		fmt.Fprintln(os.Stderr, "unknown faulty program", name)
		return executor.ExitBadUsage
	}
	executor.Main(p)
	return 0
}

func programs() map[string]executor.Program {
	outOnly := func(f run) executor.Program {
		return executor.Program{Ports: []executor.Port{out}, Run: f}
	}
	inOnly := func(f run) executor.Program {
		return executor.Program{Ports: []executor.Port{in}, Run: f}
	}
	return map[string]executor.Program{
		"exits-zero":  outOnly(func(context.Context, *executor.Job) error { os.Exit(0); return nil }),
		"exits-three": outOnly(exitsThree),
		"kills-itself": outOnly(func(ctx context.Context, _ *executor.Job) error {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			<-ctx.Done()
			return nil
		}),
		"stops-itself": outOnly(func(ctx context.Context, _ *executor.Job) error {
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			<-ctx.Done()
			return nil
		}),
		"blocks":        outOnly(func(context.Context, *executor.Job) error { select {} }),
		"returns-error": outOnly(func(context.Context, *executor.Job) error { return errors.New("the model diverged") }),
		"go-panics":     outOnly(func(context.Context, *executor.Job) error { panic("index out of range") }),
		"garbles":       outOnly(garbles),
		"waits":         outOnly(func(ctx context.Context, _ *executor.Job) error { <-ctx.Done(); return ctx.Err() }),
		"endless":       outOnly(endless),
		"takes-one":     inOnly(func(ctx context.Context, j *executor.Job) error { _, err := in.Recv(ctx, j); return err }),
		"never-reads":   inOnly(func(ctx context.Context, _ *executor.Job) error { <-ctx.Done(); return ctx.Err() }),
		"sink":          inOnly(sink),
		"stops-late":    inOnly(stopsLate),
		"words":         outOnly(words),
		"reads-slowly":  inOnly(readsSlowly),
		"trickles":      outOnly(trickles),
		"mortal":        {Run: mortal},
		"reporter":      {Ports: []executor.Port{panics, out}, Run: report},
		"reports-ever":  {Ports: []executor.Port{panics, out}, Run: reportEver},
		"deaf":          outOnly(func(context.Context, *executor.Job) error { time.Sleep(time.Hour); return nil }),
		"huge":          outOnly(huge),
		"environment":   {Ports: []executor.Port{in, out}, Run: environment},
		"eats-memory":   outOnly(eatsMemory),
		"mislabels":     {Ports: []executor.Port{mislabelled}, Run: mislabels},
	}
}

// environment writes the value of each named variable.
func environment(ctx context.Context, job *executor.Job) error {
	for name, err := range in.All(ctx, job) {
		if err != nil {
			return err
		}
		if err := out.Send(ctx, job, os.Getenv(name)); err != nil {
			return err
		}
	}
	return nil
}

// eatsMemory allocates and uses memory until it is stopped.
func eatsMemory(ctx context.Context, _ *executor.Job) error {
	var eaten [][]byte
	for ctx.Err() == nil {
		eaten = append(eaten, bytes.Repeat([]byte{1}, 8<<20))
	}
	return fmt.Errorf("ate %d pieces: %w", len(eaten), ctx.Err())
}

func exitsThree(context.Context, *executor.Job) error {
	fmt.Fprintln(os.Stderr, "loading weights")
	fmt.Fprintln(os.Stderr, "out of memory")
	os.Exit(3)
	return nil
}

// garbles bypasses the SDK and writes something other than a frame to its edge.
func garbles(ctx context.Context, job *executor.Job) error {
	nc, err := nats.Connect(os.Getenv(contract.EnvQueue))
	if err != nil {
		return err
	}
	defer nc.Close()
	slot, err := firstSlot(ctx, nc, job.Flow())
	if err != nil {
		return err
	}
	if _, err := nc.RequestWithContext(ctx, slot, []byte("%PDF-1.7")); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// firstSlot returns the stream and subject of the first frame of a flow's first edge.
func firstSlot(ctx context.Context, nc *nats.Conn, flow string) (string, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return "", err
	}
	names := js.StreamNames(ctx, jetstream.WithStreamListSubject("edges.>"))
	for name := range names.Name() {
		shard := strings.TrimPrefix(name, contract.EdgeStreamPrefix)
		s, err := js.Stream(ctx, name)
		if err != nil {
			return "", err
		}
		if _, err := s.GetLastMsgForSubject(ctx, contract.StopSubject(shard, flow)); err == nil {
			return contract.EdgeSubject(shard, flow, 0) + ".1", nil
		}
	}
	return "", errors.Join(errors.New("no stream stores the flow's edges"), names.Err())
}

func endless(ctx context.Context, job *executor.Job) error {
	record := string(bytes.Repeat([]byte("x"), 1000))
	for {
		if err := out.Send(ctx, job, record); err != nil {
			return err
		}
	}
}

// huge sends records of many frames, faster than they are read.
func huge(ctx context.Context, job *executor.Job) error {
	record := string(bytes.Repeat([]byte("x"), 3<<20))
	for {
		if err := out.Send(ctx, job, record); err != nil {
			return err
		}
	}
}

// report writes a short description of the panic.
func report(ctx context.Context, job *executor.Job) error {
	for f, err := range panics.All(ctx, job) {
		if err != nil {
			return err
		}
		if err := out.Send(ctx, job, fmt.Sprintf("%s: %s: %s", f.Job, f.Kind, f.Message)); err != nil {
			return err
		}
	}
	return nil
}

// reportEver reports, and then never ends.
func reportEver(ctx context.Context, job *executor.Job) error {
	if err := report(ctx, job); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func sink(ctx context.Context, job *executor.Job) error {
	for _, err := range in.All(ctx, job) {
		if err != nil {
			return err
		}
	}
	return nil
}

// stopsLate reads to the end, and takes a second to stop when told to.
func stopsLate(ctx context.Context, job *executor.Job) error {
	err := sink(ctx, job)
	if ctx.Err() != nil {
		time.Sleep(time.Second)
	}
	return err
}

func mislabels(ctx context.Context, job *executor.Job) error {
	for _, record := range [][]byte{[]byte("fine"), []byte("too"), {0xff, 0xfe}} {
		if err := mislabelled.Send(ctx, job, record); err != nil {
			return err
		}
	}
	return nil
}

// words sends a hundred records.
func words(ctx context.Context, job *executor.Job) error {
	for i := range 100 {
		if err := out.Send(ctx, job, fmt.Sprintf("word %d", i)); err != nil {
			return err
		}
	}
	return nil
}
