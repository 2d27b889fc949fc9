package kubernetes

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// The times of an election: a chief that is gone is replaced after electionLease, one that cannot renew gives up before.
const (
	electionLease = 15 * time.Second
	electionRenew = 10 * time.Second
	electionRetry = 2 * time.Second
)

// A Chief elects, among the spawners of an installation, the one that leads all tenants: they share the places for
// executors, and one process must divide them.
type Chief struct {
	elector *leaderelection.LeaderElector

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
	client, err := kubernetes.NewForConfig(cfg.REST)
	if err != nil {
		return nil, err
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, cfg.Namespace, "dagyo-spawner-"+labelText(cfg.Place),
		client.CoreV1(), client.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: identity})
	if err != nil {
		return nil, err
	}
	c := &Chief{changed: make(chan struct{})}
	c.elector, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: electionLease, RenewDeadline: electionRenew, RetryPeriod: electionRetry,
		ReleaseOnCancel: true, Name: "dagyo-spawner",
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: c.elect,
			OnStoppedLeading: func() {}, // the context of OnStartedLeading has ended
		},
	})
	return c, err
}

// Run takes part in elections until the context ends.
func (c *Chief) Run(ctx context.Context) {
	for ctx.Err() == nil {
		c.elector.Run(ctx) // until it has lost
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
