package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/policyfile"
)

// envPolicy is the default of --policy.
const envPolicy = "DAGYO_POLICY"

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "policy", GroupID: groupServices,
		Short: "Check the admission policy of an installation",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check FILE",
		Short: "Check a policy file and print all problems",
		Long: `Check the policy in FILE (JSON or YAML) as the services check it, and print all
problems. "dagyo schema policy" prints its schema; docs/policy.md explains the
rules.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := policyfile.Open(args[0], false, zerolog.Nop())
			return a.tellChecked("policy", args[0], err)
		},
	})
	return cmd
}

// tellChecked prints the result of checking a file with something of a kind.
func (a *app) tellChecked(kind, path string, err error) error {
	var problems problem.List
	switch {
	case errors.As(err, &problems):
		return a.tellRefused(kind, path, problems)
	case err != nil:
		return wrongPath(err)
	case a.json():
		return a.printJSON(map[string]any{"file": path, "valid": true})
	}
	_, err = fmt.Fprintf(a.Out, "valid: %s\n", path)
	return err
}

// policyFlag adds --policy to a command.
func (a *app) policyFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.policy, "policy", a.Env(envPolicy),
		"file with the admission policy, taken over whenever it changes (environment: "+envPolicy+")")
	cmd.Flags().Lookup("policy").DefValue = ""
}

// openPolicy opens the policy of --policy and follows its changes; nil if there is none. The caller must call stop.
func (a *app) openPolicy(ctx context.Context, onHost bool, log zerolog.Logger) (c *policy.Current, stop func(), err error) {
	if a.policy == "" {
		return nil, func() {}, nil
	}
	f, err := policyfile.Open(a.policy, onHost, log)
	if err != nil {
		return nil, nil, usage(fmt.Errorf("--policy %s: %s", a.policy, policyfile.Explain(err)))
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Watch(ctx)
	}()
	return f.Current(), func() { cancel(); <-done }, nil
}
