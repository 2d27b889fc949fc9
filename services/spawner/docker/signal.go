package docker

import (
	"context"
	"errors"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// signalGap keeps two SIGTERMs from counting as one, as they may in the same instant.
const signalGap = 100 * time.Millisecond

// errStarting says that an executor cannot be told to end because its start is under way.
var errStarting = errors.New("it is only being started; try again")

// Drain implements [backend.Backend].
//
// Only who gives the container its new name sends SIGTERM, so it is sent once, however many Backends
// try. A spawner that is killed between the two never sends it: the executor then goes on until it is
// given up. The other way about, it could be told twice, and would give up running jobs.
func (b *Backend) Drain(ctx context.Context, executor string) error {
	return b.call(ctx, "draining", executor, func(ctx context.Context) error {
		id, n, ok, err := b.running(ctx, executor)
		if err != nil || !ok || n.ending() {
			return err
		}
		return b.drain(ctx, id, n)
	})
}

// drain sends the first SIGTERM. The watcher sees the name, and then the time of the executor runs.
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

// GiveUp implements [backend.Backend]. It brings the end of the grace period forward.
func (b *Backend) GiveUp(ctx context.Context, executor string) error {
	return b.call(ctx, "giving up", executor, func(ctx context.Context) error {
		for { // whenever its name has changed in between
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

// hasten takes one step on the way to the end of an executor, and reports whether it was the last.
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

// running finds the container of an executor that runs. One that waits for its image no longer does.
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

// rename gives a container that has one name another. It reports false when the container is gone, no
// longer has the name, or has the new one already: somebody else was faster.
//
// The daemon finds the container first and waits for its turn then, so of two renames at the same time
// both may succeed. Hence one at a time; and what another Backend might do at the same time, by mistake,
// has no time in its name, so that the second finds the name given.
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

// kill sends a signal to a container. One that does not run does not mind.
func (b *Backend) kill(ctx context.Context, id, signal string) error {
	_, err := b.docker.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: signal})
	if cerrdefs.IsConflict(err) || cerrdefs.IsNotFound(err) {
		b.look.put(id, struct{}{})
		return nil
	}
	return err
}
