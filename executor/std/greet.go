package std

import (
	"context"

	"github.com/dagyo/dagyo/executor"
)

// greeter answers each name with a greeting.
func greeter() executor.Program {
	name := executor.Input("name", executor.String)
	greeting := executor.Output("greeting", executor.String)
	return executor.Program{
		Ports: []executor.Port{name, greeting},
		Run: func(ctx context.Context, job *executor.Job) error {
			for n, err := range name.All(ctx, job) {
				if err != nil {
					return err
				}
				if err := greeting.Send(ctx, job, "hello "+n); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
