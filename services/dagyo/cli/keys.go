package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/landlord"
)

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", GroupID: groupServices,
		Short: "Replace the keys that sign credentials",
		Long: `Replace the keys that sign the credentials of roles, without an interruption:

  1. "dagyo keys rotate" makes new keys. What the previous ones have signed stays
     valid. Services, and the executors that they start, use the new ones at once,
     on Kubernetes after a minute or two, which they log. Running executors get new
     credentials, except on Kubernetes: only those that are started from then on.
  2. Issue new credentials to users: "dagyo user ls" lists those who have some.
  3. "dagyo keys retire" makes all that the previous keys have signed invalid.

The keys of persons who sign in with a provider are replaced with the role
"` + string(keyring.SignIn) + `", whatever their role is. When the previous ones are retired, these persons
sign in again; the personal tokens that they have made are lost.

If a key is known to somebody else, do all of it at once: "dagyo keys rotate"
followed by "dagyo keys retire --yes".`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(a.keysRotateCommand(), a.keysRetireCommand(), a.keysSignInCommand())
	return cmd
}

// rolesFlag defines the flag that selects roles.
func rolesFlag(cmd *cobra.Command) func() ([]access.Role, error) {
	var names []string
	cmd.Flags().StringSliceVar(&names, "role", nil, "roles (default all): "+strings.Join(allRoles(), ", "))
	return func() ([]access.Role, error) {
		if len(names) == 0 {
			return keyring.Kinds(), nil
		}
		var out []access.Role
		for _, name := range names {
			if !slices.Contains(allRoles(), name) {
				return nil, usage(fmt.Errorf("--role is %q: it must be one of %s", name, strings.Join(allRoles(), ", ")))
			}
			out = append(out, access.Role(name))
		}
		return out, nil
	}
}

func allRoles() []string { return namesOf(keyring.Kinds()) }

func (a *app) keysRotateCommand() *cobra.Command {
	var place landlord.Place
	cmd := &cobra.Command{Use: "rotate", Short: "Make new keys; the previous ones stay valid", Args: cobra.NoArgs}
	roles := rolesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		some, err := roles()
		if err != nil {
			return err
		}
		return a.landlord(cmd.Context(), place, landlord.OpenAll, func(ctx context.Context, x *landlord.Landlord) error {
			return a.rotateKeys(ctx, x, some)
		})
	}
	a.placeFlags(cmd, &place)
	return cmd
}

func (a *app) rotateKeys(ctx context.Context, x *landlord.Landlord, roles []access.Role) error {
	err := x.Keys.Rotate(roles...)
	if errors.Is(err, keyring.ErrRotated) {
		err = fmt.Errorf("%w: `dagyo keys retire` ends that, or choose other roles with --role", err)
		return errors.Join(err, x.Publish(ctx)) // an earlier command may have been cut short
	}
	if err != nil {
		return fmt.Errorf("replace the keys: %w", err)
	}
	if err := x.Publish(ctx); err != nil {
		return fmt.Errorf("the keys are replaced, but the server does not know it: repeat the command, which publishes them (%w)", err)
	}
	wait, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if err := x.AwaitAll(wait); err != nil {
		return fmt.Errorf("the keys are replaced, but not all services use them after %v: see the log of %s (%w)", readyWait, x.Where(), err)
	}
	return a.tellKeys("rotated", "new keys sign the credentials of "+listRoles(roles)+"; the previous ones are valid until `dagyo keys retire`", roles)
}

func listRoles(roles []access.Role) string {
	if len(roles) == len(keyring.Kinds()) {
		return "all roles"
	}
	return strings.Join(namesOf(roles), ", ")
}

func (a *app) tellKeys(state, text string, roles []access.Role) error {
	if a.json() {
		return a.printJSON(map[string]any{"state": state, "roles": append([]access.Role{}, roles...)})
	}
	_, err := fmt.Fprintln(a.Out, text)
	return err
}

func (a *app) keysRetireCommand() *cobra.Command {
	var place landlord.Place
	var yes bool
	cmd := &cobra.Command{
		Use: "retire", Short: "Make all that the previous keys have signed invalid",
		Long: `Make all that the previous keys have signed invalid. A running server closes these
connections at once. If users would lose their credentials, the command lists them
and needs --yes.`,
		Args: cobra.NoArgs,
	}
	roles := rolesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		some, err := roles()
		if err != nil {
			return err
		}
		return a.landlord(cmd.Context(), place, landlord.OpenAll, func(ctx context.Context, x *landlord.Landlord) error {
			return a.retireKeys(ctx, x, some, yes)
		})
	}
	a.placeFlags(cmd, &place)
	cmd.Flags().BoolVar(&yes, "yes", false, "also if users lose their credentials")
	return cmd
}

func (a *app) retireKeys(ctx context.Context, x *landlord.Landlord, roles []access.Role, yes bool) error {
	outdated, err := x.Keys.Outdated(roles...)
	if err != nil {
		return err
	}
	if len(outdated) > 0 && !yes {
		return usage(fmt.Errorf("these users have no other credentials than those that become invalid: %s; issue new ones with `dagyo user add`, or confirm with --yes",
			strings.Join(outdated, ", ")))
	}
	retired, err := x.Keys.Retire(roles...)
	if err == nil {
		err = x.Publish(ctx)
	}
	if err != nil {
		return fmt.Errorf("retire the previous keys: %w", err)
	}
	text := "the previous keys of " + listRoles(retired) + " are not valid any more"
	if len(retired) == 0 {
		text = "there are no previous keys"
	}
	return a.tellKeys("retired", text, retired)
}
