package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/faults/internal/judge"
	"github.com/dagyo/dagyo/tests/faults/internal/load"
	"github.com/dagyo/dagyo/tests/faults/internal/schedule"
	"github.com/dagyo/dagyo/tests/faults/internal/site"
)

// Bounds of what must happen once nothing fails any more.
const (
	verdictWait = 150 * time.Second // until all flows have ended
	canaryWait  = 30 * time.Second
	leftWait    = 60 * time.Second // until nothing of them is stored
)

// play runs a schedule and judges it.
func play(ctx context.Context, dagyo, dir string, s schedule.Schedule) (sum judge.Summary, err error) {
	t, err := site.Start(ctx, dagyo, dir, s)
	defer func() { err = errors.Join(err, t.Close()) }()
	if err != nil {
		return sum, fmt.Errorf("start: %w", err)
	}
	run := judge.Run{Schedule: s, Events: make(map[string][]contract.Event)}
	err = perform(ctx, t, dir, s, &run)
	if errors.Is(err, site.ErrNotHealed) && ctx.Err() == nil {
		return judge.Summary{Findings: []judge.Finding{{Rule: judge.Heals, What: err.Error()}}}, nil
	}
	if err != nil {
		return sum, err
	}
	for _, tenant := range tenants(s) {
		if run.Events[tenant], err = history(ctx, t, tenant); err != nil {
			return sum, fmt.Errorf("the events of %s: %w", tenant, err)
		}
		if err := keepEvents(filepath.Join(dir, "events."+tenant), run.Events[tenant]); err != nil {
			return sum, err
		}
	}
	wait, cancel := context.WithTimeout(ctx, leftWait)
	defer cancel()
	if run.Left, err = t.AwaitNothingLeft(wait); err != nil {
		return sum, err
	}
	run.Killed = t.Killed()
	return judge.Judge(run), nil
}

func tenants(s schedule.Schedule) (all []string) {
	for i := range s.Tenants {
		all = append(all, site.Tenant(i))
	}
	return all
}

// perform submits the flows and makes the faults happen, each at its time; then everything heals, and all flows end.
func perform(ctx context.Context, t *site.Site, dir string, s schedule.Schedule, run *judge.Run) error {
	r := rand.New(rand.NewPCG(s.Seed, 1))
	flows := load.Flows(r, s.Flows, schedule.Length, tenants(s))
	ctx, cancel := context.WithTimeout(ctx, schedule.Length+verdictWait+2*canaryWait)
	defer cancel()
	var mu sync.Mutex
	var faults, clients errgroup.Group
	for _, step := range s.Steps {
		own := rand.New(rand.NewPCG(s.Seed, uint64(step.At)))
		faults.Go(func() error {
			sleep(ctx, step.At)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			began := time.Now()
			err := t.Apply(ctx, step, own)
			mu.Lock()
			defer mu.Unlock()
			run.Steps = append(run.Steps, judge.Step{Step: step, Began: began, End: time.Now()})
			if err != nil {
				return fmt.Errorf("%s: %w", step, err)
			}
			return nil
		})
	}
	begin := func(f *load.Flow) {
		clients.Go(func() error {
			sleep(ctx, f.At)
			res, err := f.Run(ctx, t, filepath.Join(dir, "flows"))
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			run.Results = append(run.Results, res)
			return nil
		})
	}
	for _, f := range flows {
		begin(f)
	}
	if err := faults.Wait(); err != nil {
		cancel()
		return errors.Join(err, clients.Wait())
	}
	if err := t.Heal(ctx); err != nil {
		cancel()
		return errors.Join(err, clients.Wait())
	}
	for i, tenant := range tenants(s) {
		begin(load.Canary(tenant, i))
	}
	if err := clients.Wait(); err != nil {
		return err
	}
	return settle(ctx, t, s)
}

// settle waits until no flow lives.
func settle(ctx context.Context, t *site.Site, s schedule.Schedule) error {
	ctx, cancel := context.WithTimeout(ctx, verdictWait)
	defer cancel()
	for _, tenant := range tenants(s) {
		c, err := connect(ctx, t, tenant)
		if err != nil {
			return err
		}
		err = c.AwaitNoLiveFlows(ctx)
		c.Close()
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil // flows that live have no verdict: that is judged
}

func connect(ctx context.Context, t *site.Site, tenant string) (*client.Client, error) {
	return client.Connect(ctx, client.Options{
		URL: t.Server(), Source: "/faults", Access: broker.Access{Creds: t.Creds(tenant, "operator")},
	})
}

// history reads all events of a tenant.
func history(ctx context.Context, t *site.Site, tenant string) (all []contract.Event, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := connect(ctx, t, tenant)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	last, err := c.Cancel(ctx, "none", "the end of the run") // a dead letter: all events before it are read
	if err != nil {
		return nil, err
	}
	feed, err := c.Follow(ctx, client.Start{Seq: 1})
	if err != nil {
		return nil, err
	}
	defer feed.Close()
	for {
		e, err := feed.Next(ctx)
		if err != nil {
			return nil, err
		}
		if e.Seq >= last {
			return all, nil
		}
		all = append(all, e)
	}
}

// keepEvents writes what is needed to understand a finding: a line for each event.
func keepEvents(file string, all []contract.Event) error {
	var text bytes.Buffer
	for _, e := range all {
		fmt.Fprintf(&text, "%d %s %s %s %s\n", e.Seq, e.Time.Format("15:04:05.000"), e.Type, e.Subject, e.Raw)
	}
	return os.WriteFile(file, text.Bytes(), 0o600)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
