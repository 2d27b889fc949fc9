package cli

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/process"
	"github.com/dagyo/dagyo/services/validator"
)

// A runner runs a service for a tenant until the context ends. Without tenants, it is given none.
type runner func(context.Context, *broker.Link, tenancy.Tenant) error

// serviceCommand returns a command that runs a service until a signal stops it. prepare is called once.
func (a *app) serviceCommand(
	name, short string, s *settings.Services, groups []settings.Group,
	prepare func(context.Context, *host) (runner, error),
) *cobra.Command {
	var tenants string
	var pages pageFlags
	cmd := &cobra.Command{
		Use: name, GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       short,
		Long: short + `.

Any number of replicas may run; one of them is the leader. The service waits
until the NATS server is available, and runs until SIGTERM or SIGINT.

With --tenants, it serves all tenants of the installation, and follows which ones
there are; without it, only the one that --creds are for.

With --http, it serves /metrics for Prometheus, and /healthz and /readyz for
probes. These need no authentication.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), name, tenants, s, pages, prepare)
		},
	}
	addGroups(cmd, groups...)
	cmd.Flags().StringVar(&tenants, "tenants", "", "file tenants.json of \"dagyo init auth\": serve all tenants")
	pages.define(a, cmd, "http", envHTTP, "address of /metrics, /healthz and /readyz, such as 127.0.0.1:9464; empty for none")
	return cmd
}

func (a *app) serve(
	ctx context.Context, name, tenants string, s *settings.Services, pages pageFlags,
	prepare func(context.Context, *host) (runner, error),
) (err error) {
	log := a.logger("info", false)
	if err := s.Resolve(log); err != nil {
		return usage(err)
	}
	page, err := pages.open(ctx, a, name, []string{name}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, page.close()) }()
	s.SetMetrics(page.monitor.Meter())
	s.SetTraces(page.traces.Tracer())
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	if err := a.locate(); err != nil {
		return err
	}
	h := &host{app: a, name: name, role: access.Role(name), file: tenants, log: log, monitor: page.monitor}
	defer h.close()
	run, err := prepare(ctx, h)
	if err == nil && tenants != "" {
		err = h.serveAll(ctx, func(ctx context.Context, t tenancy.Tenant) error { return h.serveTenant(ctx, t, run) })
	} else if err == nil {
		err = h.serveOne(ctx, run)
	}
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return nil // a signal stopped it
	}
	return err
}

func (a *app) validatorCommand() *cobra.Command {
	s := settings.Default()
	cmd := a.serviceCommand(validator.Name, "Validate flows and progdefs; keep the catalogue", s,
		[]settings.Group{s.ValidatorFlags(), s.CommonFlags()},
		func(ctx context.Context, h *host) (runner, error) {
			if err := h.openPolicy(ctx, s, false); err != nil {
				return nil, err
			}
			return func(ctx context.Context, link *broker.Link, t tenancy.Tenant) error {
				return validator.Run(ctx, link, s.For(t).Validator)
			}, nil
		})
	a.policyFlag(cmd)
	return cmd
}

func (a *app) plannerCommand() *cobra.Command {
	s := settings.Default()
	return a.serviceCommand(planner.Name, "Plan the edges of flows on the broker", s,
		[]settings.Group{s.PlannerFlags(), s.CommonFlags()},
		func(context.Context, *host) (runner, error) {
			return func(ctx context.Context, link *broker.Link, t tenancy.Tenant) error {
				return planner.Run(ctx, link, s.For(t).Planner)
			}, nil
		})
}

func (a *app) aggregatorCommand() *cobra.Command {
	s := settings.Default()
	cmd := a.serviceCommand(aggregator.Name, "Collect failures; publish the verdict of every flow", s,
		[]settings.Group{s.AggregatorFlags(), s.CommonFlags()},
		func(ctx context.Context, h *host) (runner, error) {
			if err := h.openPolicy(ctx, s, false); err != nil {
				return nil, err
			}
			return func(ctx context.Context, link *broker.Link, t tenancy.Tenant) error {
				return aggregator.Run(ctx, link, s.For(t).Aggregator)
			}, nil
		})
	a.policyFlag(cmd)
	return cmd
}

func (a *app) spawnerCommand() *cobra.Command {
	s := settings.Default()
	var b backendFlags
	var queue string
	cmd := a.serviceCommand(spawner.Name, "Grant capacity and run executors", s,
		append(b.groups(a), s.SpawnerFlags(), s.CommonFlags()),
		func(ctx context.Context, h *host) (runner, error) {
			if err := b.configure(a, &s.Spawner, h.file != ""); err != nil {
				return nil, usage(err)
			}
			s.Spawner.Queue = cmp.Or(queue, a.server)
			open, err := b.opener(ctx, slog.New(zerolog.NewSlogHandler(h.log)))
			if err != nil {
				return nil, usage(err)
			}
			if err := b.reach(ctx); err != nil {
				return nil, err
			}
			if err := h.openPolicy(ctx, s, b.name == backendProcess); err != nil {
				return nil, err
			}
			if h.file == "" {
				return func(ctx context.Context, link *broker.Link, t tenancy.Tenant) error {
					return spawner.Run(ctx, link, func() (backend.Backend, error) { return open(ctx, t) }, s.Spawner)
				}, nil
			}
			return h.spawnAll(ctx, s, &b, open)
		})
	a.policyFlag(cmd)
	cmd.Flags().StringVar(&queue, "queue", "",
		"address of NATS for executors, if it differs from --server")
	return cmd
}

// processFlags are the flags of the process backend.
func processFlags(cmd *cobra.Command, p *process.Config) {
	cmd.Flags().StringVar(&p.EnvDir, "env-dir", "",
		"directory with secrets/NAME.env and configmaps/NAME.env, for progdefs with envFrom")
	cmd.Flags().DurationVar(&p.StartTimeout, "start-timeout", process.DefaultStartTimeout,
		"time that an executor's process has to start")
	isolationFlags(cmd.Flags(), p)
}

// isolationFlags are the flags that isolate the executors of the process backend.
func isolationFlags(f *pflag.FlagSet, p *process.Config) {
	f.TextVar(&p.UIDs, "executor-uids", process.UIDs{},
		"user ids for executors if Dagyo runs as root, one for each; none runs them as root")
	f.StringSliceVar(&p.Hidden, "executor-hide", nil,
		"files and directories that executors must not see, besides Dagyo's own")
	f.Int64Var(&p.Limits.Memory, "executor-memory", 0,
		"memory of an executor in bytes, unless its progdef has resources.limits.memory; 0 is three quarters of the machine's")
	f.IntVar(&p.Limits.Processes, "executor-processes", process.DefaultProcesses, "processes and threads of an executor")
	f.IntVar(&p.Limits.Files, "executor-files", process.DefaultFiles, "open files of each process of an executor")
}

// dataDir is the default directory for the data of `dagyo up`.
func (a *app) dataDir() string {
	if state := a.Env("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, "dagyo")
	}
	home := a.Env("HOME")
	if home == "" {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", "dagyo")
}
