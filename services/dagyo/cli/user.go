package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

func (a *app) userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "user", GroupID: groupServices,
		Short: "Issue credentials for the users of this Dagyo",
		Long: `Issue credentials for other people and their programs, signed with the keys of
the Dagyo that "dagyo up" runs. A role says what they may do:

  viewer     read events, the states of flows and the catalogue
  user       also submit, feed, read and cancel flows
  publisher  also change the catalogue: what it publishes is run
  operator   also cancel the flows of others, and skip events`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(a.userAddCommand())
	return cmd
}

func (a *app) userAddCommand() *cobra.Command {
	var data, role, tenant, out string
	var valid time.Duration
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Issue credentials",
		Long: `Write a credentials file for a user. Whoever has the file has the rights. The
name is in everything that the user submits.`,
		Example: "  dagyo user add ada --role user --out ada.creds\n" +
			"  dagyo context add work --server nats://host:4222 --creds ada.creds",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.addUser(data, tenant, out, access.Credential{Role: access.Role(role), Name: args[0]}, valid)
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", a.dataDir(), "data directory of `dagyo up`")
	f.StringVar(&tenant, "tenant", keyring.DefaultTenant, "tenant of the user")
	f.StringVar(&role, "role", string(access.User), "role: "+roleNames())
	f.DurationVar(&valid, "valid", 0, "time for which the credentials are valid; 0 means for ever")
	f.StringVar(&out, "out", "", "file to write, which must not exist (default NAME.creds)")
	return cmd
}

func roleNames() string {
	var names []string
	for _, r := range access.Persons() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

func (a *app) addUser(data, tenant, out string, c access.Credential, valid time.Duration) error {
	if !slices.Contains(access.Persons(), c.Role) {
		return usage(fmt.Errorf("--role is %q: it must be one of %s", c.Role, roleNames()))
	}
	if valid < 0 {
		return usage(errors.New("--valid is negative"))
	}
	if valid > 0 {
		c.Expires = time.Now().Add(valid)
	}
	keys, err := readKeys(data)
	if err != nil {
		return err
	}
	credentials, err := keys.Issue(tenant, c)
	if err != nil {
		return err
	}
	if out == "" {
		out = c.Name + ".creds"
	}
	f, err := os.OpenFile(filepath.Clean(out), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	_, err = f.Write(credentials)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	if a.json() {
		return a.printJSON(map[string]string{"name": c.Name, "tenant": tenant, "role": string(c.Role), "creds": out})
	}
	of := c.Name
	if tenant != keyring.DefaultTenant {
		of += " of tenant " + tenant
	}
	_, err = fmt.Fprintf(a.Out, "credentials of %s, role %s: %s\n", of, c.Role, out)
	return err
}
