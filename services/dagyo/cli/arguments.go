package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/document"
)

// checkArguments makes all commands reject wrong arguments in the same words. A group of commands prints its help if no
// command of it is named.
func checkArguments(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		checkArguments(sub)
	}
	check := cmd.Args
	switch {
	case !cmd.HasParent():
	case cmd.Name() == "help":
		cmd.Args = helpTopic
	case !cmd.Runnable():
		cmd.DisableFlagsInUseLine = true
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	case check != nil:
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			return plainly(cmd, args, check(cmd, args))
		}
	}
}

// helpTopic checks that the arguments of help are a command.
func helpTopic(cmd *cobra.Command, args []string) error {
	if _, rest, err := cmd.Root().Find(args); err != nil || len(rest) > 0 {
		return fmt.Errorf("unknown help topic %s", document.Quote(strings.Join(args, " ")))
	}
	return nil
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
