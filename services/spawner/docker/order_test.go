package docker

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/mount"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

const someID = "sha256:0000000000000000000000000000000000000000000000000000000000000001"

func someImage(change func(*dockerspec.DockerOCIImageConfig)) image.InspectResponse {
	c := &dockerspec.DockerOCIImageConfig{}
	c.Entrypoint = []string{"/entry"}
	c.Cmd = []string{"argument"}
	if change != nil {
		change(c)
	}
	return image.InspectResponse{ID: someID, Config: c}
}

func someSpec(d progdef.Document) backend.Spec {
	d.Drain.GracePeriod = document.Duration(90 * time.Second)
	return backend.Spec{
		Executor: "greet-1a2b3c4d-1", Progdef: "greet", Revision: "0123456789ab", Document: d,
		Env: map[string]string{"DAGYO_JOBS": "greet.0123456789ab"},
	}
}

func defaults(t *testing.T, c Config) Config {
	t.Helper()
	c, err := c.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestContainer(t *testing.T) {
	cfg := defaults(t, Config{
		Place: "dagyo", Network: "queues", KillDelay: 1500 * time.Millisecond, Labels: map[string]string{"team": "red", labelPlace: "forged"},
		Mounts: []string{"creds:/run/creds", "/etc/ca.pem:/ca.pem:ro"}, ExtraHosts: []string{"queue:host-gateway"},
	})
	o, err := cfg.order(someSpec(progdef.Document{
		Image: "greet:1", Command: []string{"/greet", "politely"}, Env: map[string]string{"MODEL": "small"},
		Resources: progdef.Resources{Limits: amounts{"memory": "64Mi", "ephemeral-storage": "1Mi"}},
	}), 4)
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.create(o, someImage(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "dagyo.greet-1a2b3c4d-1" {
		t.Errorf("name is %q", got.Name)
	}
	c := got.Config
	if c.Image != someID || !slices.Equal(c.Entrypoint, []string{"/greet", "politely"}) || c.Cmd != nil ||
		c.User != "65532:65532" || *c.StopTimeout != 92 || !slices.Equal(c.Healthcheck.Test, []string{"NONE"}) {
		t.Errorf("container is %+v", c)
	}
	if want := []string{"DAGYO_JOBS=greet.0123456789ab", "MODEL=small"}; !slices.Equal(c.Env, want) {
		t.Errorf("environment is %q, want %q", c.Env, want)
	}
	if want := map[string]string{
		labelPlace: "dagyo", labelExecutor: "greet-1a2b3c4d-1", labelProgdef: "greet",
		labelRevision: "0123456789ab", labelImage: someID, labelReference: "greet:1", labelGrace: "1m30s",
		"team": "red",
	}; !maps.Equal(c.Labels, want) {
		t.Errorf("labels are %v, want %v", c.Labels, want)
	}
	h := got.HostConfig
	if !h.ReadonlyRootfs || h.Privileged || !slices.Equal(h.CapDrop, []string{"ALL"}) || len(h.CapAdd) > 0 ||
		!slices.Equal(h.SecurityOpt, []string{"no-new-privileges:true"}) || !*h.Init || h.AutoRemove ||
		h.RestartPolicy.Name != "no" || *h.PidsLimit != DefaultPidsLimit || h.Memory != 64<<20 {
		t.Errorf("host configuration is %+v", h)
	}
	if h.NetworkMode != "queues" || !slices.Equal(h.ExtraHosts, []string{"queue:host-gateway"}) {
		t.Errorf("network is %s, with %q", h.NetworkMode, h.ExtraHosts)
	}
	if want := "exec,size=1048576,mode=1777,uid=65532,gid=65532"; h.Tmpfs["/tmp"] != want {
		t.Errorf("/tmp is %q, want %q", h.Tmpfs["/tmp"], want)
	}
	if want := []mount.Mount{
		{Type: mount.TypeVolume, Source: "creds", Target: "/run/creds", ReadOnly: true},
		{Type: mount.TypeBind, Source: "/etc/ca.pem", Target: "/ca.pem", ReadOnly: true},
	}; !slices.EqualFunc(h.Mounts, want, func(a, b mount.Mount) bool {
		return a.Type == b.Type && a.Source == b.Source && a.Target == b.Target && a.ReadOnly && b.ReadOnly
	}) {
		t.Errorf("mounts are %+v, want %+v", h.Mounts, want)
	}
	if l := h.LogConfig; l.Type != "json-file" || l.Config["max-size"] != "10485760" || l.Config["max-file"] != "2" {
		t.Errorf("log is %+v", l)
	}
}

// Without a command, Docker runs that of the image.
func TestContainerOfTheImagesOwnProgram(t *testing.T) {
	cfg := defaults(t, Config{})
	o, err := cfg.order(someSpec(progdef.Document{Image: "greet:1"}), 4)
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.create(o, someImage(nil))
	if err != nil || got.Config.Entrypoint != nil || got.Config.Cmd != nil {
		t.Errorf("container is %+v (%v)", got.Config, err)
	}
	_, err = cfg.create(o, someImage(func(c *dockerspec.DockerOCIImageConfig) {
		c.Entrypoint, c.Cmd = nil, nil
	}))
	wantRefusal(t, err, "/image", "has no entry point")
}

func TestOrderRejects(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets", "bad.env"), []byte("hush hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := func(name string) []progdef.EnvSource { return []progdef.EnvSource{{Secret: name}} }
	for name, c := range map[string]struct {
		doc              progdef.Document
		pointer, message string
	}{
		"only a command": {progdef.Document{Command: []string{"true"}}, "/image", "has no `image`"},
		"only a build":   {progdef.Document{Build: &progdef.Build{}}, "/image", "has no `image`"},
		"no reference":   {progdef.Document{Image: "Greet:1"}, "/image", "must be lowercase"},
		"a bad digest":   {progdef.Document{Image: "greet@sha256:12"}, "/image", "not an image reference"},
		"no such set":    {progdef.Document{Image: "greet", EnvFrom: secret("none")}, "/envFrom/0", "is missing"},
		"a bad set":      {progdef.Document{Image: "greet", EnvFrom: secret("bad")}, "/envFrom/0", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := defaults(t, Config{EnvDir: dir}).order(someSpec(c.doc), 4)
			wantRefusal(t, err, c.pointer, c.message)
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("it contains the secret: %v", err)
			}
		})
	}
}

func TestUnprivileged(t *testing.T) {
	for user, want := range map[string][2]string{
		"":            {"65532:65532", ",uid=65532,gid=65532"},
		"root":        {"65532:65532", ",uid=65532,gid=65532"},
		"0":           {"65532:65532", ",uid=65532,gid=65532"},
		"00:5":        {"65532:65532", ",uid=65532,gid=65532"},
		"root:users":  {"65532:65532", ",uid=65532,gid=65532"},
		"1000":        {"1000", ",uid=1000"},
		"1000:100":    {"1000:100", ",uid=1000,gid=100"},
		"1000:users":  {"1000:users", ",uid=1000"},
		"nobody":      {"nobody", ""},
		"nobody:1000": {"nobody:1000", ""},
	} {
		if as, owner := unprivileged(user); as != want[0] || owner != want[1] {
			t.Errorf("user %q runs as %q, owner %q; want %q", user, as, owner, want)
		}
	}
}

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		word, dir, search string
		want              []string
	}{
		{"/bin/../greet", "/app", "/bin", []string{"/greet"}},
		{"./greet", "/app", "/bin", []string{"/app/greet"}},
		{"bin/greet", "", "/bin", []string{"/bin/greet"}},
		{"greet", "/app", "/usr/bin:/bin", []string{"/usr/bin/greet", "/bin/greet"}},
		{"greet", "/app", "tools::/bin", []string{"/app/tools/greet", "/app/greet", "/bin/greet"}},
	} {
		if got := candidates(c.word, c.dir, c.search); !slices.Equal(got, c.want) {
			t.Errorf("candidates for %q in %q and %q are %q, want %q", c.word, c.dir, c.search, got, c.want)
		}
	}
}

func TestSearchPath(t *testing.T) {
	with := someImage(func(c *dockerspec.DockerOCIImageConfig) { c.Env = []string{"A=1", "PATH=/image"} })
	if got := searchPath(order{env: map[string]string{"PATH": "/progdef"}}, with); got != "/progdef" {
		t.Errorf("PATH is %q", got)
	}
	if got := searchPath(order{}, with); got != "/image" {
		t.Errorf("PATH is %q", got)
	}
	if got := searchPath(order{}, someImage(nil)); got != defaultPath {
		t.Errorf("PATH is %q", got)
	}
}
