package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/services/dagyo/contexts"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

const envContext = "DAGYO_CONTEXT"

func (a *app) contexts() contexts.Store { return contexts.Home(a.Env) }

// locate finds out which server to use, and with which credentials: those of --server, of --context, or of the selected
// context. Flags and variables with credentials come before those of a context.
func (a *app) locate() error {
	if a.connects {
		return nil
	}
	a.connects = true
	store := a.contexts()
	if a.explicit {
		if c, ok := store.For(a.server); ok && a.access == (broker.Access{}) {
			a.access = c.Access
		}
		return nil
	}
	name := a.context
	if name == "" {
		var err error
		if name, err = store.Selected(); err != nil || name == "" {
			return err
		}
	}
	c, err := store.Load(name)
	if err != nil {
		if a.context == "" && errors.Is(err, contexts.ErrUnknown) {
			return nil // it was removed by another command
		}
		return err
	}
	if _, err := os.Stat(c.Access.Creds); a.context == "" && c.Access.Creds != "" && errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(a.Err, "dagyo: the selected context %q is not used, because its credentials %s do not exist; remove it with `dagyo context rm %s`\n",
			name, c.Access.Creds, name)
		return nil
	}
	a.explicit = a.context != ""
	a.server = cmp.Or(c.URL, client.DefaultURL)
	a.access = broker.Access{
		Creds: cmp.Or(a.access.Creds, c.Access.Creds), CA: cmp.Or(a.access.CA, c.Access.CA),
		Cert: cmp.Or(a.access.Cert, c.Access.Cert), Key: cmp.Or(a.access.Key, c.Access.Key),
	}
	return nil
}

func (a *app) contextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "context", GroupID: groupOther,
		Short: "Name servers with their credentials, and select one",
		Long: `A context is a name for the address of a server with the credentials to use
there. Without --server, commands use the context that --context or the
environment variable ` + envContext + ` names, or else the selected one.
"dagyo up" adds a context, and selects it if none is selected.

The nats command shares the contexts, but keeps its own selection.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(a.contextListCommand(), a.contextUseCommand(), a.contextAddCommand(), a.contextRemoveCommand())
	return cmd
}

// A contextLine is a context in JSON output; it contains no secrets.
type contextLine struct {
	Name        string `json:"name"`
	Server      string `json:"server"`
	Creds       string `json:"creds,omitempty"`
	Description string `json:"description,omitempty"`
	Selected    bool   `json:"selected"`
	Error       string `json:"error,omitempty"`
}

func (a *app) contextListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List all contexts", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			lines, err := a.contextLines()
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(lines)
			}
			rows := make([][]string, len(lines))
			for i, l := range lines {
				mark := ""
				if l.Selected {
					mark = "*"
				}
				rows[i] = []string{mark, l.Name, l.Server, cmp.Or(l.Error, l.Description)}
			}
			report.Table(a.Out, []string{"", "NAME", "SERVER", "DESCRIPTION"}, rows)
			return nil
		},
	}
}

func (a *app) contextLines() ([]contextLine, error) {
	store := a.contexts()
	names, err := store.Names()
	if err != nil {
		return nil, err
	}
	selected, err := store.Selected()
	lines := make([]contextLine, len(names))
	for i, name := range names {
		c, err := store.Load(name)
		lines[i] = contextLine{
			Name: name, Server: broker.Redact(c.URL), Creds: c.Access.Creds, Description: c.Description, Selected: name == selected,
		}
		if err != nil {
			lines[i].Error = err.Error()
		}
	}
	return lines, err
}

func (a *app) contextNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names, _ := a.contexts().Names()
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Select a context", Args: cobra.ExactArgs(1), ValidArgsFunction: a.contextNames,
		RunE: func(_ *cobra.Command, args []string) error { return a.contexts().Select(args[0]) },
	}
}

func (a *app) contextRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Remove a context", Args: cobra.ExactArgs(1), ValidArgsFunction: a.contextNames,
		RunE: func(_ *cobra.Command, args []string) error { return a.contexts().Remove(args[0]) },
	}
}

func (a *app) contextAddCommand() *cobra.Command {
	var description string
	var replace bool
	cmd := &cobra.Command{
		Use: "add NAME --server URL [--creds FILE]", Short: "Add a context",
		Long: `Add a context with the address that --server names, and the files that --creds
and the --tls flags name. The first context is selected.

--creds - reads the credentials from standard input and keeps them with the
context.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !a.explicit {
				return usage(errors.New("--server is missing: it is the address of the context"))
			}
			names, err := a.contexts().Names()
			if err != nil {
				return err
			}
			if slices.Contains(names, args[0]) && !replace {
				return fmt.Errorf("context %q already exists: --replace replaces it", args[0])
			}
			c := contexts.Context{Name: args[0], URL: a.server, Description: description, Access: a.access}
			if err := a.keepFiles(&c); err != nil {
				return err
			}
			if err := absolute(&c.Access); err != nil {
				return err
			}
			holder, ok, err := c.Access.Holder(nil)
			if err != nil {
				return err
			}
			if ok {
				c.Inbox = holder.Inbox()
			}
			return a.addContext(c)
		},
	}
	cmd.Flags().StringVar(&description, "description", "", "a line about it")
	cmd.Flags().BoolVar(&replace, "replace", false, "replace a context with this name")
	return cmd
}

// credentialsLimit bounds a credentials file, in bytes.
const credentialsLimit = 64 << 10

// keepFiles stores with the context what has no file of its own: credentials from standard input, and the authorities to
// verify the server with, if the credentials end with them.
func (a *app) keepFiles(c *contexts.Context) (err error) {
	var content []byte
	switch c.Access.Creds {
	case "":
		return nil
	case "-":
		if content, err = io.ReadAll(io.LimitReader(a.In, credentialsLimit)); err != nil {
			return fmt.Errorf("read the credentials from standard input: %w", err)
		}
		if _, _, err := (broker.Access{}).Holder(content); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		c.Access.Creds, err = a.contexts().Keep(c.Name, contexts.Credentials, content)
	default:
		content, err = os.ReadFile(c.Access.Creds)
	}
	if at := bytes.Index(content, []byte("-----BEGIN CERTIFICATE-----")); err == nil && at >= 0 && c.Access.CA == "" {
		c.Access.CA, err = a.contexts().Keep(c.Name, contexts.Authorities, content[at:])
	}
	return err
}

// addContext stores a context, and selects it if none is selected.
func (a *app) addContext(c contexts.Context) error {
	store := a.contexts()
	if err := store.Save(c); err != nil {
		return err
	}
	selected, err := store.Selected()
	if err == nil && selected != "" {
		_, err = store.Load(selected)
		if err == nil {
			return nil
		}
	}
	if err != nil && !errors.Is(err, contexts.ErrUnknown) {
		return err
	}
	return store.Select(c.Name)
}

// absolute makes the paths independent of the working directory.
func absolute(x *broker.Access) (err error) {
	for _, path := range []*string{&x.Creds, &x.CA, &x.Cert, &x.Key} {
		if *path != "" && err == nil {
			*path, err = filepath.Abs(*path)
		}
	}
	return err
}
