//go:build docker

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/backendtest"
)

func TestConformance(t *testing.T) {
	image := testImage(t)
	backendtest.Run(t, backendtest.Harness{
		Listen: listen,
		Place: func(t *testing.T) backendtest.Place {
			place := newPlace(t)
			return backendtest.Place{
				Open:       func(t *testing.T) backend.Backend { return openBackend(t, config(place)) },
				Document:   progdef.Document{Image: image},
				Unrunnable: progdef.Document{Image: image, Command: []string{"no-such-program"}},
				Pointer:    "/command/0",
				Remains:    func(t *testing.T) []string { return remains(t, place) },
			}
		},
	})
}

// daemon is a client of the Docker daemon for the tests themselves.
func daemon(t *testing.T) *client.Client {
	t.Helper()
	c, err := Connect(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// testImage builds the image of the test program, once.
func testImage(t *testing.T) string {
	t.Helper()
	const tag = "dagyo-spawner-docker-test"
	if err := buildOnce(); err != nil {
		t.Fatal(err)
	}
	return tag
}

var buildOnce = sync.OnceValue(func() error {
	return build("dagyo-spawner-docker-test", "FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\n")
})

// build builds an image with the test program in it.
func build(tag, dockerfile string) error {
	program, err := compile()
	if err != nil {
		return err
	}
	ctx := context.Background()
	c, err := Connect(ctx, "")
	if err != nil {
		return err
	}
	defer c.Close()
	files := new(bytes.Buffer)
	w := tar.NewWriter(files)
	for name, content := range map[string][]byte{"Dockerfile": []byte(dockerfile), "program": program} {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	result, err := c.ImageBuild(ctx, files, client.ImageBuildOptions{
		Tags: []string{tag}, Remove: true, ForceRemove: true,
	})
	if err != nil {
		return err
	}
	defer result.Body.Close()
	said := new(bytes.Buffer)
	if _, err := said.ReadFrom(result.Body); err != nil {
		return err
	}
	if !strings.Contains(said.String(), "Successfully built") {
		return fmt.Errorf("building %s: %s", tag, said)
	}
	return nil
}

// compile makes the test program, which runs in an empty image.
var compile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "dagyo-docker-test-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./testdata/program")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, said)
	}
	return os.ReadFile(out)
})

// listen listens where containers on the default bridge reach it.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	found, err := daemon(t).NetworkInspect(t.Context(), bridge, client.NetworkInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	host := found.Network.IPAM.Config[0].Subnet.Addr().Next() // the daemon may not have said the gateway yet
	l, err := net.Listen("tcp", net.JoinHostPort(host.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().String()
}

var places atomic.Int64

// newPlace names a place that is cleared at the end of the test.
func newPlace(t *testing.T) string {
	t.Helper()
	c := daemon(t)
	place := fmt.Sprintf("test-%d-%d", os.Getpid(), places.Add(1))
	t.Cleanup(func() {
		for _, id := range containersOf(t, c, place) {
			_, err := c.ContainerRemove(context.Background(), id,
				client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			if err != nil {
				t.Error(err)
			}
		}
	})
	return place
}

func containersOf(t *testing.T, c *client.Client, place string) []string {
	t.Helper()
	found, err := c.ContainerList(context.Background(), client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", labelPlace+"="+place),
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, x := range found.Items {
		ids = append(ids, x.ID)
	}
	return ids
}

func remains(t *testing.T, place string) []string { return containersOf(t, daemon(t), place) }

func config(place string) Config {
	return Config{
		Place: place, Network: bridge, KillDelay: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
}

func openBackend(t *testing.T, cfg Config) *Backend {
	t.Helper()
	b, err := New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
