package std

import (
	"context"

	"github.com/dagyo/dagyo/executor"
)

// voidSink reads everything and keeps nothing.
func voidSink() executor.Program {
	in := executor.Input("in", executor.String)
	return executor.Program{
		Ports: []executor.Port{in},
		Run: func(ctx context.Context, job *executor.Job) error {
			for _, err := range in.All(ctx, job) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}
