package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/heap"
	"github.com/dagyo/dagyo/pkg/stream"
)

// Exit codes of Main.
const (
	ExitOK       = 0 // drained: all jobs are done
	ExitFailed   = 1 // NATS is unreachable, or running jobs were abandoned
	ExitBadUsage = 2 // the environment is invalid
)

// Main serves jobs as configured in the environment until SIGTERM or SIGINT has drained the executor, and exits. After
// the first signal, running jobs finish; a second signal abandons them.
//
// With the argument "describe" it prints the program's progdef document instead, for "dagyo progdef apply". "describe DIR"
// prints a document to save in the folder DIR: the path in its command is relative to it. With the argument "--help" it
// prints its usage.
func Main(p Program) {
	if code, asked := p.asked(os.Args, os.Stdout, os.Stderr); asked {
		os.Exit(code)
	}
	defer heap.Settle()()
	c, err := FromEnvironment()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if byHand() {
			fmt.Fprint(os.Stderr, p.usage(os.Args[0]))
		}
		os.Exit(ExitBadUsage)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if err := Run(context.Background(), c, p, signals); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(ExitFailed)
	}
	os.Exit(ExitOK)
}

// Run serves jobs until it is drained by a first value on drain. It abandons running jobs at a second
// value, after Config.Grace, or when the context ends. It returns an error if jobs were abandoned or NATS
// rejects the connection.
func Run(ctx context.Context, c Config, p Program, drain <-chan os.Signal) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if c.StopGrace == 0 {
		c.StopGrace = DefaultStopGrace
	}
	x := &executor{config: c, program: p, mask: newMask(c.Secrets), slots: make(chan struct{}, c.Slots)}
	x.progdef, x.revision, _ = strings.Cut(c.Mailbox, ".")
	link, err := x.connect(ctx, drain)
	if err != nil || link == nil {
		return err
	}
	defer link.Close()
	x.link = link
	if x.replies, err = stream.NewReplies(link.Conn); err != nil {
		return err
	}
	if !x.takeName(ctx, drain) {
		return nil
	}
	return x.serve(ctx, drain)
}

// takeName reports whether jobs may run under our id. If another program had it, or while the broker
// does not answer, it waits to be drained.
func (x *executor) takeName(ctx context.Context, drain <-chan os.Signal) bool {
	if !x.config.Spawned {
		return true
	}
	asking, cancel := context.WithCancel(ctx)
	ours := make(chan bool, 1)
	go func() { ours <- x.askName(asking) }()
	select {
	case <-drain:
		cancel()
		<-ours
		return false
	case mine := <-ours:
		cancel()
		if mine || ctx.Err() != nil {
			return mine
		}
	}
	x.config.Log.Warn("another program already ran under this executor's id; waiting for a signal to exit", "executor", x.config.ID)
	select {
	case <-drain:
	case <-ctx.Done():
	}
	return false
}

// askName asks the broker until it answers.
func (x *executor) askName(ctx context.Context) bool {
	mark := nuid.Next()
	for {
		ours, err := broker.TakeName(ctx, x.link, x.config.ID, mark)
		if err == nil {
			return ours
		}
		if ctx.Err() == nil {
			x.config.Log.Warn("cannot take this executor's name; trying again", "error", err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return false
		}
	}
}

// retryPause is the pause between two tries of a request that the broker refuses.
const retryPause = 250 * time.Millisecond

// connect waits for NATS. Without a connection there is nothing to drain, so a signal ends the wait, and
// connect returns no link.
func (x *executor) connect(ctx context.Context, drain <-chan os.Signal) (*broker.Link, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var link *broker.Link
	connected := make(chan error, 1)
	go func() {
		var err error
		link, err = broker.Connect(ctx, broker.Options{
			URL: x.config.Queue, Name: "executor " + x.config.ID, Access: x.config.Access,
			Extra: []nats.Option{nats.ReconnectHandler(func(*nats.Conn) { x.reconnected() })},
		})
		connected <- err
	}()
	select {
	case err := <-connected:
		return link, err
	case <-drain:
		cancel()
		if err := <-connected; err == nil {
			link.Close()
		}
		return nil, nil
	}
}

// executor is a running executor.
type executor struct {
	config            Config
	program           Program
	mask              mask
	progdef, revision string
	link              *broker.Link
	replies           *stream.Replies
	// slots holds a token for every job that is running or may be delivered to us.
	slots chan struct{}

	mu    sync.Mutex
	beats beats // of all running jobs
}

// serve takes jobs until it is told to drain, and then waits for running jobs.
func (x *executor) serve(ctx context.Context, drain <-chan os.Signal) error {
	jobs, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	claiming, stopClaiming := context.WithCancel(jobs)
	defer stopClaiming()

	beats, stopBeats := context.WithCancel(context.WithoutCancel(ctx))
	var beating, working sync.WaitGroup
	beating.Go(func() { x.beat(beats) })
	defer beating.Wait()
	defer stopBeats()

	stuck := make(chan struct{}, 1)
	claimed := make(chan struct{})
	go func() { defer close(claimed); x.claimJobs(claiming, jobs, &working, stuck) }()

	var failed error
	select {
	case <-drain:
		stopClaiming() // first: receivers of executor.draining rely on it
		x.sayDraining(ctx, "told to")
	case <-stuck:
		failed = errStuck
		stopClaiming()
		x.sayDraining(ctx, errStuck.Error())
	case <-ctx.Done():
		stopClaiming()
	}
	<-claimed

	idle := make(chan struct{})
	go func() { working.Wait(); close(idle) }()
	grace := time.NewTimer(x.config.Grace)
	defer grace.Stop()
	select {
	case <-idle:
		return failed
	case <-drain:
	case <-grace.C:
	case <-ctx.Done():
	}
	return errors.Join(failed, x.giveUp(giveUp, idle))
}

var errStuck = errors.New("a stopped job did not return")

// lastWords is how long abandoned jobs have to publish their end.
const lastWords = 3 * time.Second

// giveUp ends the running jobs, and waits until their ends are published.
func (x *executor) giveUp(cancel context.CancelCauseFunc, idle <-chan struct{}) error {
	cancel(ErrDrained)
	n := x.count()
	select {
	case <-idle:
		return fmt.Errorf("gave up %d running jobs", n)
	case <-time.After(lastWords):
		return fmt.Errorf("gave up %d running jobs, of which %d did not return", n, x.count())
	}
}

func (x *executor) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.beats)
}

func (x *executor) sayDraining(ctx context.Context, reason string) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	e := contract.Event{
		Type: contract.TypeExecutorDraining, Subject: x.config.ID,
		Data: &contract.ExecutorDraining{
			Executor: x.config.ID, Progdef: x.progdef, Revision: x.revision, Reason: reason,
		},
	}
	// If the spawner drains us, it has published one of its own.
	if err := x.say(ctx, e); err != nil {
		x.config.Log.Warn("cannot publish that this executor is draining", "error", err)
	}
}
