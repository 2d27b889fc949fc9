package page

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// A Fact is a property of the machine or the program.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// readMachine describes the machine, as far as it can be read.
func readMachine() []Fact {
	return []Fact{
		{"cores", fmt.Sprint(runtime.NumCPU())},
		{"CPU", field("/proc/cpuinfo", "model name")},
		{"memory", field("/proc/meminfo", "MemTotal")},
		{"kernel", firstLine("/proc/sys/kernel/osrelease")},
		{"load averages at the end (1, 5, 15 min)", firstLine("/proc/loadavg")},
	}
}

func firstLine(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	return line
}

func field(path, name string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// libraries are the modules whose versions are listed.
func libraries() []string {
	return []string{
		"github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go",
		"github.com/ThreeDotsLabs/watermill", "github.com/ThreeDotsLabs/watermill-nats/v2",
	}
}

func versions() []Fact {
	out := []Fact{{"Go", runtime.Version()}, {"commit", commit()}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	for _, d := range info.Deps {
		if slices.Contains(libraries(), d.Path) {
			out = append(out, Fact{d.Path, d.Version})
		}
	}
	return out
}

// commit returns our commit, and whether files differ from it.
func commit() string {
	id, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := string(bytes.TrimSpace(id))
	status := exec.Command("git", "status", "--porcelain", "pkg", "executor", "services")
	changed, err := status.Output()
	if err == nil && len(changed) > 0 {
		name += " with changes in pkg, executor or services"
	}
	return name
}
