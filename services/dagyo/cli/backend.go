package cli

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/docker"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// The backends of the spawner.
const (
	backendProcess = "process"
	backendDocker  = "docker"
)

// backendFlags say where the spawner runs executors.
type backendFlags struct {
	name    string
	process process.Config
	docker  docker.Config
}

func (a *app) addBackendFlags(cmd *cobra.Command, b *backendFlags) {
	f := cmd.Flags()
	f.StringVar(&b.name, "backend", backendProcess, "what runs executors: process (here) or docker (containers)")
	f.StringVar(&b.process.Dir, "executors", filepath.Join(a.dataDir(), "executors"),
		"process: directory that remembers the executors; its spawners run as one user")
	processFlags(cmd, &b.process)
	f.StringVar(&b.docker.Host, "docker-host", "",
		"docker: address of the daemon (default DOCKER_HOST, else the socket of this machine)")
	f.StringVar(&b.docker.Place, "place", "",
		"docker: name of this installation among others on the host (default the Compose project, else dagyo)")
	f.StringVar(&b.docker.Network, "network", "",
		"docker: network that executors join (default that of the spawner's own container)")
	f.StringArrayVar(&b.docker.Mounts, "mount", nil,
		"docker: SOURCE:TARGET that executors see read-only, such as credentials for NATS; may be repeated")
	f.StringVar((*string)(&b.docker.Pull), "pull", string(docker.PullMissing),
		"docker: when images are fetched: missing, never or always")
}

// opener checks the flags, and returns what opens the backend whenever the spawner begins to lead.
func (b backendFlags) opener(ctx context.Context, log *slog.Logger) (func() (backend.Backend, error), error) {
	b.process.Logger, b.docker.Logger = log, log
	b.docker.EnvDir = b.process.EnvDir
	switch b.name {
	case backendProcess:
		return func() (backend.Backend, error) { return process.New(b.process) }, nil
	case backendDocker:
		return func() (backend.Backend, error) { return docker.New(ctx, b.docker) }, b.docker.Validate()
	}
	return nil, fmt.Errorf("--backend is %q: it must be %s or %s", b.name, backendProcess, backendDocker)
}
