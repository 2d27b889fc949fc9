package std

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/executor"
)

// ProductLimit is the maximum size of the input, of both ports together, that one job of the product keeps, in bytes.
const ProductLimit = 10_000_000

// cartesianProduct writes every pair of an a and a b as soon as both have arrived. It has to keep all of
// its input, so it panics above ProductLimit.
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
			// Both at once: the writer may finish one input before it begins the other.
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error { return each(ctx, job, a, p.addA) })
			g.Go(func() error { return each(ctx, job, b, p.addB) })
			return g.Wait()
		},
	}
}

// each passes every record of an input to add.
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

// A pairer keeps both sides and sends the new pairs of each record. Its methods may be called
// concurrently; pairs are sent one at a time.
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
		return fmt.Errorf("the inputs have more than %d bytes, and a product keeps them all in memory: "+
			"use smaller inputs", p.limit)
	}
	*side = append(*side, v)
	return nil
}
