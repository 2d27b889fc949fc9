package docker

import (
	"context"
	"errors"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// signalGap keeps two SIGTERMs from counting as one, as they may if sent at the same instant.
const signalGap = 100 * time.Millisecond

// errStarting explains that an executor cannot be ended because it is being started.
var errStarting = errors.New("it is still being started; try again")

// Drain implements [backend.Backend].
//
// Only the Backend that renames the container sends SIGTERM, so it is sent once, however many Backends
// try. If a spawner is killed between the two, SIGTERM is never sent, and the executor continues until it is
// given up. In the reverse order it could be sent twice, and the executor would give up running jobs.
func (b *Backend) Drain(ctx context.Context, executor string) error {
	return b.call(ctx, "draining", executor, func(ctx context.Context) error {
		id, n, ok, err := b.running(ctx, executor)
		if err != nil || !ok || n.ending() {
			return err
		}
		return b.drain(ctx, id, n)
	})
}

// drain sends the first SIGTERM. The watcher sees the new name and starts the grace period.
func (b *Backend) drain(ctx context.Context, id string, n name) error {
	first, err := b.rename(ctx, id, n, n.is(asked, time.Time{}))
	if err != nil || !first {
		return err
	}
	for {
		err := b.kill(ctx, id, "SIGTERM")
		if err == nil || !answered(ctx, err) || !sleep(ctx, retryAfter) {
			return err
		}
	}
}

// GiveUp implements [backend.Backend]. It ends the grace period early.
func (b *Backend) GiveUp(ctx context.Context, executor string) error {
	return b.call(ctx, "giving up", executor, func(ctx context.Context) error {
		for { // as long as its name changes in between
			id, n, ok, err := b.running(ctx, executor)
			if err != nil || !ok || n.phase == givenUp {
				return err
			}
			if done, err := b.hasten(ctx, id, n); done || err != nil {
				return err
			}
		}
	})
}

// hasten takes one step of ending an executor, and reports whether it was the last.
func (b *Backend) hasten(ctx context.Context, id string, n name) (bool, error) {
	soon := time.Now().Add(signalGap)
	switch {
	case !n.ending():
		return false, b.drain(ctx, id, n)
	case n.phase == draining && n.at.Before(soon):
		return true, nil
	}
	return b.rename(ctx, id, n, n.is(draining, soon))
}

// running finds the container of a running executor. If the executor is waiting for its image, it cancels that.
func (b *Backend) running(ctx context.Context, executor string) (id string, n name, ok bool, err error) {
	if err := b.cancelPull(executor); err != nil {
		return "", n, false, err
	}
	found, err := b.containers(ctx, labelExecutor, executor)
	if err != nil {
		return "", n, false, err
	}
	for _, c := range found {
		runs, err := b.runs(ctx, c)
		if err == nil && runs && c.State == container.StateCreated {
			err = errStarting
		}
		if err != nil || runs {
			return c.ID, parseName(b.cfg.Place, executor, c.Names[0]), runs, err
		}
	}
	return "", n, false, nil
}

// rename renames a container. It reports false if the container is gone, no longer has the old name, or already
// has the new one: another Backend was faster.
//
// The daemon finds the container first and then waits for its turn, so two renames at the same time may both
// succeed. Hence only one runs at a time; and the names that another Backend might set by mistake at the same
// time contain no time, so that the second one finds the name taken.
func (b *Backend) rename(ctx context.Context, id string, from, to name) (bool, error) {
	b.renaming.Lock()
	defer b.renaming.Unlock()
	_, err := b.docker.ContainerRename(ctx, from.current(), client.ContainerRenameOptions{NewName: to.String()})
	if cerrdefs.IsNotFound(err) || cerrdefs.IsInvalidArgument(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	b.look.put(id, struct{}{})
	return true, nil
}

// kill sends a signal to a container. It is not an error if the container is not running.
func (b *Backend) kill(ctx context.Context, id, signal string) error {
	_, err := b.docker.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: signal})
	if cerrdefs.IsConflict(err) || cerrdefs.IsNotFound(err) {
		b.look.put(id, struct{}{})
		return nil
	}
	return err
}
