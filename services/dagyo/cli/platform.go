package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/platform"
)

// platformName is the name of the command, for logs.
const platformName = "platform"

func (a *app) platformCommand() *cobra.Command {
	var tenants string
	cmd := &cobra.Command{
		Use: platformName + " --tenants FILE", GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       "Keep the platform's progdefs in the catalogues of tenants",
		Long: `The platform publishes progdefs in the tenant "` + keyring.DefaultTenant + `". Every other tenant gets
copies of the standard progdefs in there, and of those that "dagyo tenant limits
--progdefs" lets it use. The copies follow the originals, and are by the user
"` + platform.User + `"; what a tenant has published itself stays.

"dagyo up" does that by itself. One process of it is enough; it runs until SIGTERM
or SIGINT.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if tenants == "" {
				return usage(errors.New("--tenants is missing: it is the file platform/tenants.json of `dagyo init auth`"))
			}
			return a.keepPlatform(cmd.Context(), tenants)
		},
	}
	cmd.Flags().StringVar(&tenants, "tenants", "", "file platform/tenants.json of \"dagyo init auth\"")
	return cmd
}

func (a *app) keepPlatform(ctx context.Context, file string) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	if err := a.locate(); err != nil {
		return err
	}
	h := &host{app: a, name: platformName, role: access.Publisher, file: file, log: a.logger("info", false)}
	source := platform.NewSource(nil)
	err := h.serveAll(ctx, func(ctx context.Context, t tenancy.Tenant) error {
		connect := func(ctx context.Context) (*client.Client, error) { return h.publisher(ctx, t) }
		if t.Name != keyring.DefaultTenant {
			k := platform.Keeper{
				Source: source, Tenant: t, Connect: connect, Log: h.log.With().Str("tenant", t.Name).Logger(),
			}
			return k.Keep(ctx)
		}
		from, err := connect(ctx)
		if err != nil {
			return err
		}
		defer from.Close()
		ctx, end := from.Alive(ctx)
		defer end()
		return source.Watch(ctx, from)
	})
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return nil // a signal stopped it
	}
	return err
}

// publisher connects to a tenant as the user whose progdefs are copies.
func (h *host) publisher(ctx context.Context, t tenancy.Tenant) (*client.Client, error) {
	keys, err := h.keys()
	if err != nil {
		return nil, err
	}
	credentials, err := keys.IssueIn(t, access.Credential{Name: platform.User})
	if err != nil {
		return nil, err
	}
	o := h.options()
	return client.Connect(ctx, client.Options{URL: o.URL, Access: o.Access, Credentials: credentials, Source: h.source()})
}
