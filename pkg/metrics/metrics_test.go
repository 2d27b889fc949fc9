package metrics

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	known := make(map[Name]bool)
	for _, i := range Table() {
		if known[i.Name] {
			t.Errorf("%s is listed twice", i.Name)
		}
		known[i.Name] = true
		if !regexp.MustCompile(`^dagyo(_[a-z]+)+$`).MatchString(string(i.Name)) {
			t.Errorf("%s is not a name", i.Name)
		}
		if total := strings.HasSuffix(string(i.Name), "_total"); total != (i.Kind == Counter) {
			t.Errorf("%s is a %s: counters, and only these, end in _total", i.Name, i.Kind)
		}
		if seconds := strings.Contains(string(i.Name), "_seconds"); seconds != (i.Unit == "s") {
			t.Errorf("%s has the unit %s", i.Name, i.Unit)
		}
		if (len(i.Bounds) > 0) != (i.Kind == Histogram) || !slices.IsSorted(i.Bounds) {
			t.Errorf("%s, a %s, has the bounds %v", i.Name, i.Kind, i.Bounds)
		}
		if !strings.HasSuffix(i.Doc, ".") || i.Unit == "" || i.By == "" {
			t.Errorf("%s is not described: %+v", i.Name, i)
		}
		for _, label := range i.Labels {
			if slices.Contains([]string{"flow", "executor", "user", "job"}, label) {
				t.Errorf("%s has the label %s, which is not bounded", i.Name, label)
			}
		}
		for _, values := range i.Values {
			if i.Kind != Counter || len(values) != len(i.Labels)-1 {
				t.Errorf("%s begins with the labels %q", i.Name, values)
			}
		}
	}
}

func TestZeroMeterDropsValues(t *testing.T) {
	var m Meter
	m = m.OfTenant("a").OfService("b")
	m.Add(FlowSubmissions)
	m.Record(FlowDuration, 1, "completed")
	m.Register(func(Observe) { t.Error("called") })()
}
