package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/landlord"
	"github.com/dagyo/dagyo/services/dagyo/platform"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) tenantCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tenant", GroupID: groupServices,
		Short: "Add, limit and remove the tenants of this Dagyo",
		Long: `A tenant is a group of users with flows, a catalogue, a history and executors of
its own. Tenants share the services and the machine, and see nothing of each
other. "dagyo up" serves the tenant "` + keyring.DefaultTenant + `" and all that are added.

The commands work on the data directory of "dagyo up": while it is running, they
take effect at once, without a restart, otherwise at its next start. For services
that run by themselves with --tenants, they work on the folder of "dagyo init
auth", or with --secrets on the Secrets of Kubernetes, and on the NATS server at
--server.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(a.tenantAddCommand(), a.tenantListCommand(), a.tenantShowCommand(), a.tenantLimitsCommand(), a.tenantRemoveCommand())
	return cmd
}

// A byteLimit is a flag with a number of bytes. It is read and shown like quantities in progdefs.
type byteLimit int64

func (s *byteLimit) String() string { return showSize(int64(*s)) }
func (s *byteLimit) Type() string   { return "size" }

func (s *byteLimit) Set(text string) error {
	q, ok := progdef.ParseQuantity(text)
	if !ok || q.Sign() < 0 || !q.IsInt() || !q.Num().IsInt64() {
		return fmt.Errorf("%q is not a number of bytes: write it like 512Mi or 2Gi, or 0 for no limit", text)
	}
	*s = byteLimit(q.Num().Int64())
	return nil
}

// showSize writes a number of bytes such that it can be read again.
func showSize(n int64) string {
	units := []string{"", "Ki", "Mi", "Gi", "Ti"}
	at := 0
	for ; n != 0 && n%1024 == 0 && at < len(units)-1; at++ {
		n /= 1024
	}
	return strconv.FormatInt(n, 10) + units[at]
}

// limitFlags defines the flags of the limits of a tenant.
func limitFlags(f *pflag.FlagSet, t *keyring.Tenant) {
	l := &t.Limits
	f.Var((*byteLimit)(&l.Storage), "storage", "what NATS stores on disk: events, history and the catalogue; 0 for no limit")
	f.Var((*byteLimit)(&l.Memory), "memory", "what NATS stores in memory: edges; 0 for no limit")
	f.Int64Var(&l.Connections, "connections", l.Connections, "connections of users and executors; 0 for no limit")
	f.Var((*byteLimit)(&l.Payload), "payload", "a message of users and executors; larger events go by reference; 0 for the server's limit")
	f.IntVar(&l.Weight, "weight", l.Weight, "share of the executors if tenants want more than there are, in proportion to other weights; 0 is 1")
	f.IntVar(&l.Executors, "max-executors", l.Executors, "executors; 0 for all of the installation")
	f.IntVar(&l.Flows, "flows", l.Flows, "running flows; 0 for no limit")
	f.IntVar(&l.Queued, "queued", l.Queued, "flows waiting for capacity; 0 for no limit")
	f.IntVar(&l.Slots, "slots", l.Slots, "slots that the flows hold; 0 for no limit")
	f.IntVar(&l.Submissions, "submissions", l.Submissions, "flows submitted in a second; 0 for no limit")
	f.StringSliceVar(&t.Progdefs, "progdefs", t.Progdefs,
		"progdefs of the tenant "+keyring.DefaultTenant+" that it gets copies of, besides the standard ones: names, or patterns such as resnet-*")
}

func checkLimits(t keyring.Tenant) error {
	err := t.Limits.Validate()
	for _, pattern := range t.Progdefs {
		err = errors.Join(err, platform.ValidPattern(pattern))
	}
	if err != nil {
		err = usage(err)
	}
	return err
}

// readyWait bounds the wait for what services say of a tenant.
const readyWait = 30 * time.Second

func (a *app) tenantAddCommand() *cobra.Command {
	var place landlord.Place
	t := keyring.Tenant{Limits: tenancy.Limits{Storage: tenancy.DefaultStorage}}
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a tenant",
		Long: `Add a tenant, with the standard progdefs. "dagyo user add --tenant" issues the
credentials of its users.`,
		Example: "  dagyo tenant add acme --max-executors 8\n  dagyo user add ada --tenant acme --role publisher",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkLimits(t); err != nil {
				return err
			}
			t.Name = args[0]
			return a.landlord(cmd.Context(), place, landlord.OpenAll, func(ctx context.Context, x *landlord.Landlord) error {
				return a.addTenant(ctx, x, t)
			})
		},
	}
	a.placeFlags(cmd, &place)
	limitFlags(cmd.Flags(), &t)
	cmd.Flags().StringVar(&t.Namespace, "namespace", "", "namespace of Kubernetes for its executors, instead of that of all tenants")
	return cmd
}

func (a *app) addTenant(ctx context.Context, x *landlord.Landlord, t keyring.Tenant) error {
	name := t.Name
	t, err := x.Keys.Add(t)
	if err != nil {
		return err
	}
	if err := x.Publish(ctx, name); err != nil {
		undone := x.Keys.Remove(name)
		if undone == nil {
			undone = x.Clear(ctx, t.ID)
		}
		return errors.Join(fmt.Errorf("tenant %s was not added: %w", name, err), undone)
	}
	wait, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	state := "ready"
	if err := x.AwaitReady(wait, t); err != nil {
		return fmt.Errorf("tenant %s was added, but is not ready after %v: see the log of %s (%w)", name, readyWait, x.Where(), err)
	}
	if !x.Running() {
		state = "stopped"
	}
	if a.json() {
		return a.printJSON(map[string]string{"name": t.Name, "id": t.ID, "state": state})
	}
	text := "tenant " + name + " is ready"
	if !x.Running() {
		text = "tenant " + name + " was added; the next `dagyo up` serves it"
	}
	_, err = fmt.Fprintln(a.Out, text)
	return err
}

// A tenantLine is a tenant in JSON output.
type tenantLine struct {
	Name    string         `json:"name"`
	ID      string         `json:"id"`
	Created time.Time      `json:"created"`
	Limits  tenancy.Limits `json:"limits"`
	// Progdefs are those of the default tenant that it may use.
	Progdefs  []string `json:"progdefs,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
}

func lineOf(t keyring.Tenant) tenantLine {
	return tenantLine{t.Name, t.ID, t.Created, t.Limits, t.Progdefs, t.Namespace}
}

func (a *app) tenantListCommand() *cobra.Command {
	var place landlord.Place
	cmd := &cobra.Command{
		Use: "ls", Short: "List all tenants", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.landlord(cmd.Context(), place, landlord.Open, func(_ context.Context, x *landlord.Landlord) error {
				all, err := x.Keys.Tenants()
				if err != nil {
					return err
				}
				return a.printTenants(all)
			})
		},
	}
	a.placeFlags(cmd, &place)
	return cmd
}

func (a *app) printTenants(all []keyring.Tenant) error {
	lines, rows := make([]tenantLine, len(all)), make([][]string, len(all))
	for i, t := range all {
		lines[i] = lineOf(t)
		rows[i] = []string{
			shorten(t.Name, 24), t.Created.Local().Format(time.DateOnly), strconv.Itoa(max(t.Limits.Weight, 1)),
			orAll(int64(t.Limits.Executors), strconv.Itoa(t.Limits.Executors)), orAll(t.Limits.Storage, showSize(t.Limits.Storage)),
		}
	}
	if a.json() {
		return a.printJSON(lines)
	}
	report.Table(a.Out, []string{"NAME", "CREATED", "WEIGHT", "EXECUTORS", "STORAGE"}, rows)
	return nil
}

// shorten shortens a name that would make a table too wide.
func shorten(name string, most int) string {
	if len(name) <= most {
		return name
	}
	return name[:most-1] + "…"
}

// orAll returns how a limit is shown, where 0 means that there is none.
func orAll(n int64, text string) string {
	if n == 0 {
		return "-"
	}
	return text
}

func (a *app) tenantShowCommand() *cobra.Command {
	var place landlord.Place
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a tenant and its limits", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.tenantNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.landlord(cmd.Context(), place, landlord.Open, func(_ context.Context, x *landlord.Landlord) error {
				t, err := x.Keys.Tenant(args[0])
				if err != nil {
					return err
				}
				return a.printTenant(t)
			})
		},
	}
	a.placeFlags(cmd, &place)
	return cmd
}

func (a *app) printTenant(t keyring.Tenant) error {
	if a.json() {
		return a.printJSON(lineOf(t))
	}
	fmt.Fprintf(a.Out, "tenant %s, id %s, created %s\n\n", t.Name, t.ID, t.Created.Local().Format(time.DateTime))
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.SortFlags = false
	limitFlags(set, &t)
	var rows [][]string
	if t.Namespace != "" {
		rows = append(rows, []string{"namespace", t.Namespace})
	}
	set.VisitAll(func(f *pflag.Flag) {
		value := f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			value = cmp.Or(strings.Join(list.GetSlice(), ", "), "0")
		}
		if value == "0" {
			value = "-"
		}
		if f.Name == "weight" {
			value = strconv.Itoa(max(t.Limits.Weight, 1))
		}
		rows = append(rows, []string{f.Name, value})
	})
	report.Table(a.Out, []string{"LIMIT", "VALUE"}, rows)
	return nil
}

func (a *app) tenantLimitsCommand() *cobra.Command {
	var place landlord.Place
	var t keyring.Tenant
	cmd := &cobra.Command{
		Use: "limits NAME", Short: "Change the limits of a tenant",
		Long: `Change the limits that the flags name, and show all limits of the tenant. A running
Dagyo applies them at once. Running flows and executors above a new limit are not
stopped.`,
		Example: "  dagyo tenant limits acme --max-executors 16 --storage 1Gi",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.tenantNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.landlord(cmd.Context(), place, landlord.OpenAll, func(ctx context.Context, x *landlord.Landlord) error {
				return a.limitTenant(ctx, x, args[0], cmd.Flags())
			})
		},
	}
	a.placeFlags(cmd, &place)
	limitFlags(cmd.Flags(), &t)
	return cmd
}

func (a *app) limitTenant(ctx context.Context, x *landlord.Landlord, name string, given *pflag.FlagSet) error {
	t, err := x.Keys.Tenant(name)
	if err != nil {
		return err
	}
	before := t
	stored := pflag.NewFlagSet("", pflag.ContinueOnError)
	limitFlags(stored, &t)
	stored.VisitAll(func(f *pflag.Flag) {
		g := given.Lookup(f.Name)
		if !g.Changed {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			err = errors.Join(err, list.Replace(g.Value.(pflag.SliceValue).GetSlice()))
		} else {
			err = errors.Join(err, f.Value.Set(g.Value.String()))
		}
	})
	if err := cmp.Or(err, checkLimits(t)); err != nil {
		return err
	}
	if err := x.Keys.Change(t); err != nil {
		return err
	}
	if err := x.Publish(ctx, name); err != nil {
		undone := x.Keys.Store(before)
		if undone == nil {
			undone = x.Publish(ctx, name)
		}
		return errors.Join(fmt.Errorf("the limits were not changed: %w", err), undone)
	}
	wait, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if !reflect.DeepEqual(t, before) && x.AwaitServed(wait, t) != nil {
		return fmt.Errorf("the limits are stored, but the services of tenant %s have not applied them within %v: see the log of %s",
			name, readyWait, x.Where())
	}
	return a.printTenant(t)
}

func (a *app) tenantRemoveCommand() *cobra.Command {
	var place landlord.Place
	var yes bool
	cmd := &cobra.Command{
		Use: "rm NAME --yes", Short: "Remove a tenant with all that it has",
		Long: `Remove a tenant. Its flows and executors are stopped, its catalogue, history and
events are deleted, and the credentials of its users become invalid. It cannot be
undone.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.tenantNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.landlord(cmd.Context(), place, landlord.OpenAll, func(ctx context.Context, x *landlord.Landlord) error {
				return a.removeTenant(ctx, x, args[0], yes)
			})
		},
	}
	a.placeFlags(cmd, &place)
	cmd.Flags().BoolVar(&yes, "yes", false, "remove it")
	return cmd
}

func (a *app) removeTenant(ctx context.Context, x *landlord.Landlord, name string, yes bool) error {
	t, err := x.Keys.Tenant(name)
	before := errors.Is(err, keyring.ErrNoTenant)
	if before { // an earlier removal may not have come to its end
		t, err = x.Keys.Leaving(name)
	}
	if err != nil {
		return err
	}
	if !yes {
		return usage(fmt.Errorf("tenant %s has flows, executors, a catalogue, a history and users, which end with it: confirm with --yes", name))
	}
	if !before {
		err = x.Keys.Remove(name)
	}
	if err != nil {
		return err
	}
	again := "repeat the command to go on"
	if !x.Apart() {
		again += ", or start Dagyo again"
	}
	if err := x.Publish(ctx, name); err != nil {
		return fmt.Errorf("tenant %s was removed, but the services do not know it yet: %s (%w)", name, again, err)
	}
	wait, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if err := x.Await(wait, t.ID, access.TenantGone); err != nil {
		return fmt.Errorf("tenant %s was removed, but its executors have not ended after %v: see the log of %s; %s", name, readyWait, x.Where(), again)
	}
	if err := x.Clear(ctx, t.ID); err != nil {
		return fmt.Errorf("tenant %s was removed, but its data is left: %s (%w)", name, again, err)
	}
	if a.json() {
		return a.printJSON(map[string]string{"name": t.Name, "id": t.ID, "state": "removed"})
	}
	text := "tenant " + name + " was removed, with its executors, flows, catalogue and history"
	if !x.Running() {
		text = "tenant " + name + " was removed; the next `dagyo up` deletes its catalogue and history"
	}
	_, err = fmt.Fprintln(a.Out, text)
	return err
}

// tenantNames completes the names of the tenants in the default data directory.
func (a *app) tenantNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	keys, err := keyring.Find(cmd.Flag("data").Value.String())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, _ := keys.Tenants()
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
