package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/services/dagyo/scaffold"
)

// projectOptions are the flags of `init go`, `init python` and `init command`.
type projectOptions struct{ name, sdk string }

func (a *app) initProjectCommand(kind scaffold.Kind, what string) *cobra.Command {
	var o projectOptions
	cmd := &cobra.Command{
		Use: string(kind) + " [DIR]", Short: "Start a project with " + what,
		Long: "Write a project with " + what + `
into the folder DIR, by default the current one: a program, its progdef, a flow,
a test case and a Dockerfile. Its README.md has the commands to build, test and
run it. An existing file is never overwritten.`,
		Example: fmt.Sprintf("  dagyo init %s redact", kind),
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return a.initProject(scaffold.Project{Kind: kind, Dir: dir, Name: o.name, SDK: o.sdk})
		},
		ValidArgsFunction: folders,
	}
	cmd.Flags().StringVar(&o.name, "name", "", "name of the progdef (default: that of the folder)")
	if kind != scaffold.Command {
		cmd.Long += `

The SDK is not published yet. The project takes it from a checkout of Dagyo:
that of --sdk, else the one that contains DIR or this program.`
		cmd.Flags().StringVar(&o.sdk, "sdk", "", "folder of a checkout of Dagyo")
	}
	return cmd
}

func (a *app) initProject(p scaffold.Project) error {
	full, err := filepath.Abs(p.Dir)
	if err != nil {
		return err
	}
	if p.Name == "" {
		p.Name = strings.ToLower(filepath.Base(full))
	}
	if p.Kind != scaffold.Command {
		if p.SDK, err = sdkFor(p.SDK, full); err != nil {
			return usage(err)
		}
	}
	files, err := scaffold.Write(p)
	if err != nil {
		return usage(err)
	}
	if a.json() {
		return a.printJSON(map[string]any{"dir": p.Dir, "progdef": p.Name, "sdk": p.SDK, "files": files})
	}
	for _, file := range files {
		fmt.Fprintln(a.Out, filepath.Join(p.Dir, file))
	}
	_, err = fmt.Fprintf(a.Out, "\nNext: read %s; it has the commands to build, test and run it.\n", filepath.Join(p.Dir, "README.md"))
	return err
}

// sdkFor returns the path of the checkout of Dagyo as a project in a folder names it: as the user did, relative to the
// project, or else absolute, unless the project is in the checkout.
func sdkFor(chosen, project string) (string, error) {
	if filepath.IsAbs(chosen) {
		return chosen, scaffold.CheckSDK(chosen)
	}
	if chosen != "" {
		full, err := filepath.Abs(chosen)
		if err == nil {
			err = scaffold.CheckSDK(full)
		}
		if err != nil {
			return "", err
		}
		return filepath.Rel(project, full)
	}
	if found, err := scaffold.FindSDK(project); err == nil {
		return filepath.Rel(project, found)
	}
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return scaffold.FindSDK(filepath.Dir(program))
}
