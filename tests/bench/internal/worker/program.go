package worker

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/dagyo/dagyo/executor"
)

// ProgramArg is the first argument of a process that is an executor of one of the bench's own progdefs.
const ProgramArg = "program"

// PanicMark is the prefix of the message of a program that panics; the time in nanoseconds follows.
const PanicMark = "panicked at "

// Program serves one of the bench's programs by name, until it is drained.
func Program(name string) int {
	p, known := programs()[name]
	if !known {
		fmt.Fprintln(os.Stderr, "no program", name)
		return executor.ExitBadUsage
	}
	executor.Main(p)
	return executor.ExitOK
}

func programs() map[string]executor.Program {
	in, out := executor.Input("in", executor.String), executor.Output("out", executor.String)
	return map[string]executor.Program{
		// idle writes nothing and runs until its flow is stopped.
		"bench_idle": {Ports: []executor.Port{out},
			Run: func(ctx context.Context, _ *executor.Job) error { <-ctx.Done(); return ctx.Err() }},
		// relay copies its input to its output.
		"bench_relay": {Ports: []executor.Port{in, out}, Run: relay(in, out)},
		// panics fails at once, with the time in its message.
		"bench_panic": {Ports: []executor.Port{in},
			Run: func(context.Context, *executor.Job) error {
				return fmt.Errorf("%s%d", PanicMark, time.Now().UnixNano())
			}},
	}
}

func relay(
	in executor.In[string], out executor.Out[string],
) func(context.Context, *executor.Job) error {
	return func(ctx context.Context, j *executor.Job) error {
		for v, err := range in.All(ctx, j) {
			if err != nil {
				return err
			}
			if err := out.Send(ctx, j, v); err != nil {
				return err
			}
		}
		return nil
	}
}
