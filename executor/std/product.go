package std

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/executor"
)

// ProductLimit is how many octets of input, of both ports together, one job of the product keeps.
const ProductLimit = 10_000_000

// cartesianProduct writes every pair of an a and a b as soon as it knows both. It has to keep all that
// it has read, so it panics beyond ProductLimit.
func cartesianProduct() executor.Program {
	a := executor.Input("a", executor.String)
	b := executor.Input("b", executor.String)
	product := executor.Output("product", executor.String)
	return executor.Program{
		Ports: []executor.Port{a, b, product},
		Run: func(ctx context.Context, job *executor.Job) error {
			p := pairer{limit: ProductLimit, send: func(ctx context.Context, pair string) error {
				return product.Send(ctx, job, pair)
			}}
			// Both at once: whoever feeds us may finish one input before it begins the other.
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error { return each(ctx, job, a, p.addA) })
			g.Go(func() error { return each(ctx, job, b, p.addB) })
			return g.Wait()
		},
	}
}

// each hands every record of an input to add.
func each(
	ctx context.Context, job *executor.Job, in executor.In[string],
	add func(context.Context, string) error,
) error {
	for v, err := range in.All(ctx, job) {
		if err != nil {
			return err
		}
		if err := add(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// A pairer remembers both sides and sends the pairs that each new record makes. Its methods may be
// called concurrently; pairs are sent one at a time.
type pairer struct {
	limit int
	send  func(context.Context, string) error

	mu     sync.Mutex
	as, bs []string
	octets int
}

func (p *pairer) addA(ctx context.Context, a string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.keep(&p.as, a); err != nil {
		return err
	}
	for _, b := range p.bs {
		if err := p.send(ctx, a+" "+b); err != nil {
			return err
		}
	}
	return nil
}

func (p *pairer) addB(ctx context.Context, b string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.keep(&p.bs, b); err != nil {
		return err
	}
	for _, a := range p.as {
		if err := p.send(ctx, a+" "+b); err != nil {
			return err
		}
	}
	return nil
}

func (p *pairer) keep(side *[]string, v string) error {
	if p.octets += len(v); p.octets > p.limit {
		return fmt.Errorf("the inputs hold more than %d octets, and a product has to keep them all: "+
			"make them smaller", p.limit)
	}
	*side = append(*side, v)
	return nil
}
