package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/services/dagyo/landlord"
)

// placeFlags defines the flags that say where an installation has its keys.
func (a *app) placeFlags(cmd *cobra.Command, p *landlord.Place) {
	f := cmd.Flags()
	f.StringVar(&p.Data, "data", a.dataDir(), "data directory of \"dagyo up\", or the folder of \"dagyo init auth\"")
	f.StringVar(&p.Namespace, "secrets", "", "namespace of Kubernetes with the Secret of the keys, instead of --data")
	f.StringVar(&p.Kubeconfig, "kubeconfig", "", "kubeconfig file (default: that of kubectl)")
}

// landlord calls do with the keys of an installation, until the first signal.
func (a *app) landlord(
	ctx context.Context, p landlord.Place, open func(context.Context, landlord.Place) (*landlord.Landlord, error),
	do func(context.Context, *landlord.Landlord) error,
) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	p.Server = a.server
	l, err := open(ctx, p)
	if err != nil {
		return err
	}
	defer l.Close()
	return do(ctx, l)
}
