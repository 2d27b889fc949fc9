package docker

import (
	"context"
	"errors"
	"fmt"
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
		c, n, ok, err := b.running(ctx, executor)
		if err != nil || !ok || n.phase == draining || n.phase == givenUp {
			return err
		}
		grace, err := time.ParseDuration(c.Labels[labelGrace])
		if err != nil {
			return fmt.Errorf("its label %s: %w", labelGrace, err)
		}
		return b.drain(ctx, c.ID, n, grace)
	})
}

// GiveUp implements [backend.Backend]. It brings the end of the grace period forward.
func (b *Backend) GiveUp(ctx context.Context, executor string) error {
	return b.call(ctx, "giving up", executor, func(ctx context.Context) error {
		c, n, ok, err := b.running(ctx, executor)
		switch {
		case err != nil || !ok || n.phase == givenUp:
			return err
		case n.phase != draining:
			return b.drain(ctx, c.ID, n, signalGap)
		}
		if soon := time.Now().Add(signalGap); n.at.After(soon) {
			_, err = b.rename(ctx, c.ID, n, n.is(draining, soon))
		}
		return err
	})
}

// drain sends the first SIGTERM.
func (b *Backend) drain(ctx context.Context, id string, n name, grace time.Duration) error {
	to := n.is(draining, time.Now().Add(grace))
	first, err := b.rename(ctx, id, n, to)
	if err != nil || !first {
		return err
	}
	err = b.kill(ctx, id, "SIGTERM")
	if err != nil && answered(ctx, err) { // it was not sent
		_, undone := b.rename(ctx, id, to, n)
		err = errors.Join(err, undone)
	}
	return err
}

// running finds an executor that runs. One that is still to be started does not have to be waited
// for when nothing but its image is missing: it is never started.
func (b *Backend) running(ctx context.Context, executor string) (c container.Summary, n name, ok bool, err error) {
	if err := b.cancelPull(executor); err != nil {
		return c, n, false, err
	}
	found, err := b.containers(ctx, labelExecutor, executor)
	if err != nil {
		return c, n, false, err
	}
	for _, c := range found {
		runs, err := b.runs(ctx, c)
		if err == nil && runs && c.State == container.StateCreated {
			err = errStarting
		}
		if err != nil || runs {
			return c, parseName(b.cfg.Place, executor, c.Names[0]), runs, err
		}
	}
	return c, n, false, nil
}

// rename gives a container that has one name another. It reports false when the container is gone, or
// no longer has the name: somebody else was faster.
func (b *Backend) rename(ctx context.Context, id string, from, to name) (bool, error) {
	_, err := b.docker.ContainerRename(ctx, from.current(), client.ContainerRenameOptions{NewName: to.String()})
	if cerrdefs.IsNotFound(err) {
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
