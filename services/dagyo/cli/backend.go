package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/docker"
	"github.com/dagyo/dagyo/services/spawner/kubernetes"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// The backends of the spawner.
const (
	backendProcess    = "process"
	backendDocker     = "docker"
	backendKubernetes = "kubernetes"
)

// backendFlags say where the spawner runs executors.
type backendFlags struct {
	name       string
	place      string
	envDir     string
	process    process.Config
	docker     docker.Config
	kubernetes kubernetes.Config
	// credentials is the volume, folder or Secret with the files that let containers into NATS.
	credentials string
}

// groups returns the flags, those of each backend together.
func (b *backendFlags) groups(a *app) []settings.Group {
	group := func(title string) settings.Group {
		return settings.Group{Title: title, Flags: pflag.NewFlagSet(title, pflag.ContinueOnError)}
	}
	all := group("Where executors run")
	f := all.Flags
	f.StringVar(&b.name, "backend", backendProcess, "what runs executors: process (here), docker or kubernetes")
	f.StringVar(&b.place, "place", "",
		"docker, kubernetes: name of this installation among others (default the Compose project, else dagyo)")
	f.StringVar(&b.envDir, "env-dir", "",
		"process, docker: directory with secrets/NAME.env and configmaps/NAME.env, for progdefs with envFrom")
	f.StringVar(&b.credentials, "credentials", "",
		"docker, kubernetes: volume, folder on the host or Secret with nats.creds, ca.crt, tls.crt and tls.key, "+
			"of which executors get those that the spawner has")

	local := group("The process backend")
	f = local.Flags
	f.StringVar(&b.process.Dir, "executors", filepath.Join(a.dataDir(), "executors"),
		"directory that remembers the executors; its spawners run as one user")
	f.DurationVar(&b.process.StartTimeout, "start-timeout", process.DefaultStartTimeout,
		"how long an executor's process may take to start")

	host := group("The Docker backend")
	f = host.Flags
	f.StringVar(&b.docker.Host, "docker-host", "",
		"address of the daemon (default DOCKER_HOST, else the socket of this machine)")
	f.StringVar(&b.docker.Network, "network", "",
		"network that executors join (default that of the spawner's own container)")
	f.StringVar((*string)(&b.docker.Pull), "pull", string(docker.PullMissing),
		"when images are fetched: missing, never or always")

	cluster := group("The Kubernetes backend")
	f = cluster.Flags
	k := &b.kubernetes
	f.StringVar(&k.Kubeconfig, "kubeconfig", "", "kubeconfig file (default the cluster that the spawner runs in)")
	f.StringVar(&k.Context, "kube-context", "", "context of the kubeconfig file")
	f.StringVar(&k.Namespace, "namespace", "", "namespace of the executors (default the spawner's own)")
	f.StringVar(&k.Owner, "owner", "",
		"Deployment in that namespace with which the executors go, such as the spawner's own")
	f.StringVar(&k.ServiceAccount, "service-account", "",
		"service account of the executors, which get no token of it (default the namespace's)")
	f.StringSliceVar(&k.ImagePullSecrets, "image-pull-secrets", nil, "Secrets with which images are fetched")
	f.Int64Var(&k.RunAsUser, "run-as-user", kubernetes.DefaultRunAsUser, "user and group of the executors")
	f.DurationVar(&k.PullTimeout, "image-timeout", kubernetes.DefaultPullTimeout,
		"how long an image may fail to be fetched until its jobs panic")
	f.DurationVar(&k.StartTimeout, "create-timeout", kubernetes.DefaultStartTimeout,
		"how long a container may fail to be made, for want of a Secret say, until its jobs panic")
	return []settings.Group{all, local, host, cluster}
}

// access returns the paths, where executors run, of the files that let the spawner itself in.
func (b *backendFlags) access(own broker.Access) (broker.Access, error) {
	if b.name == backendProcess || own == (broker.Access{}) {
		return own, nil
	}
	if b.credentials == "" {
		return own, errors.New("--creds and --tls-* let only the spawner in: --credentials must say where executors find theirs")
	}
	at := func(path, file string) string {
		if path == "" {
			return ""
		}
		return backend.CredentialsDir + "/" + file
	}
	return broker.Access{
		Creds: at(own.Creds, "nats.creds"), CA: at(own.CA, "ca.crt"),
		Cert: at(own.Cert, "tls.crt"), Key: at(own.Key, "tls.key"),
	}, nil
}

// opener checks the flags, and returns what opens the backend whenever the spawner begins to lead.
func (b *backendFlags) opener(ctx context.Context, log *slog.Logger) (func() (backend.Backend, error), error) {
	b.process.Logger, b.docker.Logger, b.kubernetes.Logger = log, log, log
	b.process.EnvDir, b.docker.EnvDir = b.envDir, b.envDir
	b.docker.Place, b.kubernetes.Place = b.place, b.place
	b.kubernetes.Credentials = b.credentials
	if b.credentials != "" {
		b.docker.Mounts = []string{b.credentials + ":" + backend.CredentialsDir}
	}
	switch b.name {
	case backendProcess:
		return func() (backend.Backend, error) { return process.New(b.process) }, b.process.Validate()
	case backendDocker:
		return func() (backend.Backend, error) { return docker.New(ctx, b.docker) }, b.docker.Validate()
	case backendKubernetes:
		return func() (backend.Backend, error) { return kubernetes.New(b.kubernetes) }, b.kubernetes.Validate()
	}
	return nil, fmt.Errorf("--backend is %q: it must be %s, %s or %s",
		b.name, backendProcess, backendDocker, backendKubernetes)
}

// reach makes sure, before the spawner counts as healthy, that the Docker daemon lets it in: the mistake that is
// easily made, and otherwise seen only in the log.
func (b *backendFlags) reach(ctx context.Context) error {
	if b.name != backendDocker {
		return nil
	}
	c, err := docker.Connect(ctx, b.docker.Host)
	if err != nil {
		return fmt.Errorf("%w (may this user use the socket? it needs the socket's group: DOCKER_GID in Compose's .env)", err)
	}
	return c.Close()
}
