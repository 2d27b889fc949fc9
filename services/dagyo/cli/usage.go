package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dagyo/dagyo/services/dagyo/settings"
)

// helpWidth is the number of columns that flags are wrapped to.
const helpWidth = 80

// globalFlagsHint stands on the help page of every command instead of the global flags.
const globalFlagsHint = `Run "dagyo --help" for global flags such as --server, --output and --log-level.`

// usageTemplate is cobra's, except that flags are wrapped and the global flags are described by the root only.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]{{end}}{{if .Aliases}}

Aliases:
  {{.NameAndAliases}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{if not .Groups}}

Commands:{{range $cmds}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{else}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if (and (eq .GroupID $group.ID) (or .IsAvailableCommand (eq .Name "help")))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

{{if .HasParent}}Flags{{else}}Global flags{{end}}:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableSubCommands}}

Run "{{.CommandPath}} [command] --help" for more information about a command.{{end}}{{if .HasAvailableInheritedFlags}}{{if not .HasAvailableSubCommands}}
{{end}}
` + globalFlagsHint + `{{end}}
`

// helpOfGroups makes --help of a group of commands fail if a command is named that the group does not have. reject is
// called with the error: help functions return none.
func helpOfGroups(root *cobra.Command, reject func(error)) {
	show := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if cmd.HasParent() && cmd.HasSubCommands() {
			if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
				reject(err)
				return
			}
		}
		show(cmd, args)
	})
}

// topic returns a command that prints a text, which is also its help.
func topic(name, short, text string) *cobra.Command {
	show := func(cmd *cobra.Command, _ []string) { fmt.Fprint(cmd.OutOrStdout(), text) }
	cmd := &cobra.Command{Use: name, GroupID: groupTopics, Short: short, Args: cobra.NoArgs, Run: show}
	cmd.SetHelpFunc(show)
	return cmd
}

// unsorted keeps the flags of a command and those below it in the order of their definition: the common ones first.
func unsorted(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	cmd.PersistentFlags().SortFlags = false
	for _, sub := range cmd.Commands() {
		unsorted(sub)
	}
}

// addGroups adds flags to a command, and shows each group under its own title in the help.
func addGroups(cmd *cobra.Command, groups ...settings.Group) {
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.Flags)
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		w := cmd.OutOrStderr()
		fmt.Fprintf(w, "Usage:\n  %s\n\nFlags:\n", cmd.UseLine())
		fmt.Fprint(w, without(cmd.LocalFlags(), groups).FlagUsagesWrapped(helpWidth))
		for _, g := range groups {
			fmt.Fprintf(w, "\n%s:\n%s", g.Title, g.Flags.FlagUsagesWrapped(helpWidth))
		}
		fmt.Fprintf(w, "\n%s\n", globalFlagsHint)
		return nil
	})
}

// without returns the flags that are in none of the groups.
func without(flags *pflag.FlagSet, groups []settings.Group) *pflag.FlagSet {
	rest := pflag.NewFlagSet("", pflag.ContinueOnError)
	rest.SortFlags = false
	flags.VisitAll(func(f *pflag.Flag) {
		for _, g := range groups {
			if g.Flags.Lookup(f.Name) != nil {
				return
			}
		}
		rest.AddFlag(f)
	})
	return rest
}
