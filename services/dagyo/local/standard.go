package local

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// applyStandard applies the standard progdefs that are missing in the catalogue or outdated.
func (l *Local) applyStandard(ctx context.Context) error {
	stored, err := l.client.Catalog(ctx)
	if err != nil {
		return err
	}
	var g errgroup.Group
	for _, s := range outdated(stored) {
		g.Go(func() error {
			_, err := l.client.Apply(ctx, s.Name, s.Document)
			var problems problem.List
			if errors.As(err, &problems) {
				err = fmt.Errorf("rejected by the validator:\n%w", problems)
			}
			if err != nil {
				return fmt.Errorf("standard progdef %s: %w", s.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// outdated returns the standard progdefs that the catalogue lacks, or has in another revision. A progdef that
// runs a different command belongs to the user and is not replaced.
func outdated(stored []progdef.Pinned) []std.Progdef {
	have := make(map[string]progdef.Pinned)
	for _, p := range stored {
		have[p.Document.Name] = p
	}
	return slices.DeleteFunc(std.Standard(), func(s std.Progdef) bool {
		want, _ := progdef.Check(s.Document, document.DefaultLimits())
		p, known := have[s.Name]
		return known && (p.Revision == want.Revision() ||
			!slices.Equal(p.Document.Command, want.Command))
	})
}
