//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// transport connects to the registry directly, never through a proxy.
var transport = &http.Transport{}

// Push pushes the image to the cluster's registry, from which the node pulls whatever registry the tag names. It
// returns the tag's repository with the image's digest.
func Push(ctx context.Context, tag string, image v1.Image) (string, error) {
	named, err := name.NewTag(tag)
	if err != nil {
		return "", err
	}
	repository, err := name.NewRepository(Registry+"/"+named.RepositoryStr(), name.Insecure)
	if err != nil {
		return "", err
	}
	digest, err := image.Digest()
	if err != nil {
		return "", err
	}
	if err := remote.Write(repository.Tag(named.TagStr()), image, remote.WithContext(ctx), remote.WithTransport(transport)); err != nil {
		return "", fmt.Errorf("push %s: %w", tag, err)
	}
	return named.Context().Digest(digest.String()).String(), nil
}

// Load pushes every image of an archive written by "docker save". It returns the results of [Push].
func Load(ctx context.Context, archive string) ([]string, error) {
	open := func() (io.ReadCloser, error) { return os.Open(archive) }
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", archive, err)
	}
	var pushed []string
	for _, entry := range manifest {
		for _, tag := range entry.RepoTags {
			reference, err := loadOne(ctx, open, tag)
			if err != nil {
				return pushed, err
			}
			pushed = append(pushed, reference)
		}
	}
	return pushed, nil
}

func loadOne(ctx context.Context, archive tarball.Opener, tag string) (string, error) {
	named, err := name.NewTag(tag)
	if err != nil {
		return "", err
	}
	image, err := tarball.Image(archive, &named)
	if err != nil {
		return "", err
	}
	return Push(ctx, tag, image)
}

// serveRegistry serves the registry until the context ends.
func (c *components) serveRegistry(ctx context.Context) error {
	if err := os.MkdirAll(path("registry"), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path("log", "registry.log"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", Registry)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	server := &http.Server{Handler: registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(path("registry"))),
		registry.Logger(log.New(file, "", log.LstdFlags)),
	)}
	context.AfterFunc(ctx, func() { server.Close() })
	c.own("the registry", func() error {
		defer file.Close()
		return server.Serve(listener)
	})
	return nil
}
