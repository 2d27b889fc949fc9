//go:build docker

package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// facts reads the output of the role "confess" of the test program.
func facts(t *testing.T, detail string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(detail) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		out[key] = value
	}
	return out
}

func TestConfinement(t *testing.T) {
	b := setup(t)
	e := b.result(t, b.spec("one", "/program", "confess"))
	got := facts(t, e.Detail)
	for key, want := range map[string]string{
		"Uid": "65532 65532 65532 65532", "Gid": "65532 65532 65532 65532",
		"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapBnd": "0000000000000000",
		"NoNewPrivs": "1", "Seccomp": "2",
		"write /":    "open /file: read-only file system",
		"write /tmp": "<nil>",
		"run /tmp":   "<nil>",
		"size /tmp":  "67108864",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if got["pid"] == "1" {
		t.Error("it is the first process, which ignores signals by default")
	}
}

func TestUserOfTheImage(t *testing.T) {
	b := setup(t)
	image := imageOf(t, "FROM scratch\nCOPY program /program\nUSER 1234:5678\n")
	got := facts(t, b.result(t, b.specOf("one", progdef.Document{
		Image: image, Command: []string{"/program", "confess"},
		Resources: progdef.Resources{Limits: amounts{"ephemeral-storage": "1Mi"}},
	})).Detail)
	for key, want := range map[string]string{
		"Uid": "1234 1234 1234 1234", "Gid": "5678 5678 5678 5678", "write /tmp": "<nil>", "size /tmp": "1048576",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

func TestLimitsReachTheKernel(t *testing.T) {
	b := setup(t)
	b.start(t, b.specOf("one", progdef.Document{
		Image: b.image,
		Resources: progdef.Resources{
			Requests: amounts{"cpu": "250m", "memory": "16Mi"}, Limits: amounts{"cpu": "500m", "memory": "64Mi"},
		},
	}))
	h := b.inspected(t, "one").HostConfig
	if h.NanoCPUs != 5e8 || h.CPUShares != 256 || h.Memory != 64<<20 || h.MemoryReservation != 16<<20 ||
		*h.PidsLimit != DefaultPidsLimit {
		t.Errorf("limits are %+v", h.Resources)
	}
}

func TestOutOfMemory(t *testing.T) {
	b := setup(t)
	e := b.result(t, b.specOf("one", progdef.Document{
		Image: b.image, Command: []string{"/program", "hog"},
		Resources: progdef.Resources{Limits: amounts{"memory": "64Mi"}},
	}))
	if e.Code != -1 || e.Signal != "SIGKILL" || e.Detail != "hungry\n" ||
		e.Reason != "the kernel killed it: it used more memory than its limit of 64Mi" {
		t.Errorf("exit is %+v", e)
	}
}

func TestKilledByHand(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	p.Ask(t, "stderr %q", "so far so good\n")
	if err := syscall.Kill(b.inspected(t, "one").State.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e := b.exit(t, "one")
	if e.Code != -1 || e.Signal != "SIGKILL" || e.Reason != "it was killed by SIGKILL" ||
		e.Detail != "so far so good\n" {
		t.Errorf("exit is %+v", e)
	}
}

func TestRemovedByHand(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	_, err := b.docker.ContainerRemove(t.Context(), b.inspected(t, "one").ID, client.ContainerRemoveOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	p.AwaitEnd(t)
	// The backend has seen either the exit or the removal of the container.
	if e := b.exit(t, "one"); e.Code != -1 {
		t.Errorf("exit is %+v", e)
	}
	b.forget(t, "one")
	b.wantNothing(t)
}

// `docker stop` drains, and waits for the progdef's grace period.
func TestStoppedByHand(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	stopped := make(chan error, 1)
	id := b.inspected(t, "one").ID
	go func() {
		_, err := b.docker.ContainerStop(t.Context(), id, client.ContainerStopOptions{})
		stopped <- err
	}()
	p.AwaitSigterm(t)
	p.Tell(t, "exit 0")
	if e := b.exit(t, "one"); e.Code != 0 {
		t.Errorf("exit is %+v", e)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestSecretsStayWithTheContainer(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets", "s.env"), []byte("TOKEN=hush-hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := setup(t, func(c *Config) { c.EnvDir = dir })
	spec := b.spec("one")
	spec.Document.EnvFrom = []progdef.EnvSource{{Secret: "s"}}
	p := b.start(t, spec)
	if got := p.Ask(t, "env TOKEN"); got != "hush-hush" {
		t.Errorf("TOKEN is %q", got)
	}
	for key, value := range b.inspected(t, "one").Config.Labels {
		if strings.Contains(value, "hush") {
			t.Errorf("label %s is %q", key, value)
		}
	}
	p.Tell(t, "exit 1")
	if e := b.exit(t, "one"); strings.Contains(fmt.Sprint(e), "hush") {
		t.Errorf("exit is %+v", e)
	}
	spec.Document.Command = []string{"no-such-program"}
	spec.Executor = "two"
	if err := b.Start(t.Context(), spec); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("Start: %v", err)
	}
	if strings.Contains(b.logged.String(), "hush") {
		t.Errorf("the log contains the secret:\n%s", b.logged)
	}
}

// An executor's own credentials are in no place where users of the daemon look for the state of containers, the program
// cannot change them, and they are removed with the container.
func TestOwnCredentials(t *testing.T) {
	b := setup(t)
	spec := b.spec("one")
	spec.Credentials = []byte("hush-hush")
	p := b.start(t, spec)
	if got := p.Ask(t, "file %s", contract.EnvCreds); got != "hush-hush" {
		t.Errorf("the file contains %q", got)
	}
	if got := p.Ask(t, "overwrite %s", contract.EnvCreds); got != "refused" {
		t.Error("the program can change its folder")
	}
	seen := b.inspected(t, "one")
	if text, err := json.Marshal(seen); err != nil || strings.Contains(string(text), "hush") {
		t.Errorf("the daemon tells the credentials, %v:\n%s", err, text)
	}
	p.Tell(t, "exit 0")
	b.exit(t, "one")
	b.forget(t, "one")
	if left := b.ownVolumes(t); len(left) > 0 {
		t.Errorf("volumes are left: %v", left)
	}
	if strings.Contains(b.logged.String(), "hush") {
		t.Errorf("the log contains the secret:\n%s", b.logged)
	}
}

// `docker compose down` removes containers, and leaves their volumes.
func TestCredentialsOfRemovedContainers(t *testing.T) {
	b := setup(t)
	for _, id := range []string{"one", "two"} {
		spec := b.spec(id)
		spec.Credentials = []byte("hush-hush")
		b.start(t, spec)
	}
	_, err := b.docker.ContainerRemove(t.Context(), b.inspected(t, "one").ID, client.ContainerRemoveOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if found := b.ownVolumes(t); len(found) != 2 {
		t.Fatalf("volumes: %v", found)
	}
	if err := openBackend(t, config(b.cfg.Place)).Close(); err != nil {
		t.Fatal(err)
	}
	if left := b.ownVolumes(t); len(left) != 1 || left[0] != "two" {
		t.Errorf("volumes of %v are left, want that of two", left)
	}
}

// ownVolumes lists the executors whose credentials exist.
func (b *bench) ownVolumes(t *testing.T) (executors []string) {
	t.Helper()
	found, err := b.docker.VolumeList(t.Context(), client.VolumeListOptions{Filters: b.ours()})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found.Items {
		executors = append(executors, v.Labels[labelExecutor])
	}
	return executors
}

// Volumes declared by an image are removed with the container.
func TestVolumesGoWithTheContainer(t *testing.T) {
	b := setup(t)
	image := imageOf(t, "FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\nVOLUME /data\n")
	p := b.start(t, b.specOf("one", progdef.Document{Image: image}))
	mounts := b.inspected(t, "one").Mounts
	if len(mounts) != 1 || mounts[0].Destination != "/data" {
		t.Fatalf("mounts are %+v", mounts)
	}
	p.Tell(t, "exit 0")
	b.exit(t, "one")
	b.forget(t, "one")
	_, err := b.docker.VolumeInspect(t.Context(), mounts[0].Name, client.VolumeInspectOptions{})
	if err == nil {
		t.Error("the volume still exists")
	}
}

func TestMounts(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "creds"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := setup(t, func(c *Config) { c.Mounts = []string{dir + ":/run/dagyo"} })
	p := b.start(t, b.spec("one"))
	mounts := b.inspected(t, "one").Mounts
	if len(mounts) != 1 || mounts[0].Destination != "/run/dagyo" || mounts[0].RW {
		t.Errorf("mounts are %+v", mounts)
	}
	p.Tell(t, "exit 0")
	b.exit(t, "one")
}

// onNetwork moves the backend to a separate network.
func (b *bench) onNetwork(t *testing.T) string {
	t.Helper()
	network := "dagyo-" + b.place
	if _, err := b.docker.NetworkCreate(t.Context(), network, client.NetworkCreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := b.cfg
	cfg.Network = network
	b.Backend = openBackend(t, cfg)
	return network
}

func (b *bench) removeNetwork(t *testing.T, network string) {
	t.Helper()
	if _, err := b.docker.NetworkRemove(t.Context(), network, client.NetworkRemoveOptions{}); err != nil {
		t.Error(err)
	}
}

// On a user-defined network, containers are reached by their names. Renaming a draining container must not disconnect
// it.
func TestUserDefinedNetwork(t *testing.T) {
	b := setup(t)
	network := b.onNetwork(t)
	p := b.start(t, b.spec("one"))
	if _, ok := b.inspected(t, "one").NetworkSettings.Networks[network]; !ok {
		t.Error("it is not connected to the network")
	}
	b.drain(t, "one")
	p.AwaitSigterm(t)
	p.Ask(t, "env PATH") // still connected
	p.Tell(t, "exit 0")
	b.exit(t, "one")
	b.forget(t, "one")
	b.removeNetwork(t, network)
}

// A spawner that runs in a container finds the container's network.
func TestNetworkIsFound(t *testing.T) {
	b := setup(t)
	socket, ok := strings.CutPrefix(b.docker.DaemonHost(), "unix://")
	if !ok {
		t.Fatalf("the daemon at %s has no socket to mount into a container", b.docker.DaemonHost())
	}
	network := b.onNetwork(t)
	created, err := b.docker.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Config: &container.Config{
			Image: b.image, Cmd: []string{"spawner"}, Labels: map[string]string{labelPlace: b.place, labelExecutor: "spawner"},
			Hostname: "not-the-id",
		},
		HostConfig: &container.HostConfig{
			NetworkMode: container.NetworkMode(network), Binds: []string{socket + ":/var/run/docker.sock"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	wait := b.docker.ContainerWait(t.Context(), created.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := b.docker.ContainerStart(t.Context(), created.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-wait.Result:
	case err := <-wait.Error:
		t.Fatal(err)
	}
	said, err := b.stderr(t.Context(), created.ID)
	if err != nil || !strings.Contains(said, "found the network for executors") || !strings.Contains(said, network) {
		t.Errorf("it logged %q (%v), want the network %s", said, err, network)
	}
	b.forget(t, "spawner")
	b.removeNetwork(t, network)
}

// If the spawner does not run in a container, the queue may not either.
func TestHostHasAName(t *testing.T) {
	b := setup(t)
	_, port, _ := net.SplitHostPort(b.dial)
	b.dial = net.JoinHostPort(HostAlias, port)
	b.start(t, b.spec("one"))
}

func TestRenamedByHand(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	_, err := b.docker.ContainerRename(t.Context(), b.inspected(t, "one").ID,
		client.ContainerRenameOptions{NewName: b.place + "-my-favourite"})
	if err != nil {
		t.Fatal(err)
	}
	b.mustStart(t, b.spec("one"))
	b.drain(t, "one")
	p.AwaitSigterm(t)
	p.Tell(t, "exit 0")
	b.exit(t, "one")
	if n := b.control.Starts("one"); n != 1 {
		t.Errorf("started %d times", n)
	}
}

func TestUnknownNetwork(t *testing.T) {
	_, err := New(t.Context(), Config{Place: "test", Network: "no-such-network"})
	if err == nil || !strings.Contains(err.Error(), "no-such-network") {
		t.Errorf("New: %v", err)
	}
}

func TestStartRefused(t *testing.T) {
	b := setup(t)
	odd := imageOf(t, "FROM scratch\nCOPY program /program\nCOPY Dockerfile /plain\nCOPY Dockerfile /bin/\nCOPY links /links\n"+
		"ENV PATH=/bin\nENTRYPOINT [\"/missing\"]\n")
	user := imageOf(t, "FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\nUSER stranger\n")
	run := func(command ...string) progdef.Document { return progdef.Document{Image: odd, Command: command} }
	for name, c := range map[string]struct {
		doc              progdef.Document
		pointer, message string
	}{
		"no such file":     {run("/no/such/program"), "/command/0", "not found"},
		"not in PATH":      {run("program"), "/command/0", "not found"},
		"a folder":         {run("/bin"), "/command/0", "it is a folder"},
		"a broken link":    {run("/links/broken"), "/command/0", "not found"},
		"no entry point":   {progdef.Document{Image: odd}, "/image", `cannot run "/missing"`},
		"an unknown user":  {progdef.Document{Image: user}, "/image", "unable to find user stranger"},
		"a GPU":            {progdef.Document{Image: b.image, Resources: progdef.Resources{Limits: amounts{gpu: "1"}}}, "/resources/limits/nvidia.com~1gpu", "no GPUs"},
		"an image id":      {progdef.Document{Image: digestA}, "/image", "an image id cannot be pulled from a registry"},
		"another resource": {progdef.Document{Image: b.image, Resources: progdef.Resources{Limits: amounts{"hugepages-2Mi": "4Mi"}}}, "/resources/limits/hugepages-2Mi", "does not support"},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefusal(t, b.Start(t.Context(), b.specOf("one", c.doc)), c.pointer, c.message)
			b.wantNothing(t)
		})
	}
	b.start(t, b.spec("two")).Tell(t, "exit 0")
	b.exit(t, "two") // and none exists before
}

// Files of an image keep their modes, and links are followed.
func TestProgramIsFound(t *testing.T) {
	b := setup(t)
	image := imageOf(t, "FROM scratch\nCOPY program /opt/app/program\nCOPY links /links\n"+
		"WORKDIR /opt/app\nENV PATH=/bin:/opt/app\nCMD [\"no such role\"]\n")
	for i, word := range []string{"program", "./program", "/opt/app/program", "../app/program", "/links/program"} {
		id := fmt.Sprintf("e-%d", i)
		p := b.start(t, b.specOf(id, progdef.Document{Image: image, Command: []string{word}}))
		p.Tell(t, "exit 0")
		b.exit(t, id)
	}
}

// A file that exists but cannot be executed is only detected by trying.
func TestUnexecutable(t *testing.T) {
	b := setup(t)
	image := imageOf(t, "FROM scratch\nCOPY Dockerfile /greet\nENTRYPOINT [\"/greet\"]\n")
	e := b.result(t, b.specOf("one", progdef.Document{Image: image}))
	if !e.Permanent || !strings.Contains(e.Reason, "/greet failed: ") ||
		!strings.Contains(e.Reason, "; build the image for this machine") {
		t.Errorf("exit is %+v", e)
	}
}

func TestForeignName(t *testing.T) {
	b := setup(t)
	own := b.place + ".one"
	foreign, err := b.docker.ContainerCreate(t.Context(), client.ContainerCreateOptions{Name: own, Image: b.image})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Start(t.Context(), b.spec("one"))
	var refusal *backend.StartError
	if err == nil || errors.As(err, &refusal) || !strings.Contains(err.Error(), own) {
		t.Errorf("Start: %v", err)
	}
	if _, err := b.docker.ContainerRemove(t.Context(), foreign.ID, client.ContainerRemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	b.start(t, b.spec("one"))
}

func TestPlacesAreSeparate(t *testing.T) {
	b, other := setup(t), setup(t)
	b.start(t, b.spec("one"))
	p := other.start(t, other.spec("one"))
	other.drain(t, "one")
	p.AwaitSigterm(t)
	p.Tell(t, "exit 3")
	other.exit(t, "one")
	other.forget(t, "one")
	if running, err := b.List(t.Context()); err != nil || len(running) != 1 {
		t.Errorf("List is %+v (%v)", running, err)
	}
}

// The second SIGTERM is sent at the end of the grace period, before the SIGKILL: an executor needs the time in between
// to report the jobs that it gives up.
func TestGracePeriodEndsWithSecondSigterm(t *testing.T) {
	b := setup(t, func(c *Config) { c.KillDelay = time.Hour })
	spec := b.spec("one")
	spec.Document.Drain.GracePeriod = document.Duration(10 * time.Millisecond)
	p := b.start(t, spec)
	b.drain(t, "one")
	p.AwaitSigterm(t)
	p.AwaitSigterm(t)
	p.Tell(t, "exit 0")
	if e := b.exit(t, "one"); e.Code != 0 || e.Signal != "" {
		t.Errorf("exit is %+v", e)
	}
}

// The successor of a killed spawner continues where that stopped, and does not start over.
func TestEndSurvivesTheSpawner(t *testing.T) {
	b := setup(t)
	spec := b.spec("one")
	spec.Document.Drain.GracePeriod = document.Duration(time.Second)
	p := b.start(t, spec)
	b.drain(t, "one")
	p.AwaitSigterm(t)
	b.reopen(t)
	if e := b.exit(t, "one"); e.Reason != "it was killed: it did not exit when told to" {
		t.Errorf("exit is %+v", e)
	}
	b.reopen(t)
	if e := b.exit(t, "one"); e.Reason != "it was killed: it did not exit when told to" {
		t.Errorf("exit is %+v", e)
	}
}

// kills counts the signals that the daemon sent to an executor.
func (b *bench) kills(t *testing.T, id string) int {
	t.Helper()
	events := b.docker.Events(t.Context(), client.EventsListOptions{
		Since: "1", Until: strconv.FormatInt(time.Now().Unix()+1, 10),
		Filters: client.Filters{}.Add("container", b.inspected(t, id).ID).Add("event", "kill"),
	})
	for n := 0; ; n++ {
		select {
		case <-events.Messages:
		case err := <-events.Err:
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return n
		}
	}
}

// A second SIGTERM would end running jobs.
func TestDrainSendsOneSigterm(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	both := []*Backend{b.Backend, openBackend(t, b.cfg)}
	var calls sync.WaitGroup
	for i := range 6 {
		calls.Go(func() {
			if err := both[i%2].Drain(t.Context(), "one"); err != nil {
				t.Errorf("Drain: %v", err)
			}
		})
	}
	calls.Wait()
	if err := both[1].Close(); err != nil {
		t.Fatal(err)
	}
	p.AwaitSigterm(t)
	b.reopen(t)
	b.drain(t, "one")
	if n := b.kills(t, "one"); n != 1 {
		t.Errorf("%d signals", n)
	}
	p.Tell(t, "exit 0")
	b.exit(t, "one")
}

// Two SIGTERMs in the same instant would count as one.
func TestGiveUpRightAfterDrain(t *testing.T) {
	b := setup(t, func(c *Config) { c.KillDelay = time.Hour }) // the test ends it
	for i := range 5 {
		id := fmt.Sprintf("one-%d", i)
		p := b.start(t, b.spec(id))
		if err := errors.Join(b.Drain(t.Context(), id), b.GiveUp(t.Context(), id)); err != nil {
			t.Fatal(err)
		}
		p.AwaitSigterm(t)
		p.AwaitSigterm(t)
		p.Tell(t, "exit 0")
		b.exit(t, id)
	}
}

// A draining executor has another name; its original name must not count as free.
func TestStartWhileItDrains(t *testing.T) {
	b := setup(t)
	p := b.start(t, b.spec("one"))
	b.drain(t, "one")
	p.AwaitSigterm(t)
	b.mustStart(t, b.spec("one"))
	// Even for a caller that checked a moment before.
	o, err := b.cfg.order(b.spec("one"), b.cpus)
	if err != nil {
		t.Fatal(err)
	}
	i, _, err := b.Backend.image(t.Context(), o.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.launch(t.Context(), o, i); err != nil {
		t.Errorf("launch: %v", err)
	}
	if left := remains(t, b.place); len(left) != 1 {
		t.Errorf("%d containers", len(left))
	}
	p.Tell(t, "exit 0")
	b.exit(t, "one")
	if n := b.control.Starts("one"); n != 1 {
		t.Errorf("started %d times", n)
	}
}

// broken creates the state that a spawner leaves if it is killed during a start.
func (b *bench) broken(t *testing.T, id string) {
	t.Helper()
	o, err := b.cfg.order(b.spec(id), b.cpus)
	if err != nil {
		t.Fatal(err)
	}
	i, _, err := b.Backend.image(t.Context(), o.image)
	if err != nil {
		t.Fatal(err)
	}
	options, err := b.cfg.create(o, i)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.docker.ContainerCreate(t.Context(), options); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenStartIsAbandoned(t *testing.T) {
	b := setup(t, func(c *Config) { c.StartTimeout = 10 * time.Millisecond })
	b.broken(t, "one")
	b.mustStart(t, b.spec("one")) // triggers an inspection
	e := b.exit(t, "one")
	if e.Code != -1 || e.Reason != "it was never started: the spawner exited while starting it" {
		t.Errorf("exit is %+v", e)
	}
	b.mustStart(t, b.spec("one"))
	if running, err := b.List(t.Context()); err != nil || len(running) > 0 {
		t.Errorf("List is %+v (%v)", running, err)
	}
	b.forget(t, "one")
	b.wantNothing(t)
	if n := b.control.Starts("one"); n != 0 {
		t.Error("it was started")
	}
	if strings.Contains(b.logged.String(), "WARN") {
		t.Errorf("the log is\n%s", b.logged)
	}
}

func TestBrokenStartOfLongAgo(t *testing.T) {
	b := setup(t)
	b.broken(t, "one")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.cfg.StartTimeout = 10 * time.Millisecond
	b.Backend = openBackend(t, b.cfg)
	if e := b.exit(t, "one"); !strings.Contains(e.Reason, "never started") {
		t.Errorf("exit is %+v", e)
	}
}

func TestDrainOfAnUnfinishedStart(t *testing.T) {
	b := setup(t)
	b.broken(t, "one")
	if err := b.Drain(t.Context(), "one"); !errors.Is(err, errStarting) {
		t.Errorf("Drain: %v", err)
	}
	if err := b.Forget(t.Context(), "one"); !errors.Is(err, errRuns) {
		t.Errorf("Forget: %v", err)
	}
}

// If the daemon cannot start a container, and the progdef is not the cause, the result is an exit.
func TestDaemonCannotStart(t *testing.T) {
	b := setup(t)
	network := b.onNetwork(t)
	b.removeNetwork(t, network)
	e := b.result(t, b.spec("one"))
	if e.Code != -1 || e.Permanent || !strings.Contains(e.Reason, "it could not be started: network "+network) {
		t.Errorf("exit is %+v", e)
	}
	b.forget(t, "one")
	b.wantNothing(t)
}

func TestAfterClose(t *testing.T) {
	b := setup(t)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, listing := b.List(t.Context())
	for call, err := range map[string]error{
		"Start": b.Start(t.Context(), b.spec("one")), "Drain": b.Drain(t.Context(), "one"),
		"GiveUp": b.GiveUp(t.Context(), "one"), "Forget": b.Forget(t.Context(), "one"), "List": listing,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func TestBadIds(t *testing.T) {
	b := setup(t)
	for _, id := range []string{"", "..", "a/b", "a.b", "UPPER"} {
		for call, err := range map[string]error{
			"Start": b.Start(t.Context(), b.spec(id)), "Drain": b.Drain(t.Context(), id),
			"GiveUp": b.GiveUp(t.Context(), id), "Forget": b.Forget(t.Context(), id),
		} {
			if err == nil {
				t.Errorf("%s(%q) returned no error", call, id)
			}
		}
	}
}
