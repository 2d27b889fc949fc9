package cli

import (
	"context"
	"errors"
	"testing"
)

func TestShellOutput(t *testing.T) {
	output, err := runShell(t.Context(), t.TempDir(), "echo out; echo err >&2; exit 3")
	if err == nil || err.Error() != "exit status 3" || output != "out\nerr\n" {
		t.Errorf("got %q, %v", output, err)
	}
}

func TestShellEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := runShell(ctx, t.TempDir(), "sleep 1000"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestNearby(t *testing.T) {
	for urls, want := range map[string]bool{
		"nats://127.0.0.1:4222":                   true,
		"localhost, tls://u:p@[::1]:4222":         true,
		"nats://127.0.0.1:4222,nats://nats.local": false,
		"10.0.0.1:4222":                           false,
		"nats://%":                                false,
	} {
		if got := nearby(urls); got != want {
			t.Errorf("%s: got %v", urls, got)
		}
	}
}
