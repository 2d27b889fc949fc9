package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/dagyo/provision"
	"github.com/dagyo/dagyo/services/dagyo/scaffold"
)

func (a *app) initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init", GroupID: groupOther,
		Short: "Start a project, or prepare an installation",
		Long: `Write a new project with a program in Go or Python, or with a command; or
prepare an installation whose services run by themselves.

A project is complete: a program that replaces e-mail addresses in lines of
text, its progdef, a flow, a test case, a Dockerfile, and the schemas that
editors complete and check the documents with.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(
		a.initProjectCommand(scaffold.Go, "a program in Go"),
		a.initProjectCommand(scaffold.Python, "a program in Python"),
		a.initProjectCommand(scaffold.Command, "any command"),
		a.initAuthCommand(),
	)
	return cmd
}

// initOptions are the flags of `init auth`.
type initOptions struct {
	dir, store            string
	made                  provision.Options
	namespace, kubeconfig string
}

func (a *app) initAuthCommand() *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use: "auth --dir DIR", Short: "Make keys and credentials",
		Long: `Make the keys of an installation, and what is signed with them, in a folder.
Each folder in it is for one reader, and only its owner can read it:

  keys              the keys themselves; whoever has them may do everything
  nats              auth.conf, which the NATS server's configuration includes;
                    with --tls also its certificate
  validator, planner, spawner, panic-aggregator
                    nats.creds for --creds of the service, tenants.json for
                    --tenants; the spawner has executors.json for
                    --executor-keys, too
  publisher         nats.creds for ` + "`dagyo progdef apply`" + `
  platform          tenants.json for ` + "`dagyo platform`" + `
  operator          nats.creds for you

With --tls, all but nats have ca.crt for --tls-ca.

It can be repeated, and is safe to run before each start: what is still valid
stays as it is. "dagyo up" needs none of this.

With --accounts, the NATS server can be told of tenants and of revoked credentials
while it runs: it needs a folder of its own for that, which stays.

--secrets keeps everything but nats in Secrets of a Kubernetes namespace, too,
each with the name dagyo-FOLDER; the folder may then be empty at each start.`,
		Example: "  dagyo init auth --dir /etc/dagyo\n" +
			"  dagyo user add ada --role user --data /etc/dagyo",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := a.untilInterrupt(cmd.Context())
			defer stop()
			return a.initAuth(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "", "folder to write")
	f.StringVar(&o.store, "store", "",
		"store_dir of the NATS server, to prepare it for the accounts: data of version 0.1, which had none, is moved")
	f.StringSliceVar(&o.made.TLS.Names, "tls", nil,
		"names and addresses by which the NATS server is reached: gives it a certificate for them")
	f.StringVar(&o.made.TLS.Dir, "nats-dir", "", "with --tls: the folder nats as the NATS server sees it (default that in --dir)")
	f.StringVar(&o.made.Accounts, "accounts", "", "folder in which the NATS server keeps accounts, as the server sees it (default: it reads them at its start only)")
	f.IntVar(&o.made.Replicas, "replicas", 0, "--replicas of the services: what a tenant may store counts for each (default: as before, at first 1)")
	f.StringVar(&o.namespace, "secrets", "", "namespace with the Secrets")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file (default: that of kubectl, else the cluster of this pod)")
	return cmd
}

func (a *app) initAuth(ctx context.Context, o initOptions) error {
	if o.dir == "" {
		return usage(errors.New("--dir is missing: it is the folder to write"))
	}
	if o.made.TLS.Dir == "" {
		var err error
		if o.made.TLS.Dir, err = filepath.Abs(filepath.Join(o.dir, "nats")); err != nil {
			return err
		}
	}
	done, err := o.provision(ctx)
	if err == nil && o.store != "" {
		err = a.prepareStore(ctx, o)
	}
	if err != nil {
		return err
	}
	return a.tellInit(o.dir, done)
}

// provision writes the folder, and the Secrets.
func (o initOptions) provision(ctx context.Context) (done provision.Report, err error) {
	if o.namespace == "" {
		return provision.Folder(o.dir, o.made)
	}
	secrets, err := provision.Cluster(o.kubeconfig, o.namespace)
	var since provision.Version
	if err == nil {
		since, err = secrets.Fetch(ctx, o.dir)
	}
	if err == nil {
		done, err = provision.Folder(o.dir, o.made)
	}
	if err == nil {
		_, err = secrets.Store(ctx, o.dir, since)
	}
	return done, err
}

// tellInit prints what was done, and no secret.
func (a *app) tellInit(dir string, done provision.Report) error {
	if a.json() {
		return a.printJSON(map[string]any{"dir": dir, "wrote": append([]string{}, done.Wrote...), "kept": append([]string{}, done.Kept...)})
	}
	for _, list := range []struct {
		what  string
		paths []string
	}{{"wrote", done.Wrote}, {"kept", done.Kept}} {
		if len(list.paths) > 0 {
			fmt.Fprintf(a.Out, "%s in %s: %s\n", list.what, dir, strings.Join(list.paths, ", "))
		}
	}
	return nil
}

// prepareStore prepares the NATS server's folder for the account of services. Data of version 0.1 is moved there, unless
// the server still runs.
func (a *app) prepareStore(ctx context.Context, o initOptions) error {
	keys, err := keyring.Open(keyring.In(o.dir))
	if err != nil {
		return err
	}
	accounts, err := keys.Accounts(keyring.DefaultTenant)
	if err != nil {
		return err
	}
	all, err := keys.Tenants()
	if err != nil {
		return err
	}
	for _, t := range all {
		of, err := keys.Accounts(t.Name)
		if err == nil {
			err = local.AnnounceAccount(o.store, of[access.Inside])
		}
		if err != nil {
			return err
		}
	}
	if local.HasOldStreams(o.store) {
		if host, answers := a.answers(ctx); answers {
			return fmt.Errorf("%s has data of version 0.1, and a NATS server is running at %s: stop it first, then start again", o.store, host)
		}
		return local.MoveStreams(o.store, accounts[access.Inside])
	}
	return nil
}

// answers reports whether something listens at one of the addresses of --server.
func (a *app) answers(ctx context.Context) (host string, ok bool) {
	for one := range strings.SplitSeq(a.server, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" {
			continue
		}
		host = u.Host
		if u.Port() == "" {
			host = net.JoinHostPort(u.Hostname(), "4222")
		}
		dialing, cancel := context.WithTimeout(ctx, time.Second)
		conn, err := new(net.Dialer).DialContext(dialing, "tcp", host)
		cancel()
		if err == nil {
			_ = conn.Close()
			return host, true
		}
	}
	return "", false
}
