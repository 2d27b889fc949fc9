package settings

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// docs/limits.md names every flag, with its default.
func TestLimitsAreDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, g := range Default().All() {
		g.Flags.VisitAll(func(f *pflag.Flag) {
			if row := "| `--" + f.Name + "` | " + f.DefValue + " |"; !strings.Contains(page, row) {
				t.Errorf("docs/limits.md has no row %q", row)
			}
		})
	}
}
