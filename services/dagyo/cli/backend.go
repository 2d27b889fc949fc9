package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	"github.com/dagyo/dagyo/services/spawner"
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

// backendFlags are the flags that select and configure the backend.
type backendFlags struct {
	name       string
	place      string
	envDir     string
	process    process.Config
	docker     docker.Config
	kubernetes kubernetes.Config
	// credentials is the volume, folder or Secret with the NATS credentials for containers.
	credentials string
	// executorKeys is the file with the keys that sign the credentials of executors.
	executorKeys string
}

// groups returns the flags, grouped by backend.
func (b *backendFlags) groups(a *app) []settings.Group {
	all := settings.NewGroup("Where executors run")
	f := all.Flags
	f.StringVar(&b.name, "backend", backendProcess, "where executors run: process (on this host), docker or kubernetes")
	f.StringVar(&b.place, "place", "",
		"docker, kubernetes: name that tells this installation from others (default the Compose project, else dagyo)")
	f.StringVar(&b.envDir, "env-dir", "",
		"process, docker: directory with secrets/NAME.env and configmaps/NAME.env, for progdefs with envFrom")
	f.StringVar(&b.credentials, "credentials", "",
		"docker, kubernetes: volume, host folder or Secret with nats.creds, ca.crt, tls.crt and tls.key; "+
			"executors get the files that the spawner itself uses")
	f.StringVar(&b.executorKeys, "executor-keys", "",
		"file executors.json of \"dagyo init auth\": each executor gets credentials of its own, signed with its keys")

	local := settings.NewGroup("The process backend")
	f = local.Flags
	f.StringVar(&b.process.Dir, "executors", filepath.Join(a.dataDir(), "executors"),
		"state directory of the executors; all spawners that share it must run as the same user")
	f.DurationVar(&b.process.StartTimeout, "start-timeout", process.DefaultStartTimeout,
		"time that an executor's process has to start")
	isolationFlags(f, &b.process)

	host := settings.NewGroup("The Docker backend")
	f = host.Flags
	f.StringVar(&b.docker.Host, "docker-host", "",
		"address of the Docker daemon (default DOCKER_HOST, else the local socket)")
	f.StringVar(&b.docker.Network, "network", "",
		"network of the executors (default the network of the spawner's own container)")
	f.StringVar((*string)(&b.docker.Pull), "pull", string(docker.PullMissing),
		"when to pull images: missing, never or always")

	cluster := settings.NewGroup("The Kubernetes backend")
	f = cluster.Flags
	k := &b.kubernetes
	f.StringVar(&k.Kubeconfig, "kubeconfig", "", "kubeconfig file (default: the cluster of the spawner)")
	f.StringVar(&k.Context, "kube-context", "", "context in the kubeconfig file")
	f.StringVar(&k.Namespace, "namespace", "", "namespace of the executors (default: the spawner's own)")
	f.StringVar(&k.Owner, "owner", "",
		"Deployment in that namespace that owns the executors, such as the spawner's: Kubernetes deletes them with it")
	f.StringVar(&k.ServiceAccount, "service-account", "",
		"service account of the executors; its token is not mounted (default: the namespace's)")
	f.StringSliceVar(&k.ImagePullSecrets, "image-pull-secrets", nil, "Secrets for pulling images")
	f.Int64Var(&k.RunAsUser, "run-as-user", kubernetes.DefaultRunAsUser, "user and group of the executors")
	f.DurationVar(&k.PullTimeout, "image-timeout", kubernetes.DefaultPullTimeout,
		"time that the pull of an image may fail before its jobs panic")
	f.DurationVar(&k.StartTimeout, "create-timeout", kubernetes.DefaultStartTimeout,
		"time that the creation of a container may fail, for example because a Secret is missing, before its jobs panic")
	return []settings.Group{all, local, host, cluster}
}

// configure sets how executors find NATS and prove who they are. With tenants, each has credentials of its own.
func (b *backendFlags) configure(a *app, c *spawner.Config, tenants bool) (err error) {
	if tenants && b.executorKeys == "" {
		return errors.New("--tenants needs --executor-keys, the executors.json beside it: each executor has credentials of its own")
	}
	if b.executorKeys != "" {
		if _, err := b.keys(); err != nil {
			return err
		}
		c.Issue, c.Signer = b.issuer(tenancy.Tenant{}), b.signer(tenancy.Tenant{})
		b.process.Hidden = append(b.process.Hidden, b.executorKeys)
	}
	if err := b.mayShare(a.access); err != nil {
		return err
	}
	if c.Access, err = b.access(a.access); err != nil {
		return err
	}
	if c.CA, err = b.authorities(a.access); err != nil {
		return fmt.Errorf("--tls-ca: %w", err)
	}
	b.process.Hidden = append(b.process.Hidden, a.access.Secrets()...)
	return nil
}

func (b *backendFlags) keys() (*keyring.Issuer, error) {
	return readKeys("--executor-keys", b.executorKeys, access.Executor, false)
}

// issuer returns a function that signs the credentials of a tenant's executors, of the default tenant if t is none. The
// file is read each time: its keys may be replaced.
func (b *backendFlags) issuer(t tenancy.Tenant) func(executor, mailbox string) ([]byte, error) {
	return func(executor, mailbox string) ([]byte, error) {
		i, err := b.keys()
		if err != nil {
			return nil, err
		}
		c := access.Credential{Name: executor, Mailbox: mailbox}
		if b.name != backendKubernetes { // which cannot replace a file while its executor runs
			c.Expires = time.Now().Add(spawner.CredentialsTime)
		}
		if t.ID == "" {
			return i.Issue(keyring.DefaultTenant, c)
		}
		return i.IssueIn(t, c)
	}
}

// signer returns a function that names the key with which issuer signs.
func (b *backendFlags) signer(t tenancy.Tenant) func() (string, error) {
	return func() (string, error) {
		i, err := b.keys()
		if err != nil {
			return "", err
		}
		return access.Secret(i.Secret).PublicSigner(t.ID)
	}
}

// noSets says why a tenant's progdefs cannot use sets of variables, "" if they can.
func (b *backendFlags) noSets(t tenancy.Tenant) string {
	if b.name != backendKubernetes || labelOf(t) == "" || t.Namespace != "" {
		return ""
	}
	return "its executors are in a namespace with those of other tenants: the operator can give it one of its own (dagyo tenant add --namespace)"
}

// labelOf is the name of a tenant's executors and their resources; "" for the default tenant, whose have none.
func labelOf(t tenancy.Tenant) string {
	if t.Name == "" || t.Name == keyring.DefaultTenant {
		return ""
	}
	return t.Label()
}

// mayShare reports an error if executors would get the credentials of the role of the spawner.
func (b *backendFlags) mayShare(own broker.Access) error {
	holder, ours, err := own.Holder(nil)
	if err == nil && ours && holder.Service() && b.executorKeys == "" {
		err = errors.New("--creds is for the spawner only: set --executor-keys to the executors.json beside it, " +
			"which `dagyo init auth` has made")
	}
	return err
}

// access returns the paths of the NATS credentials as executors see them. Credentials of their own come with the start.
func (b *backendFlags) access(own broker.Access) (broker.Access, error) {
	if b.executorKeys != "" {
		own.Creds = ""
		if b.name != backendProcess && b.credentials == "" {
			own.CA = ""
		}
	}
	if b.name == backendProcess || own == (broker.Access{}) {
		return own, nil
	}
	if b.credentials == "" {
		return own, errors.New("--creds and --tls-* are for the spawner only: set --credentials for the executors")
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

// authorities returns what executors get as a file of their own, because they do not share the spawner's.
func (b *backendFlags) authorities(own broker.Access) ([]byte, error) {
	if own.CA == "" || b.executorKeys == "" || b.name == backendProcess || b.credentials != "" {
		return nil, nil
	}
	return os.ReadFile(own.CA)
}

// An opener opens the backend of a tenant. The spawner calls it when it becomes the leader.
type opener func(context.Context, tenancy.Tenant) (backend.Backend, error)

// opener checks the flags and returns what opens the backend.
func (b *backendFlags) opener(ctx context.Context, log *slog.Logger) (opener, error) {
	b.process.Logger, b.docker.Logger, b.kubernetes.Logger = log, log, log
	b.docker.Place, b.kubernetes.Place = b.place, b.place
	b.kubernetes.Credentials = b.credentials
	if b.credentials != "" {
		b.docker.Mounts = []string{b.credentials + ":" + backend.CredentialsDir}
	}
	switch b.name {
	case backendProcess:
		return b.processOpener(ctx, log)
	case backendDocker:
		return func(ctx context.Context, t tenancy.Tenant) (backend.Backend, error) {
			c := b.docker
			c.EnvDir, c.Tenant = local.SetsOf(t, b.envDir), labelOf(t)
			return docker.New(ctx, c)
		}, b.docker.Validate()
	case backendKubernetes:
		return func(_ context.Context, t tenancy.Tenant) (backend.Backend, error) {
			c := b.kubernetes
			if c.Tenant = labelOf(t); t.Namespace != "" {
				c.Namespace, c.Owner = t.Namespace, ""
			}
			return kubernetes.New(c)
		}, b.kubernetes.Validate()
	}
	return nil, fmt.Errorf("--backend is %q: it must be %s, %s or %s",
		b.name, backendProcess, backendDocker, backendKubernetes)
}

// processOpener finds out once how executors are isolated, and logs what is missing.
func (b *backendFlags) processOpener(ctx context.Context, log *slog.Logger) (opener, error) {
	b.process.EnvDir = b.envDir
	if err := b.process.Validate(); err != nil {
		return nil, err
	}
	found, err := process.Probe(ctx, b.process)
	if err != nil {
		return nil, err
	}
	if found.Missing != "" {
		log.Warn(found.Missing)
	}
	b.process.Isolation = &found
	return func(_ context.Context, t tenancy.Tenant) (backend.Backend, error) { return process.New(b.processOf(t)) }, nil
}

// processOf is the configuration of the process backend for a tenant.
func (b *backendFlags) processOf(t tenancy.Tenant) process.Config {
	c := b.process
	if labelOf(t) != "" {
		c.Tenant, c.EnvDir = t.ID, local.SetsOf(t, b.envDir)
		c.Hidden = append(slices.Clone(c.Hidden), b.envDir)
	}
	return c
}

// clear ends the executors of a tenant that was removed.
func (b *backendFlags) clear(ctx context.Context, t tenancy.Tenant, open opener) error {
	if b.name == backendProcess {
		return process.Clear(ctx, b.processOf(t))
	}
	x, err := open(ctx, t)
	if err != nil {
		return err
	}
	return errors.Join(backend.Clear(ctx, x), x.Close())
}

// reach checks that the spawner may use the Docker daemon before the spawner counts as healthy. Otherwise this common
// mistake would be visible in the log only.
func (b *backendFlags) reach(ctx context.Context) error {
	if b.name != backendDocker {
		return nil
	}
	c, err := docker.Connect(ctx, b.docker.Host)
	if err != nil {
		return fmt.Errorf("%w (if this user may not use the socket: DOCKER_GID in Compose's .env sets its group)", err)
	}
	return c.Close()
}
