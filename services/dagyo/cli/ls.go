package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/pkg/records"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

// lsOptions are the flags of ls, unparsed.
type lsOptions struct {
	live         bool
	states       []string
	since, until string
	search       string
	progdef      string
	owner        string
	limit        int
}

func (a *app) lsCommand() *cobra.Command {
	var o lsOptions
	cmd := &cobra.Command{
		Use: "ls", GroupID: groupFlows, Aliases: []string{"list"},
		Short: "List flows",
		Long: `List current flows, the latest submission first, then ended flows, the latest
end first. A flow is listed if it meets all conditions. All times are times of
the NATS server. With --output json, the list is one JSON array.`,
		Example: `  dagyo ls --live
  dagyo ls --state panic --state cancelled --since 24h
  dagyo ls --search "out of memory" --progdef train -n 0
  dagyo ls --owner ada --live`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := o.query(time.Now()); err != nil {
				return usage(err)
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				now, err := c.Now(ctx)
				if err != nil {
					return err
				}
				q, err := o.query(now)
				if err != nil {
					return usage(err)
				}
				return a.list(ctx, c, q, o.limit, now)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.live, "live", false, "list only flows without a verdict")
	f.StringArrayVar(&o.states, "state", nil, "list only flows in this state; may be repeated")
	f.StringVar(&o.since, "since", "", "list only flows submitted since then: a duration before now, such as 24h, or a time (RFC 3339)")
	f.StringVar(&o.until, "until", "", "list only flows submitted before then: a duration before now, or a time")
	f.StringVar(&o.search, "search", "",
		"list only flows with this text in the id, a progdef, the reason of the cancel or the message of a failure")
	f.StringVar(&o.progdef, "progdef", "", "list only flows with a job of this progdef")
	f.StringVar(&o.owner, "owner", "", "list only flows that this user submitted")
	f.IntVarP(&o.limit, "limit", "n", 50, "maximum number of flows; 0 lists all")
	_ = cmd.RegisterFlagCompletionFunc("state", // both flags exist
		cobra.FixedCompletions(stateNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("progdef", a.progdefNames)
	return cmd
}

func stateNames() (out []string) {
	for _, t := range history.States() {
		out = append(out, report.State(t))
	}
	return out
}

// query returns the query of the flags. The service validates names and texts.
func (o lsOptions) query(now time.Time) (q contract.FlowQuery, err error) {
	if o.limit < 0 {
		return q, fmt.Errorf("--limit is %d: it must be 0 or more", o.limit)
	}
	q = contract.FlowQuery{Live: o.live, Text: o.search, Progdef: o.progdef, User: o.owner, Limit: history.MaxLimit}
	if o.limit > 0 {
		q.Limit = min(o.limit, history.MaxLimit)
	}
	for _, name := range o.states {
		t, err := parseState(name)
		if err != nil {
			return q, err
		}
		q.States = append(q.States, t)
	}
	if q.Since, err = parseMoment("since", o.since, now); err != nil {
		return q, err
	}
	q.Until, err = parseMoment("until", o.until, now)
	return q, err
}

// parseState parses the name of a state, or the type of its event.
func parseState(name string) (contract.Type, error) {
	all := history.States()
	i := slices.IndexFunc(all, func(t contract.Type) bool {
		return name == report.State(t) || name == string(t)
	})
	if i < 0 {
		return "", fmt.Errorf("--state is %q: it must be one of %s", name, strings.Join(stateNames(), ", "))
	}
	return all[i], nil
}

// parseMoment parses a duration before now, or a time; "" is the zero time.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("--%s is %q: it must be a duration such as 24h, or a time such as %s",
			flag, text, now.UTC().Format(time.RFC3339))
	}
	return t, nil
}

// A lister prints flows as they arrive.
type lister interface {
	add(flows []contract.FlowLine) error
	end() error
}

func (a *app) newLister(now time.Time) lister {
	if a.json() {
		return &arrayLister{w: a.Out}
	}
	return tableLister{report.NewFlowTable(a.Out, columnsOf(a.Out)), now}
}

// list prints up to limit flows page by page; 0 prints all.
func (a *app) list(
	ctx context.Context, c *client.Client, q contract.FlowQuery, limit int, now time.Time,
) error {
	out := a.newLister(now)
	left := limit
	for page, err := range c.Flows(ctx, q) {
		if err != nil {
			return err
		}
		for _, p := range page.Problems {
			fmt.Fprintf(a.Err, "the list is incomplete: %s\n", p)
		}
		flows := page.Flows
		if limit > 0 {
			flows = flows[:min(len(flows), left)]
			left -= len(flows)
		}
		if err := out.add(flows); err != nil {
			return err
		}
		if limit > 0 && left == 0 {
			break
		}
	}
	return out.end()
}

// A tableLister prints a table.
type tableLister struct {
	table *report.FlowTable
	// now is the broker's time, as are all times of flows.
	now time.Time
}

func (l tableLister) add(flows []contract.FlowLine) error {
	l.table.Add(flows, l.now)
	return nil
}

func (l tableLister) end() error {
	l.table.End()
	return nil
}

// An arrayLister prints one JSON array without buffering it.
type arrayLister struct {
	w     io.Writer
	begun bool
}

func (l *arrayLister) add(flows []contract.FlowLine) error {
	var b bytes.Buffer
	for _, f := range flows {
		text, err := records.EncodeJSON(f)
		if err != nil {
			return err
		}
		b.WriteByte(l.separator())
		b.Write(text)
	}
	_, err := l.w.Write(b.Bytes())
	return err
}

// separator returns the text before the next element.
func (l *arrayLister) separator() byte {
	if l.begun {
		return ','
	}
	l.begun = true
	return '['
}

func (l *arrayLister) end() error {
	text := "]\n"
	if !l.begun {
		text = "[]\n"
	}
	_, err := io.WriteString(l.w, text)
	return err
}
