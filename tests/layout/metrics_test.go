package layout

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/metrics"
)

const observability = "../../deploy/observability/"

// Dashboards, alerts and pages name metrics that there are, and each metric is in the dashboard.
func TestMetricsAreNamed(t *testing.T) {
	known := make(map[string]bool)
	for _, i := range metrics.Table() {
		known[string(i.Name)] = true
		if i.Kind == metrics.Histogram {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				known[string(i.Name)+suffix] = true
			}
		}
	}
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alerts.yml", "alerts.test.yml", "dashboard.json", "README.md"} {
		files = append(files, observability+name)
	}
	used := make(map[string][]string)
	for _, file := range append(files, "../metrics.sh") {
		used[file] = regexp.MustCompile(`dagyo(_[a-z]+)+`).FindAllString(read(t, file), -1)
		for _, name := range used[file] {
			if !known[name] {
				t.Errorf("%s names %s, which is not in pkg/metrics", file, name)
			}
		}
	}
	for _, i := range metrics.Table() {
		named := func(file string) bool {
			return slices.ContainsFunc(used[file], func(name string) bool {
				return name == string(i.Name) || i.Kind == metrics.Histogram && strings.HasPrefix(name, string(i.Name)+"_")
			})
		}
		if !named("../../docs/metrics.md") {
			t.Errorf("docs/metrics.md does not have %s", i.Name)
		}
		if !named(observability + "dashboard.json") {
			t.Errorf("the dashboard does not show %s", i.Name)
		}
	}
}

// Each alert has a test and a section in the operations page, and each section an alert.
func TestAlertsAreDescribed(t *testing.T) {
	alerts := found(`(?m)^ +- alert: (\w+)$`, read(t, observability+"alerts.yml"))
	tested := found(`alertname: (\w+)`, read(t, observability+"alerts.test.yml"))
	described := found(`(?m)^### (Dagyo[A-Z]\w+)$`, read(t, "../../docs/operations.md"))
	if len(alerts) == 0 || !slices.Equal(alerts, described) {
		t.Errorf("the alerts are %v; docs/operations.md has %v", alerts, described)
	}
	for _, name := range alerts {
		if !slices.Contains(tested, name) {
			t.Errorf("alerts.test.yml does not test %s", name)
		}
	}
}

func TestDashboardIsJSON(t *testing.T) {
	var board struct{ Panels []struct{ ID int } }
	if err := json.Unmarshal([]byte(read(t, observability+"dashboard.json")), &board); err != nil || len(board.Panels) == 0 {
		t.Errorf("%d panels: %v", len(board.Panels), err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func found(pattern, text string) (all []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}
