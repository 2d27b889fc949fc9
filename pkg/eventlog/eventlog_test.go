package eventlog

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
)

// Every way in which data is read ends: with the data, with an error for the caller to retry, or because it was slow too
// often. Time without a connection does not count.
func TestInsist(t *testing.T) {
	other := errors.New("refused")
	slow := func(err error) bool { return errors.Is(err, broker.ErrSlow) }
	for name, tt := range map[string]struct {
		answers  []error // the last one is repeated
		away     int     // the calls after which there is no connection
		err      error
		requests int
	}{
		"at once":            {answers: []error{nil}, requests: 1},
		"slow once":          {answers: []error{broker.ErrSlow, nil}, requests: 2},
		"always slow":        {answers: []error{broker.ErrSlow}, err: broker.ErrSlow, requests: dataTries},
		"no connection":      {answers: []error{broker.ErrSlow}, away: 5, err: broker.ErrSlow, requests: 5 + dataTries},
		"for others to try":  {answers: []error{other}, err: other, requests: 1},
		"slow, then refused": {answers: []error{broker.ErrSlow, other}, err: other, requests: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				_, err := insist(t.Context(), func() bool { return requests > tt.away }, func() ([]byte, error) {
					requests++
					return nil, tt.answers[min(requests, len(tt.answers))-1]
				}, slow)
				if !errors.Is(err, tt.err) || requests != tt.requests {
					t.Errorf("%v after %d requests, want %v after %d", err, requests, tt.err, tt.requests)
				}
			})
		})
	}
}

// A service that stops does not wait.
func TestInsistEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := insist(ctx, func() bool { return false }, func() ([]byte, error) { return nil, broker.ErrSlow },
			func(error) bool { return true })
		if !errors.Is(err, broker.ErrSlow) || time.Since(began) > time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
