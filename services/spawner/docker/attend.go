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
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/tail"
)

// retryAfter is the pause between two tries of an operation on a container.
const retryAfter = time.Second

// everything is not the id of a container; it stands for all containers.
const everything = ""

// A watcher is the state of the goroutine that inspects containers: it reports those that have exited, and
// attends those that have to be ended.
type watcher struct {
	*Backend
	charges map[string]*charge // by container id
}

// A charge is a container that the watcher has seen.
type charge struct {
	sight
	// leave cancels the goroutine that attends it.
	leave context.CancelFunc
}

// A sight is the state of a container that matters to the watcher.
type sight struct {
	instance backend.Instance
	name     string
	stage    stage
}

type stage string

const (
	made  stage = "made" // not started yet
	alive stage = "alive"
	over  stage = "over" // its exit is in the outbox, or was delivered
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

// watch inspects containers on request, until ctx ends.
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

// visit inspects a container, and queues it again if that fails.
func (w *watcher) visit(ctx context.Context, id string) {
	err := w.see(ctx, id)
	if err == nil || ctx.Err() != nil {
		return
	}
	w.cfg.Logger.Warn("cannot inspect executors; trying again", "container", id, "error", err)
	w.look.put(id, struct{}{})
	sleep(ctx, retryAfter)
}

// see reports a container that has exited, and starts to attend others.
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
	if err != nil || c.State.Status == container.StateRemoving { // it will soon be gone
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
		w.charges[id] = &charge{sight: now, leave: w.attend(ctx, c, n, now.stage)}
	}
	return err
}

// seeAll requests an inspection of every container, including removed ones: much may have happened while no
// events were received.
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

// forsake drops a container that no longer exists.
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
			Reason: "its container was removed, so its exit status is unknown",
		})
	}
}

// report puts the exit of a container into the outbox. An exit without its last output is better than none.
func (w *watcher) report(ctx context.Context, c container.InspectResponse, n name) error {
	stderr, err := w.stderr(ctx, c.ID)
	if err != nil && !answered(ctx, err) {
		return err
	}
	if err != nil {
		w.cfg.Logger.Warn("cannot read the log of an executor", "container", c.ID, "error", err)
	}
	exit := describe(c, n, stderr)
	exit.Instance = instanceOf(c.Config.Labels)
	w.outbox.put(exit.Executor, exit)
	return nil
}

// stderr returns the end of a container's standard error.
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

// attend does what is due for a container at its time, in a goroutine; the returned function cancels it. This
// renames the container or ends it, which causes a new sight.
func (w *watcher) attend(
	ctx context.Context, c container.InspectResponse, n name, s stage,
) context.CancelFunc {
	var next func(context.Context)
	switch {
	case s == made:
		next = func(ctx context.Context) { w.abandon(ctx, c.ID, n) }
	case s == alive && n.phase == asked:
		next = func(ctx context.Context) { w.setTime(ctx, c.ID, n, graceOf(c.Config.Labels)) }
	case s == alive && n.phase == draining:
		next = func(ctx context.Context) { w.insist(ctx, c.ID, n) }
	case s == alive && n.phase == givenUp:
		next = func(ctx context.Context) { w.finish(ctx, c.ID, n) }
	default:
		return func() {}
	}
	ctx, leave := context.WithCancel(ctx)
	w.work.Go(func() { next(ctx) })
	return leave
}

// setTime starts the grace period of an executor that was told to drain.
func (b *Backend) setTime(ctx context.Context, id string, n name, grace time.Duration) {
	until := time.Now().Add(grace)
	b.persist(ctx, id, func(ctx context.Context) error {
		_, err := b.rename(ctx, id, n, n.is(draining, until))
		return err
	})
}

func graceOf(labels map[string]string) time.Duration {
	grace, err := time.ParseDuration(labels[labelGrace])
	if err != nil { // not our error; leave time for someone to handle it
		return progdef.Default().Drain.GracePeriod.D()
	}
	return grace
}

// abandon makes sure that an executor whose start was interrupted never runs. Its exit gives that reason.
func (b *Backend) abandon(ctx context.Context, id string, n name) {
	if !sleep(ctx, b.cfg.StartTimeout) {
		return
	}
	b.persist(ctx, id, func(ctx context.Context) error {
		_, err := b.rename(ctx, id, n, n.is(abandoned, time.Time{}))
		return err
	})
}

// insist ends the grace period of a draining executor.
func (b *Backend) insist(ctx context.Context, id string, n name) {
	if !sleep(ctx, time.Until(n.at)) {
		return
	}
	b.persist(ctx, id, func(ctx context.Context) error {
		_, err := b.rename(ctx, id, n, n.is(givenUp, time.Now().Add(b.cfg.KillDelay)))
		return err
	})
}

// finish tells an executor to give up its jobs, and kills it if it does not exit. It repeats the signal: on a
// busy machine two SIGTERMs may count as one, and the daemon may be busy, too.
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

// persist retries an operation until it succeeds or ctx ends.
func (b *Backend) persist(ctx context.Context, id string, do func(context.Context) error) {
	for !b.try(ctx, id, do) && sleep(ctx, retryAfter) {
	}
}

// try performs an operation on a container, and reports whether it succeeded.
func (b *Backend) try(ctx context.Context, id string, do func(context.Context) error) bool {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := do(call)
	if err != nil && ctx.Err() == nil {
		b.cfg.Logger.Warn("cannot end an executor; trying again", "container", id, "error", err)
	}
	return err == nil
}
