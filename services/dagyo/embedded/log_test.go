package embedded

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// A client that is refused again and again fills no log, and cannot reach the terminal.
func TestRefusalsFillNoLog(t *testing.T) {
	var out bytes.Buffer
	l := newLogger(zerolog.New(&out).Level(zerolog.WarnLevel))
	for range 1000 {
		l.Errorf("%s - Publish Violation - Subject %q", "127.0.0.1", "x")
		l.Errorf("%s - authentication error", "127.0.0.1")
	}
	if n := strings.Count(out.String(), "\n"); n != refusalsPerMinute {
		t.Errorf("%d lines, want %d", n, refusalsPerMinute)
	}
	out.Reset()
	l.Errorf("disk full")
	l.Errorf("\x1b[2J%s", strings.Repeat("x", 10_000))
	if text := out.String(); !strings.Contains(text, "disk full") || strings.Contains(text, "[2J") && strings.ContainsRune(text, 0x1b) || len(text) > 1500 {
		t.Errorf("logged %d bytes: %.200q", len(text), text)
	}
}
