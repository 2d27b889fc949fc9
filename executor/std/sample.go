package std

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/dagyo/dagyo/executor"
)

// sampleOptions are the options of sample.
type sampleOptions struct {
	Every       *int64   `json:"every"`
	Probability *float64 `json:"probability"`
	Seed        *uint64  `json:"seed"`
}

const sampleUsage = `{"every": 10}, {"probability": 0.1} or {"probability": 0.1, "seed": 1}`

// sample writes some of the records: the first of every n, or each with a probability.
func sample() executor.Program {
	given := optionsInput()
	in, out := executor.Input("in", value), executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		var o sampleOptions
		if err := options(ctx, job, given, sampleUsage, &o); err != nil {
			return err
		}
		chosen := o.chooser()
		return selected(ctx, job, in, out, func(n int64, _ []byte) (bool, error) { return chosen(n), nil })
	}, given, in, out)
}

func (o sampleOptions) check() error {
	switch {
	case (o.Every == nil) == (o.Probability == nil):
		return errors.New("it needs either every or probability")
	case o.Every != nil && *o.Every < 1:
		return fmt.Errorf("every is %d; it must be at least 1", *o.Every)
	case o.Every != nil && o.Seed != nil:
		return errors.New("seed is for probability only")
	case o.Probability != nil && (*o.Probability < 0 || *o.Probability > 1):
		return fmt.Errorf("probability is %v; it must be from 0 to 1", *o.Probability)
	}
	return nil
}

// chooser returns a function that reports whether record n is in the sample. It is called once for each record, in order.
func (o sampleOptions) chooser() func(n int64) bool {
	if o.Every != nil {
		return func(n int64) bool { return n%*o.Every == 0 }
	}
	seed := rand.Uint64()
	if o.Seed != nil {
		seed = *o.Seed
	}
	random := rand.New(rand.NewPCG(seed, 0))
	return func(int64) bool { return random.Float64() < *o.Probability }
}
