package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/process"
	"github.com/dagyo/dagyo/services/validator"
)

// serviceCommand returns a command that runs a service until a signal stops it.
func (a *app) serviceCommand(
	name, short string, s *settings.Services, groups []settings.Group,
	run func(context.Context, *broker.Link, zerolog.Logger) error,
) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       short,
		Long: short + `.

Any number of replicas may run; one of them is the leader. The service waits
until the NATS server is available, and runs until SIGTERM or SIGINT.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), name, s, run)
		},
	}
	addGroups(cmd, groups...)
	return cmd
}

func (a *app) serve(
	ctx context.Context, name string, s *settings.Services,
	run func(context.Context, *broker.Link, zerolog.Logger) error,
) error {
	log := a.logger("info", false)
	if err := s.Resolve(log); err != nil {
		return usage(err)
	}
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	if err := a.locate(); err != nil {
		return err
	}
	log.Info().Str("service", name).Str("server", broker.Redact(a.server)).Msg("connecting")
	link, err := broker.Connect(ctx, broker.Options{
		URL: a.server, Name: name, Access: a.access, Extra: []nats.Option{service.LogErrors(log)},
	})
	if err == nil {
		defer link.Close()
		err = run(ctx, link, log)
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
		func(ctx context.Context, link *broker.Link, log zerolog.Logger) error {
			rules, unwatch, err := a.openPolicy(ctx, false, log)
			if err != nil {
				return err
			}
			defer unwatch()
			s.SetPolicy(rules)
			return validator.Run(ctx, link, s.Validator)
		})
	a.policyFlag(cmd)
	return cmd
}

func (a *app) plannerCommand() *cobra.Command {
	s := settings.Default()
	return a.serviceCommand(planner.Name, "Plan the edges of flows on the broker", s,
		[]settings.Group{s.PlannerFlags(), s.CommonFlags()},
		func(ctx context.Context, link *broker.Link, _ zerolog.Logger) error {
			return planner.Run(ctx, link, s.Planner)
		})
}

func (a *app) aggregatorCommand() *cobra.Command {
	s := settings.Default()
	return a.serviceCommand(aggregator.Name, "Collect failures; publish the verdict of every flow", s,
		[]settings.Group{s.AggregatorFlags(), s.CommonFlags()},
		func(ctx context.Context, link *broker.Link, _ zerolog.Logger) error {
			return aggregator.Run(ctx, link, s.Aggregator)
		})
}

func (a *app) spawnerCommand() *cobra.Command {
	s := settings.Default()
	var b backendFlags
	var queue string
	cmd := a.serviceCommand(spawner.Name, "Grant capacity and run executors", s,
		append(b.groups(a), s.SpawnerFlags(), s.CommonFlags()),
		func(ctx context.Context, link *broker.Link, log zerolog.Logger) error {
			var err error
			if s.Spawner.Issue, err = issuer(b.executorKeys); err != nil {
				return usage(err)
			}
			if err := b.mayShare(a.access); err != nil {
				return usage(err)
			}
			if s.Spawner.Access, err = b.access(a.access); err != nil {
				return usage(err)
			}
			if s.Spawner.CA, err = b.authorities(a.access); err != nil {
				return usage(fmt.Errorf("--tls-ca: %w", err))
			}
			s.Spawner.Queue = cmp.Or(queue, a.server)
			b.process.Hidden = append(b.process.Hidden, a.access.Secrets()...)
			if b.executorKeys != "" {
				b.process.Hidden = append(b.process.Hidden, b.executorKeys)
			}
			open, err := b.opener(ctx, slog.New(zerolog.NewSlogHandler(log)))
			if err != nil {
				return usage(err)
			}
			if err := b.reach(ctx); err != nil {
				return err
			}
			rules, unwatch, err := a.openPolicy(ctx, b.name == backendProcess, log)
			if err != nil {
				return err
			}
			defer unwatch()
			s.SetPolicy(rules)
			return spawner.Run(ctx, link, open, s.Spawner)
		})
	a.policyFlag(cmd)
	cmd.Flags().StringVar(&queue, "queue", "",
		"address of NATS for executors, if it differs from --server")
	return cmd
}

// issuer returns a function that signs the credentials of executors with the keys in a file, nil without a file. The file
// is read each time: its keys may be replaced.
func issuer(path string) (func(executor, mailbox string) ([]byte, error), error) {
	if path == "" {
		return nil, nil
	}
	i, err := keyring.ReadIssuer(path)
	if err == nil && i.Role != access.Executor {
		err = fmt.Errorf("%s has keys for the role %s, not for %s", path, i.Role, access.Executor)
	}
	if err != nil {
		return nil, fmt.Errorf("--executor-keys: %w", err)
	}
	return func(executor, mailbox string) ([]byte, error) {
		i, err := keyring.ReadIssuer(path)
		if err != nil {
			return nil, err
		}
		return i.Issue(keyring.DefaultTenant, access.Credential{Name: executor, Mailbox: mailbox})
	}, nil
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
