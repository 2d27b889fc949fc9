package docker

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// A PullPolicy determines when an image is pulled from its registry. An image with a digest never changes,
// so it is pulled at most once.
type PullPolicy string

// The policies.
const (
	PullMissing PullPolicy = "missing" // if the host has no image of that name
	PullNever   PullPolicy = "never"   // the host must have it
	PullAlways  PullPolicy = "always"  // before every start
)

// The defaults of a Config.
const (
	DefaultPlace        = "dagyo"
	DefaultPullTimeout  = 30 * time.Minute
	DefaultStartTimeout = time.Minute
	DefaultLogSize      = 10 << 20
	DefaultLogFiles     = 2
	DefaultTmpSize      = 64 << 20
	DefaultPidsLimit    = 4096
	DefaultKillDelay    = backend.GiveUpGrace
)

// A Config configures executors as containers. Every field has a default.
type Config struct {
	// Host is the address of the Docker daemon, such as unix:///var/run/docker.sock. Default: DOCKER_HOST
	// and the other variables of the docker command, then the socket of this machine.
	Host string
	// Place separates installations on one host: a Backend sees only the containers of its place. Default:
	// the Compose project in which this program runs, or DefaultPlace outside of Compose.
	Place string
	// Tenant separates tenants of an installation, as a part of the place; "" for the first one.
	Tenant string
	// Network is the network that executors join; the queue's address must be reachable in it. Default:
	// the network of the container in which this program runs (user-defined networks first), or Docker's
	// default bridge if it runs outside of containers.
	Network string
	// ExtraHosts are additional entries of the executors' /etc/hosts, as name:address. The address
	// host-gateway is that of the host.
	ExtraHosts []string
	// Mounts are mounted into every executor, as source:target, read-only: the credentials and certificates
	// for the queue. A source is a folder or file on the Docker host, or the name of a volume.
	Mounts []string
	// Labels are added to every container, in addition to Dagyo's own.
	Labels map[string]string
	// EnvDir holds the sets that a progdef names in envFrom, as secrets/<name>.env and
	// configmaps/<name>.env. Without it a progdef with envFrom cannot start.
	EnvDir string
	// Pull is when images are pulled; default PullMissing.
	Pull PullPolicy
	// PullTimeout limits the time to pull one image.
	PullTimeout time.Duration
	// StartTimeout is how long a container may exist without being started before its start counts as
	// interrupted; then it never runs.
	StartTimeout time.Duration
	// LogSize limits each of the LogFiles log files of an executor, in bytes.
	LogSize  int64
	LogFiles int
	// TmpSize is the size of an executor's /tmp, in bytes, unless the progdef limits its
	// ephemeral-storage. It is in memory, and counts as such.
	TmpSize int64
	// PidsLimit limits the processes and threads of one executor.
	PidsLimit int64
	// KillDelay is the time from the end of an executor's grace period, when it is told to give up its
	// jobs, to its SIGKILL; default backend.GiveUpGrace.
	KillDelay time.Duration
	// Logger logs failures that no call can return. Default: no log.
	Logger *slog.Logger
}

// Validate reports every error in the configuration.
func (c Config) Validate() error {
	var errs []error
	for what, name := range map[string]string{"place": c.Place, "tenant": c.Tenant} {
		if name != "" && !document.ValidName(name) {
			errs = append(errs, fmt.Errorf("%s %q is not a name (%s)", what, name, document.NamePattern))
		}
	}
	switch c.Pull {
	case "", PullMissing, PullNever, PullAlways:
	default:
		errs = append(errs, fmt.Errorf("unknown pull policy %q: use %s, %s or %s",
			c.Pull, PullMissing, PullNever, PullAlways))
	}
	for _, m := range c.Mounts {
		if !validMount(m) {
			errs = append(errs, fmt.Errorf("mount %q does not have the form source:target "+
				"with an absolute target", m))
		}
	}
	for what, n := range map[string]int64{
		"PullTimeout": int64(c.PullTimeout), "StartTimeout": int64(c.StartTimeout), "LogSize": c.LogSize, "LogFiles": int64(c.LogFiles),
		"TmpSize": c.TmpSize, "PidsLimit": c.PidsLimit, "KillDelay": int64(c.KillDelay),
	} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("negative %s %d", what, n))
		}
	}
	return errors.Join(errs...)
}

func validMount(m string) bool {
	source, target, ok := strings.Cut(strings.TrimSuffix(m, ":ro"), ":")
	return ok && source != "" && filepath.IsAbs(target) && !strings.Contains(target, ":")
}

// withDefaults fills in defaults, and makes paths independent of the working directory.
func (c Config) withDefaults() (Config, error) {
	fill(&c.Place, DefaultPlace)
	fill(&c.Pull, PullMissing)
	fill(&c.PullTimeout, DefaultPullTimeout)
	fill(&c.StartTimeout, DefaultStartTimeout)
	fill(&c.LogSize, DefaultLogSize)
	fill(&c.LogFiles, DefaultLogFiles)
	fill(&c.TmpSize, DefaultTmpSize)
	fill(&c.PidsLimit, DefaultPidsLimit)
	fill(&c.KillDelay, DefaultKillDelay)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.EnvDir == "" {
		return c, nil
	}
	dir, err := filepath.Abs(c.EnvDir)
	if err != nil {
		return c, fmt.Errorf("absolute path of %s: %w", c.EnvDir, err)
	}
	c.EnvDir = dir
	return c, nil
}

func fill[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}
