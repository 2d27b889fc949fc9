package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// applyStandard applies the standard progdefs that are missing in the catalogue or outdated, as far as the policy offers
// them. One that the policy refuses nevertheless is left out.
func (l *Local) applyStandard(ctx context.Context, c *client.Client) error {
	stored, err := c.Catalog(ctx)
	if err != nil {
		return err
	}
	rules := l.config.Services.Validator.Policy.Get()
	offered, err := Offered(rules)
	if err != nil {
		return err
	}
	var g errgroup.Group
	for _, s := range outdated(offered, stored, rules) {
		g.Go(func() error {
			_, err := c.Apply(ctx, s.Name, s.Document)
			var problems problem.List
			switch {
			case err == nil:
				return nil
			case !errors.As(err, &problems):
				return fmt.Errorf("standard progdef %s: %w", s.Name, err)
			case policy.Refused(problems):
				l.config.Log.Warn().Str("progdef", s.Name).Str("problem", problems[0].String()).
					Msg("the policy refuses a standard progdef, which is not offered")
				return nil
			}
			return fmt.Errorf("standard progdef %s: rejected by the validator:\n%w", s.Name, problems)
		})
	}
	return g.Wait()
}

// Offered returns the standard progdefs that a policy offers, with a scaling within its limits.
func Offered(p *policy.Policy) ([]std.Progdef, error) {
	var out []std.Progdef
	for _, s := range std.Standard() {
		if !p.Offers(s.Name) {
			continue
		}
		var err error
		if s.Document, err = fit(s.Document, p); err != nil {
			return nil, fmt.Errorf("standard progdef %s: %w", s.Name, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// fit returns a document with a scaling within the limits of a policy.
func fit(raw []byte, p *policy.Policy) ([]byte, error) {
	doc, problems := progdef.Check(raw, document.DefaultLimits())
	if len(problems) > 0 {
		return nil, problems
	}
	scaling := p.Fit(doc.Scaling)
	if scaling == doc.Scaling {
		return raw, nil
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	fields["scaling"] = scaling
	return json.Marshal(fields)
}

// outdated returns the standard progdefs that the catalogue lacks, or has in another revision or in a form that the
// policy refuses. A progdef that runs a different command belongs to the user and is not replaced.
func outdated(offered []std.Progdef, stored []contract.Published, rules *policy.Policy) []std.Progdef {
	have := make(map[string]progdef.Pinned)
	for _, p := range stored {
		have[p.Document.Name] = p.Pinned
	}
	return slices.DeleteFunc(offered, func(s std.Progdef) bool {
		want, _ := progdef.Check(s.Document, document.DefaultLimits())
		p, known := have[s.Name]
		return known && (p.Revision == want.Revision() && len(rules.Refuses(p.Document)) == 0 ||
			!slices.Equal(p.Document.Command, want.Command))
	})
}
