package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

const (
	// DefaultStartTimeout is how long Start waits for a supervisor to start its program.
	DefaultStartTimeout = 30 * time.Second
	// DefaultKillDelay is how long an executor may take to give up its jobs.
	DefaultKillDelay = backend.GiveUpGrace
)

// A Config configures executors as processes. Only Dir is required.
type Config struct {
	// Dir is the state directory; it is created if missing. Several Backends may share it.
	Dir string
	// Tenant is the id of a tenant with executors of its own, in a folder in Dir: no other tenant sees them, and none
	// has their users. The first tenant has none, and its executors are in Dir itself.
	Tenant string
	// Self is the path of the dagyo binary: it supervises every executor, and it runs a progdef whose
	// command is "dagyo". Default: the running program.
	Self string
	// SelfArgs are inserted before the arguments, and SelfEnv is added to the environment, whenever
	// Self is started. Tests use them to start themselves.
	SelfArgs []string
	SelfEnv  map[string]string
	// Env is added to the environment of every executor; variables of its progdef override it.
	Env map[string]string
	// EnvDir holds the sets that a progdef names in envFrom, as secrets/<name>.env and
	// configmaps/<name>.env. Without it a progdef with envFrom cannot start.
	EnvDir string
	// UIDs are the users of executors, if the backend runs as root: one for each.
	UIDs UIDs
	// Hidden are paths that executors must not see, besides Dir and EnvDir.
	Hidden []string
	// Limits bound each executor.
	Limits Limits
	// Isolation is the result of Probe; if it is nil, New probes.
	Isolation *Isolation
	// Leash, if not nil, is the read end of a pipe: executors give up their jobs when nobody has its other end any more.
	Leash *os.File
	// StartTimeout is how long Start waits for a supervisor; default DefaultStartTimeout.
	StartTimeout time.Duration
	// KillDelay is the time from the end of an executor's grace period, when it is told to give up its
	// jobs, to its SIGKILL; default DefaultKillDelay.
	KillDelay time.Duration
	// Logger logs failures that no call can return. Default: no log.
	Logger *slog.Logger
}

// Validate reports every error in the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("no state directory (Dir)"))
	}
	if c.Tenant != "" && !tenantID.MatchString(c.Tenant) {
		errs = append(errs, fmt.Errorf("tenant %q: it must match %s", c.Tenant, tenantID))
	}
	if c.StartTimeout < 0 {
		errs = append(errs, fmt.Errorf("negative StartTimeout %s", c.StartTimeout))
	}
	if c.KillDelay < 0 {
		errs = append(errs, fmt.Errorf("negative KillDelay %s", c.KillDelay))
	}
	return errors.Join(append(errs, c.Limits.validate())...)
}

// withDefaults fills in defaults, and makes paths independent of the working directory.
func (c Config) withDefaults() (Config, error) {
	var err error
	if c.Self == "" {
		if c.Self, err = os.Executable(); err != nil {
			return c, fmt.Errorf("finding the running program: %w", err)
		}
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = DefaultStartTimeout
	}
	if c.KillDelay == 0 {
		c.KillDelay = DefaultKillDelay
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.UIDs, c.Limits = c.UIDs.withDefault(), c.Limits.withDefaults()
	c.Hidden = slices.Clone(c.Hidden)
	paths := []*string{&c.Dir, &c.Self, &c.EnvDir}
	for i := range c.Hidden {
		paths = append(paths, &c.Hidden[i])
	}
	for _, path := range paths {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return c, fmt.Errorf("absolute path of %s: %w", *path, err)
		}
	}
	return c, nil
}
