package client

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

func TestAServerThatHangsIsExplained(t *testing.T) {
	late := fmt.Errorf("connect to NATS: %w", &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded})
	if got := connectError(late, "nats://here"); !errors.Is(got, late) ||
		!strings.HasPrefix(got.Error(), "the server at nats://here does not answer") {
		t.Error(got)
	}
	if other := errors.New("wrong credentials"); connectError(other, "nats://here") != other {
		t.Error("another error is changed")
	}
}
