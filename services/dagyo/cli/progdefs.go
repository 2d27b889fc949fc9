package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/progdefs"
)

// readProgdefs reads the progdefs in folders, and prints the problems of each file.
func (a *app) readProgdefs(dirs []string) (all []progdefs.Progdef, err error) {
	var errs []error
	for _, dir := range dirs {
		files, err := progdefs.Find(dir)
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("%s has no documents: progdefs are in *.yaml, *.yml and *.json", dir)
		}
		if err != nil {
			errs = append(errs, usage(fmt.Errorf("--progdefs: %w", err)))
		}
		for _, path := range files {
			some, err := progdefs.ReadFile(path)
			var problems problem.List
			switch {
			case errors.As(err, &problems):
				errs = append(errs, a.tellRefused("progdef", path, problems))
			case err != nil:
				errs = append(errs, err)
			}
			all = append(all, some...)
		}
	}
	return all, errors.Join(errs...)
}

// publishProgdefs applies progdefs, unless a signal arrives. It prints what it changed on a server that stays, and each
// progdef that is rejected.
func (a *app) publishProgdefs(
	ctx context.Context, c *client.Client, all []progdefs.Progdef, interrupted <-chan struct{},
) error {
	if len(all) == 0 {
		return nil
	}
	ctx, stop := until(ctx, interrupted)
	defer stop()
	p, err := a.newApplier(ctx, c)
	if err != nil {
		return err
	}
	return p.publishAll(ctx, all, func(_ progdefs.Progdef, done appliedProgdef) {
		if !a.temporary {
			fmt.Fprintln(a.Err, done)
		}
	})
}

// publishAll applies progdefs, each after those that its flow uses. It prints each that is rejected, and passes on the others.
// In a temporary Dagyo, they may replace standard progdefs.
func (p *applier) publishAll(
	ctx context.Context, all []progdefs.Progdef, applied func(progdefs.Progdef, appliedProgdef),
) error {
	p.replace = p.temporary
	var errs []error
	for _, each := range progdefs.Ordered(all) {
		done, err := p.publish(ctx, each.Document, each.File)
		var problems problem.List
		switch {
		case errors.As(err, &problems):
			errs = append(errs, p.tellRefused("progdef", each.Title(), each.Locate(problems)))
		case err != nil:
			return fmt.Errorf("apply %s: %w", each.Title(), err)
		default:
			applied(each, done)
		}
	}
	return errors.Join(errs...)
}
