package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/document"
)

// checkArguments makes all commands refuse wrong arguments in the same words, groups of commands too: without it a
// command that a group does not have prints the group's help and succeeds.
func checkArguments(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		checkArguments(sub)
	}
	check := cmd.Args
	switch {
	case cmd.HasSubCommands() && !cmd.Runnable():
		if cmd.HasParent() {
			cmd.DisableFlagsInUseLine = true
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	case check != nil:
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			return plainly(cmd, args, check(cmd, args))
		}
	}
}

// plainly returns an error about arguments in other words than cobra's.
func plainly(cmd *cobra.Command, args []string, err error) error {
	if err == nil {
		return nil
	}
	line := strings.TrimSuffix(cmd.UseLine(), " [flags]")
	switch text := err.Error(); {
	case strings.HasPrefix(text, "unknown command"):
		return fmt.Errorf("unexpected argument %s: the command takes none", document.Quote(args[0]))
	case strings.HasPrefix(text, "invalid argument"):
		return fmt.Errorf("unexpected argument %s; usage: %s", document.Quote(args[0]), line)
	case strings.Contains(text, "arg(s)"):
		return fmt.Errorf("%s given; usage: %s", document.Count(len(args), "argument"), line)
	}
	return err
}
