package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

// own mounts the volume for an executor's own credentials. Without a source, it is removed with its container. Programs
// cannot write to it, since they are not root; the daemon writes only to volumes that are not read-only.
func (c Config) own(o order) mount.Mount {
	return mount.Mount{
		Type: mount.TypeVolume, Target: backend.OwnDir,
		VolumeOptions: &mount.VolumeOptions{
			NoCopy:       true,
			Labels:       map[string]string{labelPlace: c.Place, labelExecutor: o.instance.Executor},
			DriverConfig: &mount.Driver{Name: "local"},
		},
	}
}

// deliverCredentials writes an executor's own credentials into its container, which has not been started yet.
func (b *Backend) deliverCredentials(ctx context.Context, id string, o order) error {
	return b.copyOwn(ctx, id, o.own)
}

// Renew implements [backend.Backend].
func (b *Backend) Renew(ctx context.Context, executor string, content []byte) error {
	return b.call(ctx, "renewing the credentials of", executor, func(ctx context.Context) error {
		id, _, ok, err := b.running(ctx, executor)
		if err != nil || !ok {
			return err
		}
		err = b.copyOwn(ctx, id, backend.Spec{Credentials: content}.OwnFiles())
		if cerrdefs.IsNotFound(err) { // it has no credentials of its own, or has just exited
			return nil
		}
		return err
	})
}

// copyOwn writes files into a container's own folder.
func (b *Backend) copyOwn(ctx context.Context, id string, files []backend.OwnFile) error {
	if len(files) == 0 {
		return nil
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	var err error
	for _, f := range files {
		if err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: 0o444, Size: int64(len(f.Content))})
		}
		if err == nil {
			_, err = w.Write(f.Content)
		}
	}
	if err = errors.Join(err, w.Close()); err == nil {
		_, err = b.docker.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: backend.OwnDir, Content: &archive})
	}
	if err != nil {
		return fmt.Errorf("writing its credentials: %w", err)
	}
	return nil
}

// sweepCredentials removes the credentials of executors whose containers were removed without their volumes.
func (b *Backend) sweepCredentials(ctx context.Context) error {
	found, err := b.docker.VolumeList(ctx, client.VolumeListOptions{Filters: b.ours().Add("dangling", "true")})
	if err != nil {
		return err
	}
	var errs []error
	for _, v := range found.Items {
		_, err := b.docker.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{})
		if err != nil && !cerrdefs.IsNotFound(err) && !cerrdefs.IsConflict(err) { // in use: a container is being created
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
