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
	"github.com/dagyo/dagyo/services/dagyo/provision"
)

// noRoles is the value of --role for none.
const noRoles = "none"

func (a *app) keysSignInCommand() *cobra.Command {
	var place landlord.Place
	var tenant, out string
	var roles []string
	cmd := &cobra.Command{
		Use: "sign-in", Short: "Let gateways sign persons in, with some roles",
		Long: `Set the roles of which "dagyo gateway --sign-in" may issue credentials to persons
who sign in with a provider. The gateway gets keys for these roles in this tenant,
and no others: in the folder of "dagyo init auth" they are gateway/sign-in.json, in
Kubernetes they are in the Secret dagyo-gateway. With --out they are written to a
file, of all tenants: write it again after "dagyo keys rotate".

With a role that is not among them any more, everybody who has signed in is shut
out at once. Without --role, nothing changes.`,
		Example: "  dagyo keys sign-in --role viewer,user --data /etc/dagyo\n" +
			"  dagyo keys sign-in --tenant acme --role none --data /etc/dagyo",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("role") {
				return a.landlord(cmd.Context(), place, landlord.Open, func(_ context.Context, x *landlord.Landlord) error {
					return a.tellSignIn(x, tenant, out)
				})
			}
			some, err := signInRoles(roles)
			if err != nil {
				return err
			}
			return a.landlord(cmd.Context(), place, landlord.OpenAll, func(ctx context.Context, x *landlord.Landlord) error {
				return a.allowSignIn(ctx, x, tenant, out, some)
			})
		},
	}
	a.placeFlags(cmd, &place)
	f := cmd.Flags()
	f.StringVar(&tenant, "tenant", keyring.DefaultTenant, "tenant to sign in to")
	f.StringSliceVar(&roles, "role", nil, "roles, or "+noRoles+": "+roleNames())
	f.StringVar(&out, "out", "", "file with the keys, to write or replace")
	return cmd
}

func signInRoles(names []string) (out []access.Role, err error) {
	if slices.Equal(names, []string{noRoles}) {
		return nil, nil
	}
	for _, name := range names {
		r := access.Role(name)
		if !slices.Contains(access.Persons(), r) {
			return nil, usage(fmt.Errorf("--role is %q: it must be %s, or some of %s", name, noRoles, roleNames()))
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, usage(errors.New("--role is empty: set it to " + noRoles + " to allow no sign-in"))
	}
	return out, nil
}

func (a *app) allowSignIn(ctx context.Context, x *landlord.Landlord, tenant, out string, roles []access.Role) error {
	if err := x.Keys.AllowSignIn(tenant, roles...); err != nil {
		return err
	}
	if err := x.Publish(ctx, tenant); err != nil {
		return fmt.Errorf("the roles are set, but the server does not know it yet: repeat the command (%w)", err)
	}
	return a.tellSignIn(x, tenant, out)
}

// tellSignIn prints which roles are allowed, and writes the keys to a file.
func (a *app) tellSignIn(x *landlord.Landlord, tenant, out string) error {
	t, err := x.Keys.Tenant(tenant)
	if err != nil {
		return err
	}
	if out != "" {
		if err := provision.WriteSignIn(out, x.Keys); err != nil {
			return err
		}
	}
	if a.json() {
		return a.printJSON(map[string]any{"tenant": tenant, "roles": append([]access.Role{}, t.SignIn...)})
	}
	text := "nobody can sign in to tenant " + tenant
	if len(t.SignIn) > 0 {
		text = "gateways may sign persons in to tenant " + tenant + " as " + strings.Join(namesOf(t.SignIn), ", ")
	}
	_, err = fmt.Fprintln(a.Out, text)
	return err
}

func namesOf(roles []access.Role) []string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return names
}
