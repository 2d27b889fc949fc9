package kubernetes

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/dagyo/dagyo/services/spawner/kubernetes/kube"
)

// The times of an election: a chief that is gone is replaced after electionLease, one that cannot renew gives up before.
const (
	electionLease = 15 * time.Second
	electionRenew = 10 * time.Second
	electionRetry = 2 * time.Second
	// electionJitter spreads the tries of processes that wait, as a share of electionRetry.
	electionJitter = 0.2
)

// A Chief elects, among the spawners of an installation, the one that leads all tenants: they share the places for
// executors, and one process must divide them.
type Chief struct {
	candidacy *candidacy
	log       *slog.Logger
	failing   bool // the last try failed

	mu      sync.Mutex
	elected context.Context // of the last election that it has won; ends with its term
	changed chan struct{}   // closed and renewed when that changes
}

// NewChief prepares the election of the chief of a place. identity distinguishes the processes. The Lease is in the
// namespace of the configuration.
func NewChief(cfg Config, identity string) (*Chief, error) {
	cfg, err := cfg.withDefaults().connect()
	if err != nil {
		return nil, err
	}
	in, err := kube.In(cfg.Namespace, cfg.REST)
	if err != nil {
		return nil, err
	}
	return &Chief{
		candidacy: &candidacy{in: in, name: "dagyo-spawner-" + labelText(cfg.Place), identity: identity},
		log:       cfg.Logger, changed: make(chan struct{}),
	}, nil
}

// Run takes part in elections until the context ends.
func (c *Chief) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if began := time.Now(); c.try(ctx, electionRenew) {
			c.lead(ctx, began)
		}
		pause(ctx, wait.Jitter(electionRetry, electionJitter))
	}
}

// try tries once to hold the Lease, for a limited time.
func (c *Chief) try(ctx context.Context, within time.Duration) bool {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	held, err := c.candidacy.try(limited)
	if err != nil && !c.failing && ctx.Err() == nil {
		c.log.Warn("cannot read or write the lease of spawners", "lease", c.candidacy.name, "error", err)
	}
	c.failing = err != nil
	return held
}

// lead makes this process the chief as long as it holds the Lease, which it took after began.
func (c *Chief) lead(ctx context.Context, began time.Time) {
	term, end := context.WithCancel(ctx)
	c.elect(term)
	c.hold(ctx, began)
	end() // before another process can take the Lease
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), electionRetry)
	defer cancel()
	if err := c.candidacy.release(ctx); err != nil {
		c.log.Warn("cannot release the lease of spawners", "lease", c.candidacy.name, "error", err)
	}
}

// hold renews the Lease until the context ends, another process has it, or it could not be renewed in time.
func (c *Chief) hold(ctx context.Context, renewed time.Time) {
	for {
		left := electionRenew - time.Since(renewed)
		if pause(ctx, min(electionRetry, left)); left <= 0 || ctx.Err() != nil {
			return
		}
		began := time.Now()
		if c.try(ctx, electionRenew-began.Sub(renewed)) {
			renewed = began
		} else if !c.candidacy.holds() {
			return
		}
	}
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// elect makes this process the chief until the context ends, which may already be so.
func (c *Chief) elect(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elected = ctx
	close(c.changed)
	c.changed = make(chan struct{})
}

// Await waits until this process is the chief. The returned context ends when it no longer is; release must be called.
func (c *Chief) Await(ctx context.Context) (held context.Context, release func(), err error) {
	for {
		c.mu.Lock()
		elected, changed := c.elected, c.changed
		c.mu.Unlock()
		if elected != nil && elected.Err() == nil {
			held, lose := context.WithCancel(ctx)
			stop := context.AfterFunc(elected, lose)
			return held, func() { stop(); lose() }, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}
