package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/docker"
)

// DefaultContextBytes is the default limit on the size of a build context.
const DefaultContextBytes = 512 << 20

// LabelProgdef is the label that names the progdef of an image. Containers inherit it, so it differs from the labels by
// which the Docker backend identifies executors.
const LabelProgdef = "dev.dagyo.built-for"

// A Spec describes an image to build.
type Spec struct {
	// Progdef is the progdef's name.
	Progdef string
	// Dir is the folder of the document; Build.Context is relative to it.
	Dir   string
	Build progdef.Build
	// Name is the name of the image. If Push is true, the image is pushed to its repository. If Name has no tag, the
	// tag is derived from the image's id.
	Name string
	Push bool
	// ContextBytes limits the total size of the files that are sent to the builder.
	ContextBytes int64
}

// An Image is a built image.
type Image struct {
	ID   string
	Name string
	// Pinned is the reference that identifies exactly this image.
	Pinned string
}

// A Builder builds images on one Docker host. It may be used concurrently.
type Builder struct{ docker *client.Client }

// Open returns a builder on a Docker host; "" means DOCKER_HOST, or else the socket of this machine.
func Open(ctx context.Context, host string) (*Builder, error) {
	c, err := docker.Connect(ctx, host)
	if err != nil {
		return nil, err
	}
	return &Builder{c}, nil
}

// Close closes the connections to the host.
func (b *Builder) Close() error { return b.docker.Close() }

// Build builds an image, tags it, pushes it if requested, and writes the progress to out. If a step of the Dockerfile
// fails, the error is a *BuildError; if the context cannot be sent, it is a *ContextError.
func (b *Builder) Build(ctx context.Context, spec Spec, out io.Writer) (Image, error) {
	name, err := parseName(spec.Name)
	if err != nil {
		return Image{}, err
	}
	id, err := b.build(ctx, spec, out)
	if err != nil {
		return Image{}, err
	}
	image := Image{ID: id, Name: name.tagged(id), Pinned: id}
	if _, err := b.docker.ImageTag(ctx, client.ImageTagOptions{Source: id, Target: image.Name}); err != nil {
		return Image{}, fmt.Errorf("tag the image %s: %w", image.Name, err)
	}
	if !spec.Push {
		return image, nil
	}
	digest, err := b.push(ctx, image.Name, out)
	if err != nil {
		return Image{}, fmt.Errorf("push %s: %w", image.Name, err)
	}
	image.Pinned = name.pinned(digest)
	return image, nil
}

// build returns the id of the image.
func (b *Builder) build(ctx context.Context, spec Spec, out io.Writer) (string, error) {
	dir := spec.Build.Context
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(spec.Dir, dir)
	}
	f, err := openFolder(dir, spec.Build.Dockerfile, spec.ContextBytes)
	if err != nil {
		return "", err
	}
	defer f.close()
	tar, stop := f.stream()
	p := &progress{out: out}
	err = b.send(ctx, spec, tar, p)
	if sent := stop(); sent != nil {
		return "", sent // the reason why the daemon could not continue
	}
	if err == nil && p.id == "" {
		err = errors.New("Docker did not report the id of the image")
	}
	return p.id, err
}

func (b *Builder) send(ctx context.Context, spec Spec, tar io.Reader, p *progress) error {
	logins, err := allLogins()
	if err != nil {
		return err
	}
	args := make(map[string]*string, len(spec.Build.Args))
	for name, value := range spec.Build.Args {
		args[name] = &value
	}
	r, err := b.docker.ImageBuild(ctx, tar, client.ImageBuildOptions{
		Version:    build.BuilderV1, // BuildKit would need a session with the client
		Dockerfile: filepath.ToSlash(spec.Build.Dockerfile),
		BuildArgs:  args, AuthConfigs: logins,
		Labels: map[string]string{LabelProgdef: spec.Progdef},
		Remove: true, ForceRemove: true,
	})
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	defer r.Body.Close()
	return p.failed(p.follow(r.Body))
}

// push pushes the image and returns its digest in the registry.
func (b *Builder) push(ctx context.Context, tagged string, out io.Writer) (string, error) {
	login, err := docker.RegistryAuth(ctx, tagged)
	if err != nil {
		return "", err
	}
	r, err := b.docker.ImagePush(ctx, tagged, client.ImagePushOptions{RegistryAuth: login})
	if err != nil {
		return "", err
	}
	defer r.Close()
	p := &progress{out: out}
	if err := p.follow(r); err != nil {
		return "", err
	}
	// Not every image store of Docker reports the digest during a push, but the registry knows it.
	d, err := b.docker.DistributionInspect(ctx, tagged, client.DistributionInspectOptions{
		EncodedRegistryAuth: login,
	})
	if err != nil {
		return "", fmt.Errorf("ask the registry for its digest: %w", err)
	}
	return d.Descriptor.Digest.String(), nil
}
