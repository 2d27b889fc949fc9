package policy

import (
	"context"
	"sync"
)

// A Current holds the policy of an installation, which may change at any time. The zero value and nil hold none. It is
// safe for concurrent use.
type Current struct {
	mu     sync.Mutex
	policy *Policy
	// changed is closed by the next change; nil while nothing waits for it.
	changed chan struct{}
}

// NewCurrent returns a Current with a policy.
func NewCurrent(p *Policy) *Current { return &Current{policy: p} }

// Get returns the policy; nil for none.
func (c *Current) Get() *Policy {
	p, _ := c.get()
	return p
}

// get returns the policy, and a channel that is closed when it changes.
func (c *Current) get() (*Policy, <-chan struct{}) {
	if c == nil {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.policy, c.changed
}

// Set replaces the policy.
func (c *Current) Set(p *Policy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policy = p
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// Follow calls f with the policy, and again whenever it has changed, until the context ends.
func (c *Current) Follow(ctx context.Context, f func(*Policy)) error {
	for {
		p, changed := c.get()
		f(p)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
