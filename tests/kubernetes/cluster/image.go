//go:build linux

package cluster

import (
	"archive/tar"
	"bytes"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// nobody is the user that programs in images run as.
const nobody = "65532"

// An Image is built from scratch with these files.
type Image struct {
	// Files maps paths in the image to files on this machine.
	Files      map[string]string
	Entrypoint []string
	Env        []string
	Labels     map[string]string
}

// Build builds an image whose program runs as an unprivileged user.
func (i Image) Build() (v1.Image, error) {
	content, err := i.archive()
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{User: nobody, Entrypoint: i.Entrypoint, Env: i.Env, Labels: i.Labels}
	return mutate.ConfigFile(image, file)
}

// archive contains the files; equal files have equal digests.
func (i Image) archive() ([]byte, error) {
	var content bytes.Buffer
	archive := tar.NewWriter(&content)
	for _, to := range slices.Sorted(maps.Keys(i.Files)) {
		data, err := os.ReadFile(i.Files[to])
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Name: strings.TrimPrefix(to, "/"), Mode: 0o755, Size: int64(len(data))}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(data); err != nil {
			return nil, err
		}
	}
	return content.Bytes(), archive.Close()
}
