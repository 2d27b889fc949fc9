//go:build docker

package docker

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/pkg/progdef"
)

// newRegistry runs a registry, behind a gate, and returns its address.
func newRegistry(t *testing.T, gate func(http.Handler) http.Handler) string {
	t.Helper()
	s := httptest.NewServer(gate(registry.New(registry.Logger(log.New(io.Discard, "", 0)))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func public(h http.Handler) http.Handler { return h }

// push pushes the test image under a name, removes that name on this host, and returns the digest.
func (b *bench) push(t *testing.T, name string) string {
	t.Helper()
	if _, err := b.docker.ImageTag(t.Context(), client.ImageTagOptions{Source: b.image, Target: name}); err != nil {
		t.Fatal(err)
	}
	auth, err := RegistryAuth(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if auth == "" {
		auth = "e30=" // the daemon wants a JSON object
	}
	progress, err := b.docker.ImagePush(t.Context(), name, client.ImagePushOptions{RegistryAuth: auth})
	if err != nil {
		t.Fatal(err)
	}
	if err := progress.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	i, err := b.docker.ImageInspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	repository, _, _ := strings.Cut(name, "/")
	for _, d := range i.RepoDigests {
		if strings.HasPrefix(d, repository) {
			removeHere(t, b.docker, name)
			return d
		}
	}
	t.Fatalf("the pushed image has the digests %q", i.RepoDigests)
	return ""
}

func removeHere(t *testing.T, c *client.Client, image string) {
	t.Helper()
	if _, err := c.ImageRemove(t.Context(), image, client.ImageRemoveOptions{Force: true, PruneChildren: true}); err != nil {
		t.Fatal(err)
	}
}

// anImage builds an image that is not used otherwise, so it can be removed.
func (b *bench) anImage(t *testing.T) {
	t.Helper()
	b.image = imageOf(t, fmt.Sprintf("FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\nLABEL test=%s\n", b.place))
}

func TestPullByDigest(t *testing.T) {
	b := setup(t)
	b.anImage(t)
	pinned := b.push(t, newRegistry(t, public)+"/greet:1")
	removeHere(t, b.docker, b.image)
	p := b.start(t, b.specOf("one", progdef.Document{Image: pinned}))
	c := b.inspected(t, "one")
	i, err := b.docker.ImageInspect(t.Context(), pinned)
	if err != nil || c.Image != i.ID || c.Config.Labels[labelImage] != i.ID || c.Config.Labels[labelReference] != pinned {
		t.Errorf("it runs %s, with labels %v; %s is %s (%v)", c.Image, c.Config.Labels, pinned, i.ID, err)
	}
	p.Tell(t, "exit 3")
	if e := b.exit(t, "one"); e.Code != 3 {
		t.Errorf("exit is %+v", e)
	}
	b.forget(t, "one")
	b.wantNothing(t)
	if _, err := b.docker.ImageTag(t.Context(), client.ImageTagOptions{Source: pinned, Target: b.image}); err != nil {
		t.Fatal(err) // so that it can be removed
	}
	removeHere(t, b.docker, pinned)
}

// An image that was built on this host and never pushed is pinned by its own id.
func TestPinnedByImageID(t *testing.T) {
	b := setup(t)
	i, err := b.docker.ImageInspect(t.Context(), b.image)
	if err != nil {
		t.Fatal(err)
	}
	for n, image := range []string{i.ID, b.image + "@" + i.ID} {
		id := fmt.Sprintf("e-%d", n)
		b.start(t, b.specOf(id, progdef.Document{Image: image})).Tell(t, "exit 0")
		b.exit(t, id)
	}
}

func TestTagHasMoved(t *testing.T) {
	b := setup(t)
	tag := imageOf(t, "FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\nLABEL version=1\n")
	p := b.start(t, b.specOf("one", progdef.Document{Image: tag}))
	if err := build(tag, "FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\nLABEL version=2\n"); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, b.Start(t.Context(), b.specOf("two", progdef.Document{Image: tag})), "/image",
		"now refers to another image")
	if left := remains(t, b.place); len(left) != 1 {
		t.Errorf("%d containers", len(left))
	}
	// Another revision may run the other image.
	other := b.specOf("three", progdef.Document{Image: tag})
	other.Revision = "ba9876543210"
	b.start(t, other)
	old := b.inspected(t, "one").Image
	p.Tell(t, "exit 0")
	b.exit(t, "one")
	b.forget(t, "one")
	if _, err := b.docker.ImageRemove(t.Context(), old, client.ImageRemoveOptions{PruneChildren: true}); err != nil {
		t.Error(err)
	}
}

func TestMissingImage(t *testing.T) {
	b := setup(t)
	b.cfg.PullTimeout = 500 * time.Millisecond // between the first attempt and the second
	spec := b.specOf("one", progdef.Document{Image: "127.0.0.1:1/greet"})
	b.mustStart(t, spec)
	b.mustStart(t, spec)
	running, err := b.List(t.Context())
	if err != nil || len(running) != 1 || !strings.HasPrefix(running[0].Waiting, "pulling image 127.0.0.1:1/greet") {
		t.Errorf("List is %+v (%v)", running, err)
	}
	if err := b.Forget(t.Context(), "one"); err == nil {
		t.Error("Forget of an executor that is waiting for its image returned no error")
	}
	e := b.exit(t, "one")
	if e.Code != -1 || !e.Permanent || !strings.Contains(e.Reason, "cannot pull image 127.0.0.1:1/greet: ") ||
		!strings.Contains(e.Reason, "connection refused; check that the Docker host can reach the registry") {
		t.Errorf("exit is %+v", e)
	}
	b.mustStart(t, spec) // its exit was reported, so it counts as run
	b.forget(t, "one")
	b.wantNothing(t)
}

func TestImageIsNotInTheRegistry(t *testing.T) {
	b := setup(t)
	missing := newRegistry(t, public) + "/greet:1"
	e := b.result(t, b.specOf("one", progdef.Document{Image: missing}))
	if !e.Permanent || !strings.Contains(e.Reason, "cannot pull image "+missing+": ") ||
		!strings.Contains(e.Reason, "push it there, correct the progdef's image") {
		t.Errorf("exit is %+v", e)
	}
}

func TestPullPolicies(t *testing.T) {
	b := setup(t, func(c *Config) { c.Pull = PullNever })
	b.anImage(t)
	name := newRegistry(t, public) + "/greet:1"
	b.push(t, name)
	wantRefusal(t, b.Start(t.Context(), b.specOf("one", progdef.Document{Image: name})), "/image",
		"the spawner's pull policy forbids pulling it")
	b.wantNothing(t)
	b.cfg.Pull = PullAlways
	// The image of the registry, not the local one with the same name.
	if _, err := b.docker.ImageTag(t.Context(), client.ImageTagOptions{Source: testTag, Target: name}); err != nil {
		t.Fatal(err)
	}
	b.start(t, b.specOf("one", progdef.Document{Image: name})).Tell(t, "exit 0")
	b.exit(t, "one")
	i, err := b.docker.ImageInspect(t.Context(), b.image)
	if c := b.inspected(t, "one"); err != nil || c.Image != i.ID {
		t.Errorf("it runs %s, want %s (%v)", c.Image, i.ID, err)
	}
	b.forget(t, "one")
	removeHere(t, b.docker, name)
}

// slow is a registry that blocks its answers until it is released.
type slow struct{ asked, answer chan struct{} }

func (s slow) gate(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			s.asked <- struct{}{}
			<-s.answer
		}
		h.ServeHTTP(w, r)
	})
}

func newSlow(t *testing.T) (slow, string) {
	s := slow{asked: make(chan struct{}, 8), answer: make(chan struct{})}
	address := newRegistry(t, s.gate)
	t.Cleanup(func() { close(s.answer) }) // before the registry closes
	return s, address
}

func TestDrainWhileWaitingForTheImage(t *testing.T) {
	for name, tell := range map[string]func(*bench) error{
		"Drain":  func(b *bench) error { return b.Drain(t.Context(), "one") },
		"GiveUp": func(b *bench) error { return b.GiveUp(t.Context(), "one") },
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			s, address := newSlow(t)
			b.mustStart(t, b.specOf("one", progdef.Document{Image: address + "/greet:1"}))
			<-s.asked
			if err := tell(b); err != nil {
				t.Fatal(err)
			}
			e := b.exit(t, "one")
			if e.Code != -1 || e.Permanent || !strings.Contains(e.Reason, "before its image was pulled") {
				t.Errorf("exit is %+v", e)
			}
			b.forget(t, "one")
			b.wantNothing(t)
			b.reopen(t) // Close has nothing to wait for
		})
	}
}

func TestCloseWhileAnImageIsFetched(t *testing.T) {
	b := setup(t)
	s, address := newSlow(t)
	b.mustStart(t, b.specOf("one", progdef.Document{Image: address + "/greet:1"}))
	<-s.asked
	b.reopen(t)
	b.wantNothing(t)
}

func TestPrivateRegistry(t *testing.T) {
	private := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "dagyo" || password != "hush" {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	b := setup(t)
	b.anImage(t)
	address := newRegistry(t, private)
	logIn(t, address, "dagyo", "hush")
	pinned := b.push(t, address+"/greet:1")
	removeHere(t, b.docker, b.image)
	logIn(t, address, "dagyo", "wrong")
	e := b.result(t, b.specOf("one", progdef.Document{Image: pinned}))
	if !e.Permanent || !strings.Contains(e.Reason, "or give the spawner the registry's credentials") ||
		strings.Contains(e.Reason, "wrong") {
		t.Errorf("exit is %+v", e)
	}
	logIn(t, address, "dagyo", "hush")
	b.start(t, b.specOf("two", progdef.Document{Image: pinned})).Tell(t, "exit 0")
	b.exit(t, "two")
	b.forget(t, "two")
	if _, err := b.docker.ImageTag(t.Context(), client.ImageTagOptions{Source: pinned, Target: b.image}); err != nil {
		t.Fatal(err)
	}
	removeHere(t, b.docker, pinned)
	if strings.Contains(b.logged.String(), "hush") {
		t.Errorf("the log contains the password:\n%s", b.logged)
	}
}

// logIn writes the configuration that `docker login` writes.
func logIn(t *testing.T, address, user, password string) {
	t.Helper()
	dir := t.TempDir()
	secret := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	text := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, address, secret)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
}
