package cli

import (
	"bytes"
	"errors"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
)

// An error of an output that comes behind the verdict decides the exit code; nothing is cancelled.
func TestAnErrorBehindTheVerdictCancelsNothing(t *testing.T) {
	var stderr bytes.Buffer
	f := &follower{
		app: &app{Invocation: Invocation{Err: &stderr}}, verdict: contract.Event{Type: contract.TypeFlowCompleted},
	}
	full := errors.New("no space left on device")
	f.abort(t.Context(), full)
	if f.aborted != full || f.stored != nil || stderr.Len() > 0 {
		t.Errorf("aborted %v, %q", f.aborted, stderr.String())
	}
}
