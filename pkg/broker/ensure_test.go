package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestInsist(t *testing.T) {
	refused := errors.New("refused")
	tests := map[string]struct {
		limit    time.Duration // of the context, 0 for none
		answered int           // the request that is answered, 0 for none
		err      error
		requests int
		after    time.Duration
	}{
		"the first is answered":               {answered: 1, requests: 1},
		"the first is refused":                {answered: 1, err: refused, requests: 1},
		"the first answer is lost":            {answered: 2, requests: 2, after: 500 * time.Millisecond},
		"many answers are lost":               {limit: time.Minute, answered: 8, requests: 8, after: 19500 * time.Millisecond},
		"no answer":                           {err: context.DeadlineExceeded, requests: 4, after: 7500 * time.Millisecond},
		"no answer before the context's end":  {limit: 2 * time.Second, err: context.DeadlineExceeded, requests: 3, after: 2 * time.Second},
		"no answer, and the context is short": {limit: time.Millisecond, err: context.DeadlineExceeded, requests: 1, after: time.Millisecond},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.limit > 0 {
					limited, cancel := context.WithTimeout(ctx, tt.limit)
					defer cancel()
					ctx = limited
				}
				began, requests := time.Now(), 0
				err := Insist(ctx, func(ctx context.Context) error {
					if requests++; requests == tt.answered {
						return tt.err
					}
					<-ctx.Done()
					return ctx.Err()
				})
				if after := time.Since(began); !errors.Is(err, tt.err) || requests != tt.requests || after != tt.after {
					t.Errorf("got %v after %d requests and %v, want %v after %d and %v", err, requests, after, tt.err, tt.requests, tt.after)
				}
			})
		})
	}
}
