package docker

import (
	"context"
	"io"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/tail"
)

// retryAfter is the time between two attempts to do something to a container.
const retryAfter = time.Second

// everything is the id of no container, and stands for all.
const everything = ""

// A watcher is the state of the one goroutine that looks at containers: it reports those that have
// ended, and attends those that have to be brought to their end.
type watcher struct {
	*Backend
	charges map[string]*charge // by container id
}

// A charge is a container that the watcher has seen.
type charge struct {
	sight
	// leave ends the goroutine that attends it.
	leave context.CancelFunc
}

// A sight is what matters of a container.
type sight struct {
	instance backend.Instance
	name     string
	stage    stage
}

type stage string

const (
	made  stage = "made" // not started yet
	alive stage = "alive"
	over  stage = "over" // its exit is in or past the outbox
)

func stageOf(s *container.State, n name) stage {
	switch {
	case ended(s, n):
		return over
	case s.Status == container.StateCreated:
		return made
	}
	return alive
}

// watch looks at containers when it is asked to, until ctx ends.
func (w *watcher) watch(ctx context.Context) {
	for ctx.Err() == nil {
		id, _, ok := w.look.first()
		if ok {
			w.look.drop(id)
			w.visit(ctx, id)
			continue
		}
		select {
		case <-ctx.Done():
		case <-w.look.changed:
		}
	}
}

// visit looks at a container, and later again if that fails.
func (w *watcher) visit(ctx context.Context, id string) {
	err := w.see(ctx, id)
	if err == nil || ctx.Err() != nil {
		return
	}
	w.cfg.Logger.Warn("cannot look at executors; trying again", "container", id, "error", err)
	w.work.Go(func() {
		if sleep(ctx, retryAfter) {
			w.look.put(id, struct{}{})
		}
	})
}

// see reports a container that has ended, and has others attended.
func (w *watcher) see(ctx context.Context, id string) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if id == everything {
		return w.seeAll(call)
	}
	c, err := w.inspect(call, id)
	if cerrdefs.IsNotFound(err) {
		w.forsake(id)
		return nil
	}
	if err != nil {
		return err
	}
	n := w.nameOf(c)
	now := sight{instance: instanceOf(c.Config.Labels), name: n.current(), stage: stageOf(c.State, n)}
	if before := w.charges[id]; before != nil {
		if before.sight == now {
			return nil
		}
		before.leave()
	}
	if now.stage == over {
		err = w.report(call, c, n)
	}
	if err == nil {
		w.charges[id] = &charge{sight: now, leave: w.attend(ctx, id, n, now.stage)}
	}
	return err
}

// seeAll asks for a look at every container, those that are gone included: much may have happened while
// nobody listened.
func (w *watcher) seeAll(ctx context.Context) error {
	found, err := w.containers(ctx)
	if err != nil {
		return err
	}
	for _, c := range found {
		w.look.put(c.ID, struct{}{})
	}
	for id := range w.charges {
		w.look.put(id, struct{}{})
	}
	return nil
}

// forsake lets go of a container that is no longer there.
func (w *watcher) forsake(id string) {
	c := w.charges[id]
	if c == nil {
		return
	}
	c.leave()
	delete(w.charges, id)
	if c.stage == alive {
		w.outbox.put(c.instance.Executor, backend.Exit{
			Instance: c.instance, Code: -1,
			Reason: "somebody removed its container, and nobody saw how it ended",
		})
	}
}

// report puts the exit of a container into the outbox.
func (w *watcher) report(ctx context.Context, c container.InspectResponse, n name) error {
	stderr := ""
	if c.State.Status != container.StateCreated {
		var err error
		if stderr, err = w.stderr(ctx, c.ID); err != nil && !answered(ctx, err) {
			return err
		} else if err != nil { // an exit without its last words is better than none
			w.cfg.Logger.Warn("cannot read the log of an executor", "container", c.ID, "error", err)
		}
	}
	exit := describe(c, n, stderr)
	exit.Instance = instanceOf(c.Config.Labels)
	w.outbox.put(exit.Executor, exit)
	return nil
}

// stderr returns the end of what a container wrote to its standard error.
func (b *Backend) stderr(ctx context.Context, id string) (string, error) {
	logs, err := b.docker.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStderr: true})
	if err != nil {
		return "", err
	}
	defer logs.Close()
	end := tail.New(contract.DetailLimit)
	_, err = stdcopy.StdCopy(io.Discard, end, logs)
	return end.String(), err
}

// attend does what is to be done to a container at its time, in a goroutine that the function it
// returns ends. What it does gives the container another name or ends it: then there is a new sight.
func (w *watcher) attend(ctx context.Context, id string, n name, s stage) context.CancelFunc {
	var next func(ctx context.Context, id string, n name)
	switch {
	case s == made:
		next = w.abandon
	case s == alive && n.phase == draining:
		next = w.insist
	case s == alive && n.phase == givenUp:
		next = w.finish
	default:
		return func() {}
	}
	ctx, leave := context.WithCancel(ctx)
	w.work.Go(func() { next(ctx, id, n) })
	return leave
}

// abandon makes sure that an executor whose start was broken off never runs. Its exit says so.
func (b *Backend) abandon(ctx context.Context, id string, n name) {
	if !sleep(ctx, b.cfg.StartTimeout) {
		return
	}
	b.persist(ctx, id, func(ctx context.Context) error {
		_, err := b.rename(ctx, id, n, n.is(abandoned, time.Time{}))
		return err
	})
}

// insist ends the grace period of an executor that drains.
func (b *Backend) insist(ctx context.Context, id string, n name) {
	if !sleep(ctx, time.Until(n.at)) {
		return
	}
	b.persist(ctx, id, func(ctx context.Context) error {
		_, err := b.rename(ctx, id, n, n.is(givenUp, time.Now().Add(b.cfg.KillDelay)))
		return err
	})
}

// finish tells an executor to give up its jobs, and kills it when that was of no use. It repeats
// itself: on a busy machine two SIGTERMs may count as one, and a daemon may be busy, too.
func (b *Backend) finish(ctx context.Context, id string, n name) {
	for {
		signal, pause := "SIGKILL", retryAfter
		if left := time.Until(n.at); left > 0 {
			signal, pause = "SIGTERM", min(left, retryAfter)
		}
		b.try(ctx, id, func(ctx context.Context) error { return b.kill(ctx, id, signal) })
		if !sleep(ctx, pause) {
			return
		}
	}
}

// persist tries something until it succeeds or ctx ends.
func (b *Backend) persist(ctx context.Context, id string, do func(context.Context) error) {
	for !b.try(ctx, id, do) && sleep(ctx, retryAfter) {
	}
}

// try does something to a container, and reports whether it succeeded.
func (b *Backend) try(ctx context.Context, id string, do func(context.Context) error) bool {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := do(call)
	if err != nil && ctx.Err() == nil {
		b.cfg.Logger.Warn("cannot bring an executor to its end; trying again", "container", id, "error", err)
	}
	return err == nil
}
