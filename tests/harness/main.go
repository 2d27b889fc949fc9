package harness

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/services/spawner/process"
	"github.com/dagyo/dagyo/tests/harness/faulty"
)

// envSelf makes the test binary behave like the dagyo command.
const envSelf = "DAGYO_TEST_AS_COMMAND"

// Main is the TestMain of every package that uses the harness. The test binary also serves as the dagyo command that
// supervises executors, and as the executors.
func Main(m *testing.M) {
	if os.Getenv(envSelf) != "" {
		os.Exit(command(os.Args[1:]))
	}
	goleak.VerifyTestMain(m, serverLeaks()...)
}

// serverLeaks are goroutines of a stream that nats-server was making when it was shut down: it does not end them.
func serverLeaks() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
	}
}

func command(args []string) int {
	if len(args) == 2 && args[0] == "service" {
		return serveAlone(args[1])
	}
	if len(args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: supervise DIR | executor NAME | faulty NAME | service NAME")
		return executor.ExitBadUsage
	}
	switch args[0] {
	case "supervise":
		return process.Supervise(args[1])
	case "faulty":
		return faulty.Main(args[1])
	case "executor":
		if p, ok := std.Find(args[1]); ok {
			executor.Main(p.Program)
		}
	}
	fmt.Fprintln(os.Stderr, "unknown:", args)
	return executor.ExitBadUsage
}
