package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

// Start implements [backend.Backend]. It returns when the program runs, when its image is being
// fetched, or when another call has started it or is starting it. After an error that may pass the
// executor may or may not run: call Start again, or wait for its exit.
//
// An id is remembered until it is forgotten.
func (b *Backend) Start(ctx context.Context, spec backend.Spec) error {
	return b.call(ctx, "starting", spec.Executor, func(ctx context.Context) error {
		return b.start(ctx, spec)
	})
}

func (b *Backend) start(ctx context.Context, spec backend.Spec) error {
	if b.hasPull(spec.Executor) {
		return nil
	}
	found, err := b.containers(ctx, labelExecutor, spec.Executor)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		b.look.put(found[0].ID, struct{}{}) // its start may have been broken off
		return nil
	}
	o, err := b.cfg.order(spec, b.cpus)
	if err != nil {
		return err
	}
	i, here, err := b.image(ctx, o.image)
	switch {
	case err != nil:
		return err
	case here && !b.refetch(o.image):
		return b.launch(ctx, o, i)
	}
	return b.fetch(o)
}

// launch makes the container of an order and starts it.
//
// The container's name is the claim to the executor. It may be free although the executor runs, when
// that drains and has another name; and a tag may have moved since the revision's first executor. So
// the container is checked against its peers once it is there itself: of two that come at the same
// time at least one sees the other.
func (b *Backend) launch(ctx context.Context, o order, i image.InspectResponse) error {
	if err := o.image.admit(i); err != nil {
		return err
	}
	options, err := b.cfg.create(o, i)
	if err != nil {
		return err
	}
	created, err := b.docker.ContainerCreate(ctx, options)
	if cerrdefs.IsConflict(err) {
		return b.taken(ctx, options.Name)
	}
	if err != nil {
		return err
	}
	again, err := b.check(ctx, created.ID, o, i)
	if again || err != nil {
		return errors.Join(err, b.remove(ctx, created.ID))
	}
	return b.run(ctx, created.ID, options)
}

// taken tells who has the name of a container: another call, for which there is nothing more to do, or
// a stranger.
func (b *Backend) taken(ctx context.Context, name string) error {
	c, err := b.inspect(ctx, name)
	if cerrdefs.IsNotFound(err) { // it is only being made, or has another name by now
		return nil
	}
	if err == nil && c.Config.Labels[labelPlace] != b.cfg.Place {
		err = fmt.Errorf("the name %s belongs to a container that is not Dagyo's; "+
			"remove that, or give the spawner another place", name)
	}
	return err
}

// check looks at a container that was made and not started. It reports again when the executor has
// another container already.
func (b *Backend) check(
	ctx context.Context, id string, o order, i image.InspectResponse,
) (again bool, err error) {
	peers, err := b.containers(ctx, labelProgdef, o.instance.Progdef, labelRevision, o.instance.Revision)
	if err != nil {
		return false, err
	}
	for _, p := range peers {
		if p.Labels[labelExecutor] == o.instance.Executor && p.ID != id {
			return true, nil
		}
		if was := p.Labels[labelImage]; was != i.ID && o.image.digest == "" {
			return false, moved(o, was, i.ID)
		}
	}
	return false, b.lookForProgram(ctx, id, o, i)
}

// moved is the error of a tag that means another image than it did when the revision's other
// executors were started.
func moved(o order, was, is string) error {
	return refuse(
		fmt.Sprintf("the tag %s now names another image (%s) than revision %s runs (%s)",
			o.image.text, is, o.instance.Revision, was),
		"build it again and apply the progdef with the image's digest", "image")
}

// run starts a container. It is called by its name: one that was abandoned meanwhile has another.
func (b *Backend) run(ctx context.Context, id string, options client.ContainerCreateOptions) error {
	_, err := b.docker.ContainerStart(ctx, options.Name, client.ContainerStartOptions{})
	b.look.put(id, struct{}{})
	if err == nil {
		return nil
	}
	if refusal := unstartable(err, options); refusal != nil {
		return errors.Join(refusal, b.remove(ctx, id))
	}
	if c, unseen := b.inspect(ctx, id); unseen == nil && c.State.Error != "" {
		return nil // the daemon keeps the reason with the container, and the exit tells
	}
	return err
}

// unstartable recognises the daemon's words for what can never start.
func unstartable(err error, options client.ContainerCreateOptions) error {
	why := words(err)
	switch {
	case strings.Contains(why, "could not select device driver"):
		return refuse("the Docker host has no GPUs to give: "+why,
			"install the NVIDIA container toolkit there, or use a host that has it",
			"resources", "limits", gpu)
	case strings.Contains(why, "unable to find user"), strings.Contains(why, "unable to find group"):
		return refuse(fmt.Sprintf("the image does not know its user %q: %s", options.Config.User, why),
			"give the USER in the Dockerfile as numbers", "image")
	}
	return nil
}

// lookForProgram makes sure that the first word of what is to be run is in the container and can be
// executed. Where it cannot find out, the program's exit will tell.
func (b *Backend) lookForProgram(ctx context.Context, id string, o order, i image.InspectResponse) error {
	word := program(o, i)[0]
	why := ""
	for _, path := range candidates(word, i.Config.WorkingDir, searchPath(o, i)) {
		if why = b.unexecutable(ctx, id, path, true); why == "" {
			return nil
		}
	}
	pointer, hint := []string{"command", "0"}, "add it to the image, or correct the command"
	if len(o.command) == 0 {
		pointer, hint = []string{"image"}, "correct the ENTRYPOINT or CMD in the image's Dockerfile"
	}
	return refuse(fmt.Sprintf("%q cannot be run in the image %s: %s", word, o.image.text, why), hint, pointer...)
}

// unexecutable says why a path in a container cannot be executed; "" when it can.
func (b *Backend) unexecutable(ctx context.Context, id, path string, follow bool) string {
	found, err := b.docker.ContainerStatPath(ctx, id, client.ContainerStatPathOptions{Path: path})
	mode := found.Stat.Mode
	switch {
	case cerrdefs.IsNotFound(err):
		return "it was not found"
	case err != nil:
		return ""
	case mode.Type()&fs.ModeSymlink != 0 && follow:
		return b.unexecutable(ctx, id, found.Stat.LinkTarget, false) // the daemon has followed all links
	case mode.IsDir():
		return "it is a folder"
	case mode.Perm()&0o111 == 0:
		return "it is not executable"
	}
	return ""
}
