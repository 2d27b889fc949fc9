package process_test

import (
	"fmt"
	"testing"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// A start is what a flow waits for; the whole life includes the report of the exit.
func BenchmarkStart(b *testing.B) {
	for name, isolation := range map[string]*process.Isolation{"isolated": nil, "plain": {}} {
		b.Run(name, func(b *testing.B) {
			cfg := config(b.TempDir())
			cfg.Isolation = isolation
			if isolation == nil {
				found, err := process.Probe(b.Context(), cfg)
				if err != nil {
					b.Fatal(err)
				}
				cfg.Isolation = &found
			}
			x, err := process.New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer x.Close()
			n := 0
			for b.Loop() {
				n++
				err := x.Start(b.Context(), backend.Spec{
					Executor: fmt.Sprintf("one-%d", n), Progdef: "tester", Revision: "0123456789ab",
					Document: progdef.Document{Command: []string{"true"}},
				})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				e := <-x.Exits()
				if e.Code != 0 {
					b.Fatalf("%+v", e)
				}
				if err := x.Forget(b.Context(), e.Executor); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
