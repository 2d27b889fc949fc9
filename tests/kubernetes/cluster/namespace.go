//go:build linux

package cluster

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed all:config
var configuration embed.FS

// settle prepares the namespaces of the caller for a cluster.
func settle(config Config) error {
	if err := settleFiles(config); err != nil {
		return fmt.Errorf("lay out the files: %w", err)
	}
	if err := settleNetwork(); err != nil {
		return fmt.Errorf("lay out the network: %w", err)
	}
	return nil
}

func settleFiles(config Config) error {
	for _, step := range []func() error{
		// Unmounts on the machine propagate here, but changes here do not propagate to the machine.
		func() error { return mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "") },
		func() error { return mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "") },
		func() error { return mount("proc", "/proc", "proc", 0, "") },
		func() error { return settleRun(config.State) },
		func() error { return overlay("/var/lib") },
		func() error { return overlay("/var/log") },
		copyConfiguration,
		func() error { return linkPrograms(config.Distribution) },
		settleResolver,
		settleKernel,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// settleRun gives the cluster an empty /run that contains the state directory. The directory is opened first, since it
// may be below /run and hidden then.
func settleRun(dir string) error {
	state, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer state.Close()
	if err := mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := os.MkdirAll(inside, 0o755); err != nil {
		return err
	}
	return mount(fmt.Sprintf("/proc/self/fd/%d", state.Fd()), inside, "", unix.MS_BIND, "")
}

// overlay hides changes below dir from the machine.
func overlay(dir string) error {
	upper := filepath.Join("/run/overlay", dir, "upper")
	work := filepath.Join("/run/overlay", dir, "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return err
	}
	return mount("overlay", dir, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work))
}

func copyConfiguration() error {
	from, err := fs.Sub(configuration, "config")
	if err != nil {
		return err
	}
	return os.CopyFS(path("config"), from)
}

func settleResolver() error {
	search := []string{"default.svc." + Domain, "svc." + Domain, Domain}
	return cover("/etc/resolv.conf", fmt.Sprintf(
		"nameserver %s\nsearch %s\noptions ndots:5\n", Address, strings.Join(search, " ")))
}

// settleKernel makes the kubelet believe that its kernel settings are already applied, since they would affect the
// whole machine.
func settleKernel() error {
	var errs []error
	for name, value := range map[string]string{
		"kernel/keys/root_maxbytes": "25000000",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
	} {
		errs = append(errs, cover(filepath.Join("/proc/sys", name), value+"\n"))
	}
	return errors.Join(errs...)
}

// cover mounts a file with the content over an existing one.
func cover(file, content string) error {
	over := filepath.Join("/run/over", file)
	if err := os.MkdirAll(filepath.Dir(over), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(over, []byte(content), 0o644); err != nil {
		return err
	}
	return mount(over, file, "", unix.MS_BIND, "")
}

func mount(source, target, kind string, flags uintptr, options string) error {
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

// The network has a loopback interface and no external route. Services are routed to the loopback interface, since an
// address without a route is rejected before kube-proxy's rules apply.
const network = `
link set lo up
address add ` + Address + `/32 dev lo scope global
route add 10.96.0.0/16 dev lo src ` + Address + `
`

func settleNetwork() error {
	for name, value := range map[string]string{
		"ip_forward":     "1",
		"icmp_ratelimit": "0", // a rate-limited rejection looks like a hang
	} {
		if err := os.WriteFile(filepath.Join("/proc/sys/net/ipv4", name), []byte(value), 0o644); err != nil {
			return err
		}
	}
	if err := run(network, "ip", "-batch", "-"); err != nil {
		return err
	}
	return run("", "nft", "-f", path("config/network.nft"))
}

// run runs a program that writes no output unless it fails.
func run(input, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}
