//go:build docker

package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/freeport"
)

// patience is how long a test waits for something that must happen. No test measures it.
const patience = time.Minute

// `make compose` builds these for the tests: images, and a folder with the wheels of the Python SDK's dependencies.
const (
	natsImage  = "dagyo-nats"
	pythonBase = "dagyo-python-base"
	wheels     = "bin/wheels"
)

// root is the repository's folder, dagyo the path of the command that was built for the images.
var root, dagyo = paths()

func paths() (root, dagyo string) {
	root, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return root, filepath.Join(root, "dist", "dagyo")
}

// A stack is the Compose project of one run of the tests.
type stack struct {
	project string
	url     string
	http    string
	compose []string
	env     []string
	// home is the home directory of the user on the host, with a context.
	home string
}

// shared is the stack of all tests.
var shared *stack

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run runs the tests between up and down, which are also tested.
func run(m *testing.M) (code int, err error) {
	if shared, err = newStack(); err != nil {
		return 1, err
	}
	defer os.RemoveAll(shared.home)
	defer func() { err = errors.Join(err, shared.down()) }()
	if err := shared.up(); err != nil {
		return 1, errors.Join(err, shared.logs())
	}
	code = m.Run()
	if code != 0 {
		err = shared.logs()
	}
	return code, err
}

func newStack() (*stack, error) {
	ports, err := freeport.Find(2)
	if err != nil {
		return nil, err
	}
	port, httpPort := ports[0], ports[1]
	socket, err := os.Stat("/var/run/docker.sock")
	if err != nil {
		return nil, fmt.Errorf("these tests need a Docker daemon on this machine: %w", err)
	}
	compose := os.Getenv("COMPOSE")
	if compose == "" {
		compose = "docker-compose"
	}
	home, err := os.MkdirTemp("", "dagyo-compose-")
	if err != nil {
		return nil, err
	}
	s := &stack{
		home:    home,
		project: fmt.Sprintf("dagyo-test-%d", os.Getpid()),
		url:     fmt.Sprintf("nats://127.0.0.1:%d", port),
		http:    fmt.Sprintf("http://127.0.0.1:%d", httpPort),
		compose: strings.Fields(compose),
	}
	s.env = append(os.Environ(),
		"COMPOSE_PROJECT_NAME="+s.project,
		"DAGYO_PORT="+strconv.Itoa(port),
		"DAGYO_HTTP_PORT="+strconv.Itoa(httpPort),
		"DAGYO_BUILD_TARGET=prebuilt",
		"NATS_IMAGE="+natsImage,
		fmt.Sprintf("DOCKER_GID=%d", socket.Sys().(*syscall.Stat_t).Gid),
		"DAGYO_ENV_DIR="+filepath.Join(root, "tests", "compose", "testdata", "env"),
	)
	return s, nil
}

// up returns when the services are healthy and the progdefs are applied.
func (s *stack) up() error {
	begin := time.Now()
	if _, err := s.do("up", "-d"); err != nil {
		return err
	}
	for _, service := range services {
		if err := s.awaitHealthy(service); err != nil {
			return err
		}
	}
	fmt.Printf("up and healthy in %v\n", time.Since(begin).Round(100*time.Millisecond))
	return s.enter()
}

// userName is the name of the user on the host.
const userName = "tester"

// enter makes a context for the user on the host, as docker-compose.yml says.
func (s *stack) enter() error {
	credentials, err := s.do("run", "--rm", "-T", "auth", "user", "add", userName, "--role", "operator", "--data", "/auth", "--out", "-")
	if err != nil {
		return err
	}
	cmd := s.command("context", "add", "compose", "--server", s.url, "--creds", "-")
	cmd.Stdin = strings.NewReader(credentials)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}

// credentials is the file with the credentials of the user on the host.
func (s *stack) credentials() string {
	return filepath.Join(s.home, ".config", "dagyo", "creds", "compose.creds")
}

// authorities is the file with which the user on the host verifies the server, if it has a certificate.
func (s *stack) authorities() string {
	return filepath.Join(s.home, ".config", "dagyo", "creds", "compose.ca.crt")
}

// down removes the stack, and reports what is left.
func (s *stack) down() error {
	begin := time.Now()
	if _, err := s.do("down", "--volumes", "--remove-orphans", "--timeout", "3"); err != nil {
		return err
	}
	fmt.Printf("down in %v\n", time.Since(begin).Round(100*time.Millisecond))
	var errs []error
	for what, list := range map[string][]string{
		"containers": {"ps", "--all"}, "networks": {"network", "ls"}, "volumes": {"volume", "ls"},
	} {
		left, err := docker(append(list, "--quiet", "--filter", "label=com.docker.compose.project="+s.project)...)
		if left != "" {
			err = fmt.Errorf("%s are left: %s", what, left)
		}
		errs = append(errs, err)
	}
	for what, list := range map[string][]string{
		"executors": {"ps", "--all"}, "credentials of executors": {"volume", "ls"},
	} {
		left, err := docker(append(list, "--quiet", "--filter", "label=dev.dagyo.place="+s.project)...)
		if left != "" {
			err = fmt.Errorf("%s are left: %s", what, left)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// logs prints the logs of the containers.
func (s *stack) logs() error {
	said, err := s.do("logs", "--no-color")
	fmt.Fprintln(os.Stderr, said)
	return err
}

// do runs Compose.
func (s *stack) do(args ...string) (string, error) {
	args = append(slices.Clone(s.compose[1:]), args...)
	return output(s.env, s.compose[0], args...)
}

func docker(args ...string) (string, error) { return output(os.Environ(), "docker", args...) }

// output runs a command in the repository's folder, and returns its standard output.
func output(env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = root, env
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, &said)
	}
	return strings.TrimSpace(out.String()), nil
}

// services are the long-running services besides NATS.
var services = []string{"validator", "planner", "panic-aggregator", "spawner"}

// A container is a part of the output of `docker inspect`.
type container struct {
	ID, Name string
	State    struct {
		Running   bool
		Pid       int
		StartedAt string
		ExitCode  int
		Health    *struct{ Status string }
	}
	Config struct {
		User   string
		Env    []string
		Labels map[string]string
	}
	Mounts []struct {
		Name string
		RW   bool
	}
	HostConfig struct {
		ReadonlyRootfs, Privileged, OomKillDisable bool
		CapDrop, CapAdd, SecurityOpt               []string
		Memory, PidsLimit                          int64
		PortBindings                               map[string][]struct{ HostIP string }
	}
}

// containers inspects the containers with the given labels.
func (s *stack) containers(labels ...string) ([]container, error) {
	args := []string{"ps", "--all", "--quiet", "--no-trunc"}
	for _, l := range append(labels, "com.docker.compose.project="+s.project) {
		args = append(args, "--filter", "label="+l)
	}
	ids, err := docker(args...)
	if err != nil || ids == "" {
		return nil, err
	}
	text, err := docker(append([]string{"inspect"}, strings.Fields(ids)...)...)
	if err != nil {
		return nil, err
	}
	var all []container
	return all, json.Unmarshal([]byte(text), &all)
}

// service inspects the container of a service.
func (s *stack) service(name string) (container, error) {
	all, err := s.containers("com.docker.compose.service="+name, "com.docker.compose.oneoff=False")
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("%s has %d containers", name, len(all))
	}
	if err != nil {
		return container{}, err
	}
	return all[0], nil
}

// greeted reports whether NATS accepts connections. The forwarded port is open before.
func (s *stack) greeted() (bool, error) {
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "nats://"))
	if err != nil {
		return false, err
	}
	defer c.Close()
	greeting := make([]byte, len("INFO "))
	_, err = io.ReadFull(c, greeting)
	return string(greeting) == "INFO ", err
}

// executors inspects the containers of a progdef's executors.
func (s *stack) executors(progdef string) ([]container, error) {
	return s.containers("dev.dagyo.progdef="+progdef, "dev.dagyo.executor")
}

func (s *stack) awaitHealthy(service string) error {
	return await(service+" to be healthy", func() (bool, error) {
		c, err := s.service(service)
		return err == nil && c.State.Health != nil && c.State.Health.Status == "healthy", err
	})
}

// await polls until the condition holds: older versions of Docker cannot wait for health.
func await(what string, so func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		ok, err := so()
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("waited %v for %s", patience, what), err)
		}
	}
}
