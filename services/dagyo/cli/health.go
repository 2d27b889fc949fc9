package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
)

// pingWait is the default time that services have to answer a ping.
const pingWait = 2 * time.Second

func (a *app) healthCommand() *cobra.Command {
	var wait time.Duration
	var here bool
	cmd := &cobra.Command{
		Use: "health [SERVICE…]", GroupID: groupServices,
		Short: "Check that NATS and the services answer",
		Long: `Exit with 0 if the NATS server and the services answer: all four, or those that
you name. With --here, only services on this host, or in this container, count;
use it for probes.`,
		Args: cobra.OnlyValidArgs, ValidArgs: client.Services(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				ctx, cancel := context.WithTimeout(ctx, wait)
				defer cancel()
				host, err := hostOf(here)
				if err != nil {
					return err
				}
				found, err := c.PingHost(ctx, host, args...)
				if err != nil {
					return err
				}
				return a.tellHealth(c.URL(), found, args)
			})
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", pingWait, "time that they have to answer")
	cmd.Flags().BoolVar(&here, "here", false, "count only services on this host, or in this container")
	return cmd
}

// hostOf returns the name of the host whose services count, "" for any.
func hostOf(here bool) (string, error) {
	if !here {
		return "", nil
	}
	return os.Hostname()
}

func (a *app) tellHealth(server string, found map[string]int, wanted []string) error {
	if len(wanted) == 0 {
		wanted = client.Services()
	}
	missing := client.Missing(found, wanted...)
	if a.json() {
		err := a.printJSON(map[string]any{
			"server": server, "healthy": len(missing) == 0, "services": found,
		})
		if err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("NATS answers at %s, but no answer from %s", server, strings.Join(missing, ", "))
	}
	if !a.json() {
		fmt.Fprintf(a.Out, "healthy: NATS at %s, %s\n", server, strings.Join(wanted, ", "))
	}
	return nil
}
