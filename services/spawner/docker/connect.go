package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
)

// MinAPIVersion is the oldest supported version of Docker's API: that of Docker 20.10.
const MinAPIVersion = "1.41"

// Connect returns a client of the Docker daemon at an address such as unix:///var/run/docker.sock, once the
// daemon has answered. If the address is "", and for everything that an address does not contain, it uses
// DOCKER_HOST and the other variables of the docker command.
func Connect(ctx context.Context, host string) (*client.Client, error) {
	options := []client.Opt{client.FromEnv}
	if host != "" {
		options = append(options, client.WithHost(host))
	}
	c, err := client.New(options...)
	if err != nil {
		return nil, fmt.Errorf("docker daemon: %w", err)
	}
	ping, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	if err == nil {
		err = fit(c.ClientVersion(), ping.OSType)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("docker daemon at %s: %w", c.DaemonHost(), err), c.Close())
	}
	return c, nil
}

// fit explains why a daemon is not supported.
func fit(version, system string) error {
	if versions.LessThan(version, MinAPIVersion) {
		return fmt.Errorf("its API has version %s; Dagyo needs %s or newer (Docker 20.10)", version, MinAPIVersion)
	}
	if system != "linux" {
		return fmt.Errorf("it runs %s containers; executors need Linux containers", system)
	}
	return nil
}

// bridge is the network that containers join by default.
const bridge = "bridge"

// HostAlias is the name by which executors reach the Docker host if the spawner does not run in a container
// itself.
const HostAlias = "host.docker.internal"

// An own is the container in which this program runs, as known to the daemon.
type own struct {
	network string
	labels  map[string]string
}

// findOwn reports false if the daemon does not know such a container.
func findOwn(ctx context.Context, c *client.Client) (o own, inside bool, err error) {
	id, err := ownContainer()
	if id == "" || err != nil {
		return own{}, false, err
	}
	found, err := c.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) { // a container of another daemon
		return own{}, false, nil
	}
	if err != nil {
		return own{}, false, fmt.Errorf("inspecting container %s, in which this program runs: %w", id, err)
	}
	return own{pickNetwork(found.Container.NetworkSettings), found.Container.Config.Labels}, true, nil
}

// pickNetwork prefers user-defined networks: they resolve the names of containers.
func pickNetwork(s *container.NetworkSettings) string {
	if s == nil {
		return bridge
	}
	for _, n := range slices.Sorted(maps.Keys(s.Networks)) {
		if n != bridge && n != "host" && n != "none" {
			return n
		}
	}
	return bridge
}

// ownContainer returns the id of the container in which this program runs, or "" outside of containers.
func ownContainer() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if errors.Is(err, os.ErrNotExist) {
		return "", nil // not Linux, so no container
	}
	if err != nil {
		return "", err
	}
	return containerOf(mounts), nil
}

// Docker mounts a container's /etc/hostname, among other files, from a folder with its id.
var ownMount = regexp.MustCompile(`/containers/([0-9a-f]{64})/\S+ /etc/hostname `)

func containerOf(mountinfo []byte) string {
	if m := ownMount.FindSubmatch(mountinfo); m != nil {
		return string(m[1])
	}
	return ""
}
