package std

import (
	"context"

	"github.com/itchyny/gojq"

	"github.com/dagyo/dagyo/executor"
)

// partition writes the records for which a jq filter is true to one output, and the others to another.
func partition() executor.Program {
	filter := executor.Input("filter", executor.String)
	in := executor.Input("in", jsonText)
	matching, others := executor.Output("matching", jsonText), executor.Output("others", jsonText)
	return executor.Program{
		Ports: []executor.Port{filter, in, matching, others},
		Run: func(ctx context.Context, job *executor.Job) error {
			code, err := filterOf(ctx, job, filter)
			if err != nil {
				return err
			}
			a, b := &branch[jsonRecord]{Out: matching}, &branch[jsonRecord]{Out: others}
			var n int64
			return batches(ctx, job, in, func(records []jsonRecord) error {
				yes, no, failed := divide(ctx, code, records)
				if err := sendBoth(ctx, job, a, yes, b, no); err != nil {
					return err
				}
				n += int64(len(yes) + len(no))
				return atRecord(n, failed)
			})
		},
	}
}

// divide returns the records for which the filter is true, as jq understands it, and the others. At an error, it returns
// those before it.
func divide(ctx context.Context, code *gojq.Code, records []jsonRecord) (yes, no []jsonRecord, err error) {
	for _, r := range records {
		result, err := one(ctx, code, r.value)
		switch {
		case err != nil:
			return yes, no, err
		case result == nil || result == false:
			no = append(no, r)
		default:
			yes = append(yes, r)
		}
	}
	return yes, no, nil
}
