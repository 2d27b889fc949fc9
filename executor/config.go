package executor

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

// Config is the configuration of an executor. FromEnvironment reads it from DAGYO_*.
type Config struct {
	// Queue is a NATS URL or a comma-separated list of them.
	Queue string
	// Access holds the files for authentication with NATS.
	Access broker.Access
	// Mailbox is "<progdef>.<revision>".
	Mailbox string
	// ID is the executor's name in events.
	ID string
	// Spawned is true if a spawner assigned the ID: only one program may ever run under it.
	Spawned bool
	// Slots is the maximum number of jobs that run at the same time.
	Slots int
	// Grace is how long running jobs may continue after the first SIGTERM.
	Grace time.Duration
	// StopGrace is how long the function of a stopped job may take to return. After that the
	// executor takes no more jobs and is replaced.
	StopGrace time.Duration
	// Secrets are values that are masked in what jobs log, and in the failures that they report.
	Secrets []string
	// Log is the executor's log; the default is standard error.
	Log *slog.Logger
}

// DefaultStopGrace is the default of Config.StopGrace.
const DefaultStopGrace = 10 * time.Second

// FromEnvironment reads the configuration that a spawner passes to an executor.
func FromEnvironment() (Config, error) {
	c := Config{
		Queue: os.Getenv(contract.EnvQueue), Access: broker.AccessFromEnvironment(os.Getenv),
		Mailbox: os.Getenv(contract.EnvJobs), ID: os.Getenv(contract.EnvExecutor),
		Slots: 1, Grace: 24 * time.Hour, StopGrace: DefaultStopGrace,
		Secrets: secretValues(os.Environ()), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	var errs []error
	if s := os.Getenv(contract.EnvSlots); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is not a number", contract.EnvSlots, s))
		}
		c.Slots = n
	}
	if s := os.Getenv(contract.EnvGrace); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is not a duration such as 24h", contract.EnvGrace, s))
		}
		c.Grace = d
	}
	if c.Spawned = c.ID != ""; !c.Spawned {
		c.ID = "x-" + strings.ToLower(nuid.Next())
	}
	return c, errors.Join(append(errs, c.Validate())...)
}

// Validate reports every error in the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Queue == "" {
		errs = append(errs, fmt.Errorf("%s is not set: set it to the URL of the NATS server", contract.EnvQueue))
	}
	if progdef, revision, ok := strings.Cut(c.Mailbox, "."); !ok ||
		!document.ValidName(progdef) || !document.ValidName(revision) {
		errs = append(errs, fmt.Errorf("%s is %q: it must be <progdef>.<revision>", contract.EnvJobs, c.Mailbox))
	}
	if !document.ValidName(c.ID) {
		errs = append(errs, fmt.Errorf("%s is %q: it must match %s", contract.EnvExecutor, c.ID, document.NamePattern))
	}
	if c.Slots < 1 {
		errs = append(errs, fmt.Errorf("%s is %d: it must be at least 1", contract.EnvSlots, c.Slots))
	}
	return errors.Join(append(errs, c.Access.Validate())...)
}
