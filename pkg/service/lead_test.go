package service

import (
	"errors"
	"testing"

	"github.com/dagyo/dagyo/pkg/service/core"
)

// A lease that expires for a moment and is renewed must not leave an effect undone.
func TestTransientErrors(t *testing.T) {
	defect := errors.New("defect")
	for _, tt := range []struct {
		err       error
		connected bool
		want      bool
	}{
		{core.ErrFenced, true, true}, {defect, true, false}, {defect, false, true}, {nil, false, false},
	} {
		if got := errors.Is(passing(tt.err, tt.connected), core.ErrUnavailable); got != tt.want {
			t.Errorf("%v, connected %v: passing %v", tt.err, tt.connected, got)
		}
	}
}
