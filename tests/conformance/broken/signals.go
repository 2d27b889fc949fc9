package broken

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

// deaf receives no signal.
func deaf(<-chan os.Signal, func()) <-chan os.Signal { return nil }

// once receives only the first signal.
func once(signals <-chan os.Signal, _ func()) <-chan os.Signal {
	heard := make(chan os.Signal, 1)
	go func() { heard <- <-signals }() // it ends when the process exits
	return heard
}

// twice receives the first signal twice.
func twice(signals <-chan os.Signal, _ func()) <-chan os.Signal {
	heard := make(chan os.Signal, 2)
	go func() {
		s := <-signals
		heard <- s
		heard <- s
	}()
	return heard
}

// pretends publishes executor.draining, but does not drain.
func pretends(signals <-chan os.Signal, say func()) <-chan os.Signal {
	go func() {
		<-signals
		say()
	}()
	return nil
}

// sayDraining publishes executor.draining for an executor.
func sayDraining(c executor.Config) {
	nc, err := nats.Connect(c.Queue)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer nc.Close()
	progdef, revision, _ := strings.Cut(c.Mailbox, ".")
	data := &contract.ExecutorDraining{Executor: c.ID, Progdef: progdef, Revision: revision, Reason: "told to"}
	e := event.New(contract.TypeExecutorDraining, "/dagyo/executor/"+c.ID, c.ID, data, time.Now())
	m, err := event.Encode(e)
	if err == nil {
		_, err = nc.RequestMsg(m, time.Second)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
