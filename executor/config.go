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

// Config is where an executor finds its jobs. FromEnvironment fills it from DAGYO_*.
type Config struct {
	// Queue is a NATS URL or a comma-separated list of them.
	Queue string
	// Access holds the files with which NATS lets us in.
	Access broker.Access
	// Mailbox is "<progdef>.<revision>".
	Mailbox string
	// ID names the executor in events.
	ID string
	// Spawned is set where a spawner gave the ID: one program runs under it, once.
	Spawned bool
	// Slots is how many jobs run at the same time.
	Slots int
	// Grace is how long running jobs may go on after the first SIGTERM.
	Grace time.Duration
	// StopGrace is how long a stopped job's function may take to return before the executor
	// takes no more jobs, to be replaced.
	StopGrace time.Duration
	// Log gets a line for what is worth one; standard error by default.
	Log *slog.Logger
}

// DefaultStopGrace is Config.StopGrace unless set.
const DefaultStopGrace = 10 * time.Second

// FromEnvironment reads the configuration that a spawner gives to an executor.
func FromEnvironment() (Config, error) {
	c := Config{
		Queue: os.Getenv(contract.EnvQueue), Access: broker.AccessFromEnvironment(os.Getenv),
		Mailbox: os.Getenv(contract.EnvJobs), ID: os.Getenv(contract.EnvExecutor),
		Slots: 1, Grace: 24 * time.Hour, StopGrace: DefaultStopGrace,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
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

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Queue == "" {
		errs = append(errs, fmt.Errorf("%s is not set: give the address of NATS", contract.EnvQueue))
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
