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

// Start implements [backend.Backend]. It returns when the program is running, when its image is being
// pulled, or when another call has started it or is starting it. After a transient error the executor may
// or may not be running: call Start again, or wait for its exit.
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

// launch creates the container of an order and starts it.
//
// The container's name is the claim to the executor. The name may be free although the executor is running, if
// that is draining and was renamed; and a tag may have moved since the revision's first executor. So the
// container is checked against its peers once it exists: of two that are created at the same time, at least
// one sees the other.
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
	if !again && err == nil {
		err = b.deliverCredentials(ctx, created.ID, o)
	}
	if again || err != nil {
		return errors.Join(err, b.remove(ctx, created.ID))
	}
	return b.run(ctx, created.ID, options.Name)
}

// taken finds out who has the name of a container: another call, which needs no further action, or a foreign
// container.
func (b *Backend) taken(ctx context.Context, name string) error {
	c, err := b.inspect(ctx, name)
	if cerrdefs.IsNotFound(err) { // it is being created, or was renamed
		return nil
	}
	if err == nil && c.Config.Labels[labelPlace] != b.cfg.Place {
		err = fmt.Errorf("the name %s is used by a container that does not belong to Dagyo; "+
			"remove it, or configure another place for the spawner", name)
	}
	return err
}

// check inspects a container that was created and not started. It also reports whether the executor already has
// another container.
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

// moved is the error for a tag that refers to another image than when the revision's other executors were
// started.
func moved(o order, was, is string) error {
	return refuse(
		fmt.Sprintf("the tag %s now refers to another image (%s) than the one that revision %s runs (%s)",
			o.image.text, is, o.instance.Revision, was),
		"build it again and apply the progdef with the image's digest", "image")
}

// run starts a container by its name: an abandoned container has another name.
func (b *Backend) run(ctx context.Context, id, name string) error {
	_, err := b.docker.ContainerStart(ctx, name, client.ContainerStartOptions{})
	if err == nil {
		b.look.put(id, struct{}{})
		return nil
	}
	if refusal := unstartable(words(err)); refusal != nil {
		return errors.Join(refusal, b.remove(ctx, id))
	}
	b.look.put(id, struct{}{})
	if c, unseen := b.inspect(ctx, id); unseen == nil && c.State.Error != "" {
		return nil // the daemon stores the reason with the container; the exit reports it
	}
	return err
}

// unstartable recognises the daemon's messages for programs that can never start.
func unstartable(why string) *backend.StartError {
	switch {
	case strings.Contains(why, "could not select device driver"):
		return refuse("the Docker host provides no GPUs: "+why,
			"install the NVIDIA Container Toolkit on it, or use a host that has it",
			"resources", "limits", gpu)
	case strings.Contains(why, "unable to find user"), strings.Contains(why, "unable to find group"):
		return refuse("the user of the image does not exist in it: "+why,
			"set USER in the Dockerfile to numeric ids", "image")
	}
	return nil
}

// lookForProgram makes sure that the first word of the command is in the container and is executable. If it
// cannot find out, the program's exit will show.
func (b *Backend) lookForProgram(ctx context.Context, id string, o order, i image.InspectResponse) error {
	word := program(o, i)[0]
	why := notFound
	for _, path := range candidates(word, i.Config.WorkingDir, searchPath(o, i)) {
		switch said := b.unexecutable(ctx, id, path, true); {
		case said == "":
			return nil
		case said != notFound:
			why = said
		}
	}
	pointer, hint := []string{"command", "0"}, "add it to the image, or correct the command"
	if len(o.command) == 0 {
		pointer, hint = []string{"image"}, "correct the ENTRYPOINT or CMD in the image's Dockerfile"
	}
	return refuse(fmt.Sprintf("cannot run %q in the image %s: %s", word, o.image.text, why), hint, pointer...)
}

const notFound = "it was not found"

// unexecutable explains why a path in a container cannot be executed; "" if it can.
func (b *Backend) unexecutable(ctx context.Context, id, path string, follow bool) string {
	found, err := b.docker.ContainerStatPath(ctx, id, client.ContainerStatPathOptions{Path: path})
	mode := found.Stat.Mode
	switch {
	case cerrdefs.IsNotFound(err):
		return notFound
	case err != nil:
		return ""
	case mode.Type()&fs.ModeSymlink != 0 && follow:
		return b.unexecutable(ctx, id, found.Stat.LinkTarget, false) // the daemon resolved all links
	case mode.IsDir():
		return "it is a folder"
	case mode.Perm()&0o111 == 0:
		return "it is not executable"
	}
	return ""
}
