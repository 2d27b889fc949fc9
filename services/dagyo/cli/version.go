package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/service"
)

// A build identifies the build of the command.
type build struct {
	Version string `json:"version"`
	// Commit is the commit of the source, "" if unknown.
	Commit string `json:"commit,omitempty"`
	// Modified is true if the source had uncommitted changes.
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
}

// thisBuild returns the build of the running command. The commit is set by the linker, else by the Go command.
func thisBuild() build {
	b := build{Version: service.Version, Go: runtime.Version()}
	b.Commit, b.Modified = strings.CutSuffix(service.Commit, "-dirty")
	info, ok := debug.ReadBuildInfo()
	if !ok || b.Commit != "" {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	s := fmt.Sprintf("dagyo %s, commit %s", b.Version, cmp.Or(b.Commit, "unknown"))
	if b.Modified {
		s += " with changes"
	}
	return s + ", " + b.Go
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", GroupID: groupOther,
		Short: "Print the version and the commit",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json() {
				return a.printJSON(thisBuild())
			}
			_, err := fmt.Fprintln(a.Out, thisBuild())
			return err
		},
	}
}
