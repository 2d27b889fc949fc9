package cli

import (
	"context"
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
	"github.com/dagyo/dagyo/services/dagyo/provision"
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
	cmd.AddCommand(a.userAddCommand())
	return cmd
}

// userOptions are the flags of `user add`, but for the role.
type userOptions struct {
	data, tenant, out     string
	namespace, kubeconfig string
	valid                 time.Duration
}

func (a *app) userAddCommand() *cobra.Command {
	o := userOptions{}
	var role string
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Issue credentials",
		Long: `Write a credentials file for a user. Whoever has the file has the rights. The
name is in everything that the user submits. If the server has a certificate of
"dagyo init auth", the file ends with what to verify it with (--tls-ca).`,
		Example: "  dagyo user add ada --role user --out ada.creds\n" +
			"  dagyo context add work --server nats://host:4222 --creds ada.creds",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := a.untilInterrupt(cmd.Context())
			defer stop()
			return a.addUser(ctx, o, access.Credential{Role: access.Role(role), Name: args[0]})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", a.dataDir(), "data directory of `dagyo up`, or the folder of `dagyo init auth`")
	f.StringVar(&o.tenant, "tenant", keyring.DefaultTenant, "tenant of the user")
	f.StringVar(&role, "role", string(access.User), "role: "+roleNames())
	f.StringVar(&o.namespace, "secrets", "", "namespace of Kubernetes with the Secret of the keys, instead of --data")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file (default: that of kubectl)")
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

func (a *app) addUser(ctx context.Context, o userOptions, c access.Credential) error {
	if !slices.Contains(access.Persons(), c.Role) {
		return usage(fmt.Errorf("--role is %q: it must be one of %s", c.Role, roleNames()))
	}
	if o.valid < 0 {
		return usage(errors.New("--valid is negative"))
	}
	if o.valid > 0 {
		c.Expires = time.Now().Add(o.valid)
	}
	credentials, err := o.issue(ctx, c)
	if err != nil {
		return err
	}
	if o.out == "-" {
		_, err = a.Out.Write(credentials)
		return err
	}
	if o.out == "" {
		o.out = c.Name + ".creds"
	}
	f, err := os.OpenFile(filepath.Clean(o.out), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	_, err = f.Write(credentials)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	if a.json() {
		return a.printJSON(map[string]string{"name": c.Name, "tenant": o.tenant, "role": string(c.Role), "creds": o.out})
	}
	of := c.Name
	if o.tenant != keyring.DefaultTenant {
		of += " of tenant " + o.tenant
	}
	_, err = fmt.Fprintf(a.Out, "credentials of %s, role %s: %s\n", of, c.Role, o.out)
	return err
}

// issue signs credentials with the keys in the data directory, or in a Secret.
func (o userOptions) issue(ctx context.Context, c access.Credential) (credentials []byte, err error) {
	if o.namespace != "" {
		if o.data, err = os.MkdirTemp("", "dagyo-keys-"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.data)) }()
		var secrets provision.Secrets
		if secrets, err = provision.Cluster(o.kubeconfig, o.namespace); err == nil {
			err = secrets.FetchKeys(ctx, o.data)
		}
		if err != nil {
			return nil, err
		}
	}
	keys, err := keyring.Find(o.data)
	if errors.Is(err, keyring.ErrNoKeys) && o.namespace != "" {
		err = fmt.Errorf("there are no keys in the namespace %s: they are made when Dagyo first starts there", o.namespace)
	}
	if err != nil {
		return nil, err
	}
	if credentials, err = keys.Issue(o.tenant, c); err != nil {
		return nil, err
	}
	ca, err := provision.Authority(o.data)
	return append(credentials, ca...), err
}
