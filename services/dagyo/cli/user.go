package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/landlord"
	"github.com/dagyo/dagyo/services/dagyo/platform"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "user", GroupID: groupServices,
		Short: "Issue credentials for the users of this Dagyo",
		Long: `Issue credentials for other people and their programs, signed with the keys of
the Dagyo that "dagyo up" runs, or those that "dagyo init auth" has made. A role
says what they may do:

  viewer     read events, the states of flows and the catalogue
  user       also submit, feed, read and cancel flows
  publisher  also change the catalogue: what it publishes is run
  operator   also cancel the flows of others, and skip events`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(a.userAddCommand(), a.userListCommand(), a.userRevokeCommand())
	return cmd
}

// userOptions are the flags of `user add`, but for the role.
type userOptions struct {
	place       landlord.Place
	tenant, out string
	valid       time.Duration
}

func (a *app) userAddCommand() *cobra.Command {
	o := userOptions{}
	var role string
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Issue credentials",
		Long: `Write a credentials file for a user. Whoever has the file has the rights. The
name is in everything that the user submits. If the server has a certificate of
"dagyo init auth", the file ends with what to verify it with (--tls-ca).

A user may have any number of credentials. "dagyo user revoke" makes all of them
invalid.`,
		Example: "  dagyo user add ada --role user --out ada.creds\n" +
			"  dagyo context add work --server nats://host:4222 --creds ada.creds\n" +
			"  dagyo context use work",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.landlord(cmd.Context(), o.place, landlord.OpenToChange, func(ctx context.Context, x *landlord.Landlord) error {
				return a.addUser(ctx, x, o, access.Credential{Role: access.Role(role), Name: args[0]})
			})
		},
	}
	a.placeFlags(cmd, &o.place)
	f := cmd.Flags()
	f.StringVar(&o.tenant, "tenant", keyring.DefaultTenant, "tenant of the user")
	f.StringVar(&role, "role", string(access.User), "role: "+roleNames())
	f.DurationVar(&o.valid, "valid", 0, "time for which the credentials are valid; 0 means for ever")
	f.StringVar(&o.out, "out", "", "file to write, which must not exist; - is standard output (default NAME.creds)")
	return cmd
}

func roleNames() string {
	var names []string
	for _, r := range access.Persons() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

func (a *app) addUser(ctx context.Context, x *landlord.Landlord, o userOptions, c access.Credential) error {
	if !slices.Contains(access.Persons(), c.Role) {
		return usage(fmt.Errorf("--role is %q: it must be one of %s", c.Role, roleNames()))
	}
	if c.Name == platform.User {
		return usage(fmt.Errorf("the name %q is reserved: it marks copies of the platform's progdefs", c.Name))
	}
	if strings.HasPrefix(c.Name, access.SignInPrefix) {
		return usage(fmt.Errorf("the name %q begins with %q: such names are those of persons who sign in with a provider", c.Name, access.SignInPrefix))
	}
	if o.valid < 0 {
		return usage(errors.New("--valid is negative"))
	}
	if o.valid > 0 {
		c.Expires = time.Now().Add(o.valid)
	}
	out, err := a.credentialsFile(o.out, c.Name)
	if err != nil {
		return err
	}
	credentials, err := x.Keys.AddUser(o.tenant, c)
	if err == nil {
		err = x.Keep(ctx)
	}
	var ca []byte
	if err == nil {
		ca, err = x.Authority()
	}
	if err != nil {
		return errors.Join(err, out.discard())
	}
	if err := out.write(append(credentials, ca...)); err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	if out.File == nil {
		return nil
	}
	if a.json() {
		return a.printJSON(map[string]string{"name": c.Name, "tenant": o.tenant, "role": string(c.Role), "creds": out.Name()})
	}
	_, err = fmt.Fprintf(a.Out, "credentials of %s, role %s: %s\n", userOf(c.Name, o.tenant), c.Role, out.Name())
	return err
}

// userOf names a user, with the tenant if that is not the default one.
func userOf(name, tenant string) string {
	if tenant != keyring.DefaultTenant {
		return name + " of tenant " + tenant
	}
	return name
}

// A credentialsFile is a new file for credentials, or standard output.
type credentialsFile struct {
	*os.File
	to io.Writer
}

// credentialsFile opens a file that does not exist yet: credentials that could not be written would be lost.
func (a *app) credentialsFile(path, user string) (credentialsFile, error) {
	if path == "-" {
		return credentialsFile{to: a.Out}, nil
	}
	if path == "" {
		path = user + ".creds"
	}
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return credentialsFile{}, fmt.Errorf("write the credentials: %w", err)
	}
	return credentialsFile{f, f}, nil
}

func (f credentialsFile) write(content []byte) error {
	_, err := f.to.Write(content)
	if f.File != nil {
		err = errors.Join(err, f.Close())
	}
	return err
}

func (f credentialsFile) discard() error {
	if f.File == nil {
		return nil
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (a *app) userListCommand() *cobra.Command {
	var place landlord.Place
	var tenant string
	cmd := &cobra.Command{
		Use: "ls", Short: "List the credentials that are valid",
		Long: `List the credentials of users that "dagyo user add" has issued and that are valid:
neither expired nor revoked, nor signed with keys that were retired.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.landlord(cmd.Context(), place, landlord.Open, func(_ context.Context, x *landlord.Landlord) error {
				all, err := x.Keys.Users(tenant)
				if err != nil {
					return err
				}
				return a.printUsers(all)
			})
		},
	}
	a.placeFlags(cmd, &place)
	cmd.Flags().StringVar(&tenant, "tenant", keyring.DefaultTenant, "tenant of the users")
	return cmd
}

func (a *app) printUsers(all []keyring.User) error {
	if a.json() {
		return a.printJSON(append([]keyring.User{}, all...))
	}
	rows := make([][]string, len(all))
	for i, u := range all {
		expires := "never"
		if !u.Expires.IsZero() {
			expires = u.Expires.Local().Format(time.DateTime)
		}
		rows[i] = []string{shorten(u.Name, 24), string(u.Role), u.Issued.Local().Format(time.DateTime), expires, u.Key[:9] + "…"}
	}
	report.Table(a.Out, []string{"USER", "ROLE", "ISSUED", "EXPIRES", "KEY"}, rows)
	return nil
}

func (a *app) userRevokeCommand() *cobra.Command {
	var place landlord.Place
	var tenant string
	var roles []string
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: "Make the credentials of a user invalid",
		Long: `Make all credentials of a user invalid that "dagyo user add" has issued, or those
of some roles. A running server closes their connections at once. Flows of the
user go on; "dagyo cancel --operator" ends them. New credentials can be issued
under the same name.

Of a person who signs in with a provider (the name begins with "` + access.SignInPrefix + `"), all
sessions and personal tokens become invalid. A minute later the person can sign in
again, unless the provider or the rules of sign-in refuse it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			some := make([]access.Role, len(roles))
			for i, r := range roles {
				if some[i] = access.Role(r); !slices.Contains(access.Persons(), some[i]) {
					return usage(fmt.Errorf("--role is %q: it must be one of %s", r, roleNames()))
				}
			}
			return a.landlord(cmd.Context(), place, landlord.OpenAll, func(ctx context.Context, x *landlord.Landlord) error {
				return a.revokeUser(ctx, x, tenant, args[0], some)
			})
		},
	}
	a.placeFlags(cmd, &place)
	cmd.Flags().StringVar(&tenant, "tenant", keyring.DefaultTenant, "tenant of the user")
	cmd.Flags().StringSliceVar(&roles, "role", nil, "roles of the credentials (default all): "+roleNames())
	return cmd
}

func (a *app) revokeUser(ctx context.Context, x *landlord.Landlord, tenant, name string, roles []access.Role) error {
	revoked, err := x.Keys.Revoke(tenant, name, roles...)
	if errors.Is(err, keyring.ErrNoUser) {
		return errors.Join(&exit{ExitNotFound, err}, x.Publish(ctx, tenant)) // the server may not know of an earlier revocation
	}
	if err != nil {
		return err
	}
	if err := x.Publish(ctx, tenant); err != nil {
		return fmt.Errorf("the credentials of %s are marked as revoked, but the server does not know it yet: repeat the command (%w)", name, err)
	}
	if a.json() {
		return a.printJSON(revoked)
	}
	when := ""
	if !x.Running() {
		when = ", from the next `dagyo up` on"
	}
	what := document.Count(len(revoked), "credential")
	if revoked[len(revoked)-1].SignIn {
		what = "all sessions, personal tokens and credentials"
	}
	_, err = fmt.Fprintf(a.Out, "revoked %s of %s%s\n", what, userOf(name, tenant), when)
	return err
}
