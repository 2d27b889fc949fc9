package broken

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/broker"
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

// vanishes drains at the first signal, and exits at the second one at once.
func vanishes(signals <-chan os.Signal, _ func()) <-chan os.Signal {
	heard := make(chan os.Signal, 1)
	go func() {
		heard <- <-signals
		<-signals
		os.Exit(1)
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
	link, err := connect(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer link.Close()
	progdef, revision, _ := strings.Cut(c.Mailbox, ".")
	data := &contract.ExecutorDraining{Executor: c.ID, Progdef: progdef, Revision: revision, Reason: "told to"}
	e := event.New(contract.TypeExecutorDraining, "/dagyo/executor/"+c.ID, c.ID, data, time.Now())
	e.By = c.ID
	m, err := event.Encode(e)
	if err == nil {
		_, err = link.RequestMsg(m, time.Second)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// connect makes another connection as an executor.
func connect(c executor.Config) (*broker.Link, error) {
	return broker.Connect(context.Background(), broker.Options{URL: c.Queue, Access: c.Access, Wait: time.Minute})
}

// hearsEverything subscribes to the answers of all others, too.
func hearsEverything(c *executor.Config) {
	link, err := connect(*c) // it ends when the process exits
	if err == nil {
		_, err = link.SubscribeSync("_INBOX.>")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
