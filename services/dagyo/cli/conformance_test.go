package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/dagyo/conformance"
)

func TestConformanceListsItsChecks(t *testing.T) {
	code, out, _ := call(t, "", "conformance", "--list")
	if code != ExitOK || strings.Count(out, "\n") != len(conformance.Checks()) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	code, out, _ = call(t, "", "conformance", "--list", "--output", "json")
	var list []struct{ Check, Demand, See string }
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != ExitOK || len(list) != len(conformance.Checks()) {
		t.Errorf("exit code %d, %v", code, err)
	}
}

func TestConformanceRefusesWrongArguments(t *testing.T) {
	for name, args := range map[string][]string{
		"no command":     {},
		"no such check":  {"--run", "no-such-check", "--", "true"},
		"no expression":  {"--run", "(", "--", "true"},
		"no port":        {"--ports", "in", "--", "true"},
		"no parallelism": {"--parallel", "0", "--", "true"},
		"no image":       {"--image", "-it"},
		"no file":        {"--progdef", "/no/such/file", "--", "true"},
	} {
		if code, _, err := call(t, "", append([]string{"conformance"}, args...)...); code != ExitUsage {
			t.Errorf("%s: exit code %d, %s", name, code, err)
		}
	}
}

// configured returns what the command makes of a progdef document.
func configured(t *testing.T, document string, command ...string) (conformance.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "progdef.json")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	f := conformanceFlags{progdef: path, ports: "in,out", typename: "utf8-string", parallel: 1, patience: 1}
	return (&app{}).conformanceConfig(f, command)
}

func TestConformanceTakesPortsFromAProgdef(t *testing.T) {
	c, err := configured(t, `{"name": "cat", "inputs": {"stdin": "octets"}, "outputs": {"stdout": "octets"},
		"command": ["dagyo-exec", "--", "cat"]}`)
	want := conformance.Ports{Progdef: "cat", In: "stdin", Out: "stdout", Type: "octets"}
	if err != nil || c.Ports != want || len(c.Command) != 3 {
		t.Errorf("got %+v %v, %v", c.Ports, c.Command, err)
	}
	if c, err = configured(t, `{"name": "cat", "inputs": {"in": "octets"}, "outputs": {"out": "octets"},
		"command": ["cat"]}`, "./other"); err != nil || c.Command[0] != "./other" {
		t.Errorf("got %v, %v", c.Command, err)
	}
	image := conformanceFlags{image: "cat:1", ports: "in,out", typename: "octets", parallel: 1, patience: 1}
	if c, err = (&app{}).conformanceConfig(image, nil); err != nil || c.Image != "cat:1" || len(c.Command) != 0 {
		t.Errorf("got %q %v, %v", c.Image, c.Command, err)
	}
	_, err = configured(t, `{"name": "zip", "inputs": {"a": "json", "b": "json"}, "outputs": {}, "command": ["zip"]}`)
	if err == nil || !strings.Contains(err.Error(), "2 inputs and 0 outputs") {
		t.Errorf("got %v", err)
	}
}

func TestConformanceFillsInATypeVariable(t *testing.T) {
	port := map[string]progdef.Port{"x": {Type: "T"}}
	got := portsOf(progdef.Document{Name: "tee", TypeParams: []string{"T"}, Inputs: port, Outputs: port}, "json")
	if want := (conformance.Ports{Progdef: "tee", In: "x", Out: "x", Type: "json"}); got != want {
		t.Errorf("got %+v", got)
	}
}
