//go:build docker

package image

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/docker"
)

// These tests need a Docker daemon on this machine, which can reach a registry on 127.0.0.1.

// tested is the progdef of all images in the tests.
const tested = "dagyo-image-test"

const user, password = "robot", "pass-word-of-the-test"

// openRegistry serves an empty registry that requires a login, and logs in to it as `docker login` does.
func openRegistry(t *testing.T) (host string) {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "http://")
	login := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	write(t, filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"),
		fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, login))
	return host
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T) *Builder {
	t.Helper()
	b, err := Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		removeImages(t, b)
		_ = b.Close()
	})
	return b
}

// removeImages removes the images built by the tests.
func removeImages(t *testing.T, b *Builder) {
	t.Helper()
	ctx := context.Background() // the test's context has ended
	_, err := b.docker.ImagePrune(ctx, client.ImagePruneOptions{
		Filters: make(client.Filters).Add("label", LabelProgdef+"="+tested).Add("dangling", "false"),
	})
	if err != nil {
		t.Error(err)
	}
}

// mustBuild builds an image, which is removed at the end of the test.
func mustBuild(t *testing.T, b *Builder, s Spec) (Image, string) {
	t.Helper()
	var out strings.Builder
	image, err := b.Build(t.Context(), s, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if strings.Contains(out.String(), password) {
		t.Error("the output contains the password")
	}
	return image, out.String()
}

// remove removes an image from this host.
func remove(t *testing.T, b *Builder, image Image) {
	t.Helper()
	_, err := b.docker.ImageRemove(t.Context(), image.ID, client.ImageRemoveOptions{
		Force: true, PruneChildren: true,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// spec describes a unique image, which no other test and no earlier run has built.
func spec(t *testing.T, name string) Spec {
	return Spec{
		Progdef: tested, Name: name, ContextBytes: DefaultContextBytes,
		Dir: tree(t, map[string]string{"src/Dockerfile": "FROM scratch\nARG WHO\nLABEL who=$WHO\nCOPY f /\n",
			"src/f": fmt.Sprint(t.Name(), time.Now().UnixNano())}),
		Build: progdef.Build{Context: "src", Dockerfile: "Dockerfile", Args: map[string]string{"WHO": "me"}},
	}
}

func TestBuildForThisHost(t *testing.T) {
	b := open(t)
	image, out := mustBuild(t, b, spec(t, tested))
	if image.Pinned != image.ID || !strings.HasPrefix(image.ID, "sha256:") {
		t.Errorf("got %+v", image)
	}
	for _, ref := range []string{image.Pinned, image.Name} {
		found, err := b.docker.ImageInspect(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		labels := found.Config.Labels
		if found.ID != image.ID || labels["who"] != "me" || labels[LabelProgdef] != tested {
			t.Errorf("%s is %s with %v", ref, found.ID, labels)
		}
	}
	if !strings.Contains(out, "COPY f /") {
		t.Errorf("the build's output is missing: %q", out)
	}
}

func TestPushPinsTheManifest(t *testing.T) {
	host := openRegistry(t)
	b := open(t)
	s := spec(t, host+"/team/greet")
	s.Push = true
	image, _ := mustBuild(t, b, s)
	if !regexp.MustCompile(`^` + host + `/team/greet@sha256:[0-9a-f]{64}$`).MatchString(image.Pinned) {
		t.Fatalf("pinned as %s", image.Pinned)
	}
	// A host that has not built the image gets it by the reference.
	remove(t, b, image)
	login, err := docker.RegistryAuth(t.Context(), image.Pinned)
	if err != nil {
		t.Fatal(err)
	}
	pull, err := b.docker.ImagePull(t.Context(), image.Pinned, client.ImagePullOptions{RegistryAuth: login})
	if err == nil {
		err = pull.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := b.docker.ImageInspect(t.Context(), image.Pinned)
	if err != nil || found.ID != image.ID {
		t.Errorf("pulled %s, %v; want %s", found.ID, err, image.ID)
	}
}

func TestBaseImageNeedsALogin(t *testing.T) {
	host := openRegistry(t)
	b := open(t)
	base := spec(t, host+"/base:1")
	base.Push = true
	image, _ := mustBuild(t, b, base)
	remove(t, b, image)
	s := spec(t, tested)
	write(t, filepath.Join(s.Dir, "src", "Dockerfile"), "FROM "+host+"/base:1\nCOPY f /g\n")
	mustBuild(t, b, s)
}

func TestPushWithoutLogin(t *testing.T) {
	host := openRegistry(t)
	write(t, filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), `{}`)
	b := open(t)
	s := spec(t, host+"/greet")
	s.Push = true
	_, err := b.Build(t.Context(), s, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "push "+host+"/greet:") {
		t.Errorf("got %v", err)
	}
}

func TestBuildFails(t *testing.T) {
	b := open(t)
	s := spec(t, tested)
	write(t, filepath.Join(s.Dir, "src", "Dockerfile"), "FROM scratch\nCOPY missing /\n")
	_, err := b.Build(t.Context(), s, io.Discard)
	var failed *BuildError
	if !errors.As(err, &failed) || failed.Step != "2/3 (COPY missing /)" {
		t.Errorf("got %v", err)
	}
	write(t, filepath.Join(s.Dir, "src", "Dockerfile"), "FROM scratch\nRUN --mount=type=cache,target=/x x\n")
	if _, err := b.Build(t.Context(), s, io.Discard); err == nil || !strings.Contains(err.Error(), "docker buildx") {
		t.Errorf("got %v", err)
	}
}

func TestNoDocker(t *testing.T) {
	_, err := Open(t.Context(), "unix://"+filepath.Join(t.TempDir(), "docker.sock"))
	if err == nil || !strings.Contains(err.Error(), "docker.sock") {
		t.Errorf("got %v", err)
	}
}
