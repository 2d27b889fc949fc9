package std

import (
	"context"

	"github.com/dagyo/dagyo/executor"
)

// names returns one name for each letter of the alphabet.
func names() []string {
	return []string{
		"Alice", "Bob", "Charlie", "Diana", "Eve", "Frank", "Grace", "Heidi", "Ivan", "Judy",
		"Karl", "Linda", "Mallory", "Niaj", "Olivia", "Peggy", "Quentin", "Rupert", "Sybil",
		"Trent", "Ursula", "Victor", "Wendy", "Xavier", "Yvonne", "Zach",
	}
}

// source writes the names.
func source() executor.Program {
	name := executor.Output("name", executor.String)
	return executor.Program{
		Ports: []executor.Port{name},
		Run: func(ctx context.Context, job *executor.Job) error {
			for _, n := range names() {
				if err := name.Send(ctx, job, n); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
