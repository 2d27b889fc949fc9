package settings_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/pkg/trace"
	"github.com/dagyo/dagyo/services/dagyo/settings"
)

func flags(s *settings.Services) *pflag.FlagSet {
	all := pflag.NewFlagSet("all", pflag.ContinueOnError)
	for _, g := range s.All() {
		all.AddFlagSet(g.Flags)
	}
	return all
}

func TestEveryLimitHasAFlag(t *testing.T) {
	s := settings.Default()
	n := 0
	flags(s).VisitAll(func(*pflag.Flag) { n++ })
	want := leaves(reflect.TypeOf(s.Common)) - 3 // the logger, and where values and spans go
	for _, v := range []any{
		s.Validator.Limits, s.Planner.Limits, s.Spawner.Limits, s.Aggregator.Limits,
	} {
		want += leaves(reflect.TypeOf(v))
	}
	want += 4 // edge storage, edge streams, sweep, reconcile; the queue and its credentials are --server and --creds
	if n != want {
		t.Errorf("there are %d flags for %d settings: give the new ones a flag", n, want)
	}
}

// leaves counts the settings in a struct.
func leaves(t reflect.Type) int {
	switch t {
	case reflect.TypeFor[zerolog.Logger](), reflect.TypeFor[metrics.Meter](), reflect.TypeFor[trace.Tracer]():
		return 1
	}
	if t.Kind() != reflect.Struct {
		return 1
	}
	n := 0
	for i := range t.NumField() {
		n += leaves(t.Field(i).Type)
	}
	return n
}

func TestFlagsReachTheServices(t *testing.T) {
	s := settings.Default()
	err := flags(s).Parse([]string{
		"--workers=3", "--flow-nodes=7", "--edge-storage=memory", "--max-executors=2", "--settle=1s",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Resolve(zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	if s.Validator.Workers != 3 || s.Aggregator.Workers != 3 || s.Validator.Limits.Flow.Nodes != 7 ||
		s.Planner.EdgeStorage != jetstream.MemoryStorage || s.Spawner.Limits.Executors != 2 ||
		s.Aggregator.Limits.Settle.Seconds() != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestResolveReportsEverythingAtOnce(t *testing.T) {
	s := settings.Default()
	err := flags(s).Parse([]string{
		"--edge-storage=tape", "--max-flows=0", "--settle=-1s", "--events-max-bytes=-1", "--history-max-bytes=-1",
		"--user-slots=-1", "--tenant-flows=0",
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Resolve(zerolog.Nop())
	for _, flag := range []string{"--edge-storage", "--max-flows", "--settle", "events max bytes", "--user-slots"} {
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s is missing in: %v", flag, err)
		}
	}
	for _, allowed := range []string{"history", "--tenant-flows"} {
		if err != nil && strings.Contains(err.Error(), allowed) {
			t.Errorf("a value that means no limit is refused: %v", err)
		}
	}
}

func TestLimitsOfATenant(t *testing.T) {
	s := settings.Default()
	if err := s.Resolve(zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	s.Spawner.Limits.Tenant.Slots = 9
	c := s.For(tenancy.Tenant{Name: "a", Limits: tenancy.Limits{
		Storage: 64 << 20, Executors: 3, Flows: 5, Submissions: 7,
	}})
	if c.Spawner.Limits.Executors != 3 || c.Spawner.Limits.Tenant.Flows != 5 || c.Spawner.Limits.Tenant.Slots != 9 ||
		c.Validator.Limits.Submissions.Tenant != 7 {
		t.Errorf("limits are %+v and %+v", c.Spawner.Limits, c.Validator.Limits.Submissions)
	}
	// What NATS sets aside for a tenant leaves room for all else.
	if set := 4*c.Planner.Broker.EventsMaxBytes + c.Planner.History.MaxBytes + c.Planner.Logs.MaxBytes; set != 36<<20 {
		t.Errorf("%d bytes of 64 MiB are set aside", set)
	}
	if err := c.Planner.Config.Validate(); err != nil {
		t.Error(err)
	}
	if d := s.For(tenancy.Tenant{Name: "b"}); d.Spawner.Limits != s.Spawner.Limits || d.Planner.History != s.Planner.History {
		t.Error("a tenant without limits has some")
	}
	if c = s.For(tenancy.Tenant{Limits: tenancy.Limits{Executors: 1 << 20}}); c.Spawner.Limits.Executors != s.Spawner.Limits.Executors {
		t.Error("a tenant may have more executors than the installation")
	}
}
