package docker

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

func TestOwnContainer(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for mounts, want := range map[string]string{
		"1047 1046 8:1 / / rw - ext4 /dev/sda1 rw\n": "",
		"1067 1047 8:1 /var/lib/docker/containers/" + id + "/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n" +
			"1068 1047 8:1 /var/lib/docker/containers/" + id + "/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n": id,
		"1068 1047 0:9 /@/docker/containers/" + id + "/hostname /etc/hostname ro - btrfs /dev/sda1 rw\n":         id,
		"1068 1047 0:9 /var/lib/containerd/io/sandboxes/" + id + "/hostname /etc/hostname rw - tmpfs tmpfs rw\n": "",
		// A container into which the host's folder of containers is mounted.
		"1068 1047 8:1 /var/lib/docker/containers/" + id + "/mounts/shm /host/shm rw - tmpfs shm rw\n": "",
	} {
		if got := containerOf([]byte(mounts)); got != want {
			t.Errorf("%q belongs to container %q, want %q", mounts, got, want)
		}
	}
}

func TestPickNetwork(t *testing.T) {
	for want, names := range map[string][]string{
		"bridge":  {"bridge"},
		"app":     {"bridge", "queues", "app"},
		"default": {"default"},
	} {
		s := &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{}}
		for _, n := range names {
			s.Networks[n] = nil
		}
		if got := pickNetwork(s); got != want {
			t.Errorf("from %q picked %q, want %q", names, got, want)
		}
	}
	for _, alone := range []string{"host", "none"} {
		s := &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{alone: nil}}
		if got := pickNetwork(s); got != bridge {
			t.Errorf("from %q picked %q", alone, got)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct{ version, system, want string }{
		{"1.41", "linux", ""},
		{"1.56", "linux", ""},
		{"1.40", "linux", "Dagyo needs 1.41 or newer"},
		{"1.51", "windows", "runs windows containers"},
	} {
		err := fit(c.version, c.system)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %s: %v, want %q", c.version, c.system, err, c.want)
		}
	}
}
