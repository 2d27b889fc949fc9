package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

// A pull is an executor that is waiting for its image. Backend.mu guards its fields.
type pull struct {
	order  order
	cancel context.CancelFunc
	// waiting describes what it is waiting for.
	waiting string
	// starting is set when the image has been pulled.
	starting bool
	// over is set when the image is unavailable or no longer needed; the executor has an exit.
	over bool
}

// image returns an image that the host has.
func (b *Backend) image(ctx context.Context, ref imageRef) (i image.InspectResponse, here bool, err error) {
	for _, name := range ref.names() {
		found, err := b.docker.ImageInspect(ctx, name)
		if err == nil {
			i = found.InspectResponse
			if i.Config == nil {
				i.Config = &dockerspec.DockerOCIImageConfig{}
			}
			return i, true, nil
		}
		if !cerrdefs.IsNotFound(err) {
			return i, false, err
		}
	}
	return i, false, nil
}

// refetch reports whether an image must be pulled although the host has it.
func (b *Backend) refetch(ref imageRef) bool { return b.cfg.Pull == PullAlways && ref.digest == "" }

// fetch starts to pull the image of an executor, and starts the executor once it is there.
func (b *Backend) fetch(o order) error {
	missing := fmt.Sprintf("the Docker host has no image %s", o.image.text)
	switch {
	case !o.image.named:
		return refuse(missing+", and an image id cannot be pulled from a registry",
			"build it on the host, or push it and apply the progdef with registry, repository and digest", "image")
	case b.cfg.Pull == PullNever:
		return refuse(missing+", and the spawner's pull policy forbids pulling it",
			"build or load it on the host, or change the spawner's pull policy", "image")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	if b.pulls[o.instance.Executor] != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.PullTimeout)
	p := &pull{order: o, cancel: cancel, waiting: "pulling image " + o.image.text}
	b.pulls[o.instance.Executor] = p
	b.work.Go(func() {
		defer cancel()
		b.conclude(ctx, p, b.pull(ctx, p))
	})
	return nil
}

// pull pulls an image and starts its executor.
func (b *Backend) pull(ctx context.Context, p *pull) error {
	if err := b.pullPatiently(ctx, p); err != nil {
		return err
	}
	if !b.beginStart(p) {
		return context.Canceled
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	i, here, err := b.image(ctx, p.order.image)
	if err != nil {
		return err
	}
	if !here {
		return p.order.image.unavailable(errors.New("it was removed after it was pulled"))
	}
	return b.launch(ctx, p.order, i)
}

const (
	// pullAttempts is the number of tries to pull an image while the registry does not answer.
	pullAttempts = 4
	// pullPause is the pause before the second try; it doubles.
	pullPause = time.Second
)

// pullPatiently pulls an image, and retries transient failures.
func (b *Backend) pullPatiently(ctx context.Context, p *pull) error {
	ref := p.order.image
	for attempt, pause := 1, pullPause; ; attempt, pause = attempt+1, 2*pause {
		err := b.pullOnce(ctx, ref)
		if err == nil {
			return nil
		}
		if definite(err) || attempt == pullAttempts || !sleep(ctx, pause) {
			return ref.unavailable(err)
		}
		b.say(p, fmt.Sprintf("pulling image %s: %s; trying again", ref.text, words(err)))
	}
}

func (b *Backend) pullOnce(ctx context.Context, ref imageRef) error {
	auth, err := RegistryAuth(ctx, ref.text)
	if err != nil {
		return err
	}
	progress, err := b.docker.ImagePull(ctx, ref.text, client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer progress.Close()
	err = progress.Wait(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it was not pulled within %s", b.cfg.PullTimeout)
	}
	return err
}

// definite reports whether a registry answered that it does not have the image, or denied access. The daemon
// may report the latter as its own failure, but it repeats the registry's code.
func definite(err error) bool {
	return cerrdefs.IsNotFound(err) || cerrdefs.IsInvalidArgument(err) ||
		cerrdefs.IsUnauthorized(err) || cerrdefs.IsPermissionDenied(err) ||
		strings.HasPrefix(words(err), "unauthorized: ") || strings.HasPrefix(words(err), "denied: ")
}

// unavailable is the error for an image that cannot be pulled.
func (r imageRef) unavailable(err error) error {
	hint := "check that the Docker host can reach the registry"
	if definite(err) {
		hint = "push it there, correct the progdef's image, or give the spawner the registry's credentials"
	}
	return refuse(fmt.Sprintf("cannot pull image %s: %s", r.text, words(err)), hint, "image")
}

// conclude ends a pull. An error becomes the executor's exit, unless there is a container: it may have been
// started nevertheless, and the watcher reports its exit.
func (b *Backend) conclude(ctx context.Context, p *pull, err error) {
	if refusal := new(backend.StartError); err != nil && !errors.As(err, &refusal) && b.seen(ctx, p.order.instance.Executor) {
		err = nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		delete(b.pulls, p.order.instance.Executor)
		return
	}
	if p.over || b.closed {
		return
	}
	p.over = true
	exit := backend.Exit{
		Instance: p.order.instance, Code: -1, Reason: "it could not be started: " + words(err),
	}
	if refusal := new(backend.StartError); errors.As(err, &refusal) {
		exit.Permanent = true
		exit.Reason = never(refusal)
	}
	b.outbox.put(exit.Executor, exit)
}

// lookTimeout limits the check for the result of a start.
const lookTimeout = 10 * time.Second

// seen reports whether an executor has a container, and makes the watcher inspect it.
func (b *Backend) seen(ctx context.Context, executor string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	found, err := b.containers(ctx, labelExecutor, executor)
	if err != nil || len(found) == 0 {
		return false
	}
	b.look.put(found[0].ID, struct{}{})
	return true
}

// cancelPull cancels the wait for an image: the executor is no longer needed.
func (b *Backend) cancelPull(executor string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pulls[executor]
	if p == nil || p.over {
		return nil
	}
	if p.starting {
		return errStarting
	}
	p.over = true
	p.cancel()
	b.outbox.put(executor, backend.Exit{
		Instance: p.order.instance, Code: -1, Reason: "it was told to exit before its image was pulled",
	})
	return nil
}

// beginStart reports false if the executor is no longer needed.
func (b *Backend) beginStart(p *pull) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.starting = !p.over && !b.closed
	return p.starting
}

// forgetPull reports false while the executor is waiting for its image.
func (b *Backend) forgetPull(executor string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.pulls[executor]; p != nil && !p.over {
		return false
	}
	delete(b.pulls, executor)
	return true
}

func (b *Backend) hasPull(executor string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pulls[executor] != nil
}

// say changes what an executor is waiting for.
func (b *Backend) say(p *pull, waiting string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.waiting = waiting
}

// waiting returns the executors whose image is being pulled, by id.
func (b *Backend) waiting() map[string]backend.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]backend.Status{}
	for executor, p := range b.pulls {
		if !p.over {
			out[executor] = backend.Status{Instance: p.order.instance, Waiting: p.waiting}
		}
	}
	return out
}

// sleep waits, and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
