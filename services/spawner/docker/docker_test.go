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

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/backendtest"
)

// patience is how long a test waits for something before it fails.
const patience = time.Minute

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

func TestMain(m *testing.M) {
	if os.Getenv(envPlace) != "" {
		os.Exit(spawner())
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := cleanUp(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

// cleanUp removes the test image, if a test built it.
func cleanUp() error {
	c, err := Connect(context.Background(), "")
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.ImageRemove(context.Background(), testTag, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	return err
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

// testTag is the name of the image whose entry point is the test program. It is unique, since other tests may use the
// same daemon.
var testTag = fmt.Sprintf("dagyo-spawner-docker-test-%d", os.Getpid())

var buildTestImage = sync.OnceValue(func() error {
	return build(testTag, "FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\n")
})

// testImage builds the image of the test program, once.
func testImage(t *testing.T) string {
	t.Helper()
	if err := buildTestImage(); err != nil {
		t.Fatal(err)
	}
	return testTag
}

// imageOf builds an image for one test from a Dockerfile. The build context contains the test program as "program", and
// a valid link to /opt/app/program and a broken one in "links".
func imageOf(t *testing.T, dockerfile string) string {
	t.Helper()
	tag := fmt.Sprintf("%s-%d", testTag, places.Add(1))
	if err := build(tag, dockerfile); err != nil {
		t.Fatal(err)
	}
	removeLater(t, tag)
	return tag
}

func removeLater(t *testing.T, image string) {
	c := daemon(t)
	t.Cleanup(func() {
		_, err := c.ImageRemove(context.Background(), image, client.ImageRemoveOptions{Force: true, PruneChildren: true})
		if err != nil {
			t.Error(err)
		}
	})
}

func build(tag, dockerfile string) error {
	files, err := buildContext(dockerfile)
	if err != nil {
		return err
	}
	c, err := Connect(context.Background(), "")
	if err != nil {
		return err
	}
	defer c.Close()
	result, err := c.ImageBuild(context.Background(), files, client.ImageBuildOptions{
		Tags: []string{tag}, Remove: true, ForceRemove: true,
	})
	if err != nil {
		return err
	}
	defer result.Body.Close()
	said := new(bytes.Buffer)
	_, err = said.ReadFrom(result.Body)
	if err == nil && !strings.Contains(said.String(), "Successfully built") {
		err = fmt.Errorf("building %s: %s", tag, said)
	}
	return err
}

func buildContext(dockerfile string) (*bytes.Buffer, error) {
	program, err := compile()
	if err != nil {
		return nil, err
	}
	files := new(bytes.Buffer)
	w := tar.NewWriter(files)
	for name, content := range map[string][]byte{"Dockerfile": []byte(dockerfile), "program": program} {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	for name, target := range map[string]string{
		"links/program": "/opt/app/program", "links/broken": "/nowhere",
	} {
		err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777})
		if err != nil {
			return nil, err
		}
	}
	return files, w.Close()
}

// compile builds the test program, which runs in an empty image.
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

// listen listens on an address that containers on the default bridge can reach.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	found, err := daemon(t).NetworkInspect(t.Context(), bridge, client.NetworkInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	host := found.Network.IPAM.Config[0].Subnet.Addr().Next() // the daemon may not report the gateway yet
	l, err := net.Listen("tcp", net.JoinHostPort(host.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().String()
}

var places atomic.Int64

// newPlace returns the name of a place that is cleared at the end of the test.
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
	return Config{Place: place, Network: bridge, KillDelay: 2 * time.Second}
}

func openBackend(t *testing.T, cfg Config) *Backend {
	t.Helper()
	b, err := New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A bench is a place with one backend and its programs.
type bench struct {
	*Backend
	docker  *client.Client
	place   string
	image   string
	control *backendtest.Control
	dial    string
	logged  *logged
}

// logged is the log of a backend.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func setup(t *testing.T, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{docker: daemon(t), place: newPlace(t), image: testImage(t), logged: &logged{}}
	var l net.Listener
	l, b.dial = listen(t)
	b.control = backendtest.NewControl(t, l, false)
	cfg := b.config()
	for _, f := range change {
		f(&cfg)
	}
	b.Backend = openBackend(t, cfg)
	t.Cleanup(func() {
		_ = b.Close()
		if t.Failed() {
			t.Logf("the backend's log:\n%s", b.logged)
		}
	})
	return b
}

func (b *bench) config() Config {
	cfg := config(b.place)
	cfg.Logger = slog.New(slog.NewTextHandler(b.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return cfg
}

// reopen closes the backend and opens another one on its place.
func (b *bench) reopen(t *testing.T) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.Backend = openBackend(t, b.cfg)
}

func (b *bench) spec(id string, command ...string) backend.Spec {
	return b.specOf(id, progdef.Document{Image: b.image, Command: command})
}

func (b *bench) specOf(id string, d progdef.Document) backend.Spec {
	if d.Drain.GracePeriod == 0 {
		d.Drain.GracePeriod = document.Duration(time.Hour)
	}
	return backend.Spec{
		Executor: id, Progdef: "tester", Revision: "0123456789ab", Document: d,
		Env: map[string]string{backendtest.EnvDial: b.dial, contract.EnvExecutor: id},
	}
}

// start starts an executor and waits for its program.
func (b *bench) start(t *testing.T, spec backend.Spec) *backendtest.Running {
	t.Helper()
	b.mustStart(t, spec)
	return b.control.Program(t, spec.Executor)
}

func (b *bench) mustStart(t *testing.T, spec backend.Spec) {
	t.Helper()
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatalf("Start: %v", err)
	}
}

// result runs an executor until it exits.
func (b *bench) result(t *testing.T, spec backend.Spec) backend.Exit {
	t.Helper()
	b.mustStart(t, spec)
	return b.exit(t, spec.Executor)
}

// exit waits for the next exit, which must be that of the executor.
func (b *bench) exit(t *testing.T, id string) backend.Exit {
	t.Helper()
	select {
	case e := <-b.Exits():
		if e.Executor != id || e.Progdef != "tester" || e.Revision != "0123456789ab" {
			t.Fatalf("exit is %+v, want one of %s", e, id)
		}
		return e
	case <-time.After(patience):
		t.Fatalf("the exit of %s was never reported", id)
		panic("not reached")
	}
}

// inspected returns the inspection of an executor's container.
func (b *bench) inspected(t *testing.T, id string) container.InspectResponse {
	t.Helper()
	found, err := b.containers(t.Context(), labelExecutor, id)
	if err != nil || len(found) != 1 {
		t.Fatalf("%d containers of %s (%v)", len(found), id, err)
	}
	c, err := b.inspect(t.Context(), found[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *bench) drain(t *testing.T, id string) {
	t.Helper()
	if err := b.Drain(t.Context(), id); err != nil {
		t.Fatalf("Drain: %v", err)
	}
}

func (b *bench) forget(t *testing.T, id string) {
	t.Helper()
	if err := b.Forget(t.Context(), id); err != nil {
		t.Fatalf("Forget: %v", err)
	}
}

// wantNothing checks that a place is empty and no executor is waiting.
func (b *bench) wantNothing(t *testing.T) {
	t.Helper()
	if left := remains(t, b.place); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	if running, err := b.List(t.Context()); err != nil || len(running) > 0 {
		t.Errorf("List is %+v (%v)", running, err)
	}
}
