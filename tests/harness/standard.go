//go:build std

package harness

import (
	"testing"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/executor/std"
)

func standard(name string) {
	for _, s := range std.Standard() {
		if s.Name == name {
			executor.Main(s.Program)
		}
	}
}

// ApplyStandard puts all standard progdefs into the catalogue.
func (c *Client) ApplyStandard(t testing.TB) {
	t.Helper()
	for _, s := range std.Standard() {
		c.Apply(t, string(s.Document))
	}
}
