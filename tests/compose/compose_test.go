//go:build docker

package compose

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
)

// command runs the dagyo command as a user on the host does.
func (s *stack) command(args ...string) *exec.Cmd {
	cmd := exec.Command(dagyo, args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "HOME="+s.home, "XDG_CONFIG_HOME=", "DAGYO_QUEUE=", "DAGYO_CREDS=")
	return cmd
}

func (s *stack) dagyo(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	cmd := s.command(args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("dagyo %s: %v\n%s", strings.Join(args, " "), err, &said)
	}
	return out.String()
}

func TestFlowFromTheHost(t *testing.T) {
	out := shared.dagyo(t, "run", "tests/flows/greetings.json")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 26 || lines[0] != "hello Alice" {
		t.Errorf("got %q", lines)
	}
}

// A client with only a NATS connection and credentials submits a flow and receives its verdict.
func TestPlainClient(t *testing.T) {
	options := []nats.Option{nats.UserCredentials(shared.credentials()), nats.CustomInboxPrefix("_INBOX.person." + userName)}
	if _, err := os.Stat(shared.authorities()); err == nil { // with DAGYO_TLS_NAMES
		options = append(options, nats.RootCAs(shared.authorities()))
	}
	nc, err := nats.Connect(shared.url, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	verdict, err := nc.SubscribeSync("flow.completed.plain")
	if err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg("flow.submit.by." + userName)
	m.Header.Set("content-type", "application/cloudevents+json")
	m.Data = []byte(`{"specversion": "1.0", "id": "plain", "type": "flow.submit", "source": "/plain", "data": {"nodes": {
		"hello": {"progdef": "greet", "with": {"name": ["Ada"]}},
		"sink": {"progdef": "void_sink"}
	}, "edges": [{"from": "hello.greeting", "to": "sink.in"}]}}`)
	if _, err := nc.RequestMsg(m, patience); err != nil {
		t.Fatal(err)
	}
	if _, err := verdict.NextMsg(patience); err != nil {
		t.Fatal(err)
	}
}

// Nobody connects without credentials.
func TestAnonymous(t *testing.T) {
	nc, err := nats.Connect(shared.url, nats.Secure(&tls.Config{InsecureSkipVerify: true}))
	if errors.Is(err, nats.ErrSecureConnWanted) {
		nc, err = nats.Connect(shared.url)
	}
	if err == nil {
		nc.Close()
	}
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("connecting without credentials: %v", err)
	}
}

// An executor has credentials, and the state of its container does not contain them. Only the files of `dagyo init auth`
// that a service needs are mounted into it.
func TestCredentialsStayWhereTheyBelong(t *testing.T) {
	begin(t, "greet").end(t)
	all, err := shared.containers()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		text, err := docker("inspect", c.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"BEGIN NATS USER", "NKEY SEED"} {
			if strings.Contains(text, secret) {
				t.Errorf("the state of %s contains credentials", c.Name)
			}
		}
		for _, m := range c.Mounts {
			service := c.Config.Labels["com.docker.compose.service"]
			auth, ours := strings.CutPrefix(m.Name, shared.project+"_auth")
			own := service == "auth" || auth == "-"+service || service == "progdefs" && auth == "-publisher"
			if ours && (!own || m.RW && service != "auth") {
				t.Errorf("%s has %s, writable: %v", c.Name, m.Name, m.RW)
			}
			if ours && c.Config.Labels["dev.dagyo.executor"] != "" {
				t.Errorf("the executor %s has %s", c.Name, m.Name)
			}
		}
		if c.Config.Labels["dev.dagyo.executor"] != "" && !slices.Contains(c.Config.Env, "DAGYO_CREDS=/run/dagyo-executor/nats.creds") {
			t.Errorf("the executor %s has no credentials: %v", c.Name, c.Config.Env)
		}
	}
}

// Every container, including executors, runs without root, capabilities, privileges or a writable root file system, and
// with limits. Ports are published on the loopback interface only.
func TestContainersAreConfined(t *testing.T) {
	begin(t, "greet").end(t)
	all, err := shared.containers()
	if err != nil {
		t.Fatal(err)
	}
	executors := 0
	for _, c := range all {
		h := c.HostConfig
		if c.Config.Labels["dev.dagyo.executor"] != "" {
			executors++
		}
		if uid, _, _ := strings.Cut(c.Config.User, ":"); uid == "" || uid == "0" || uid == "root" {
			t.Errorf("%s runs as %q", c.Name, c.Config.User)
		}
		if !h.ReadonlyRootfs || h.Privileged || len(h.CapAdd) > 0 || !slices.Equal(h.CapDrop, []string{"ALL"}) ||
			!slices.Contains(h.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s is not confined: %+v", c.Name, h)
		}
		for port, bindings := range h.PortBindings {
			for _, b := range bindings {
				if b.HostIP != "127.0.0.1" {
					t.Errorf("%s publishes %s on %q", c.Name, port, b.HostIP)
				}
			}
		}
		if c.State.Running && h.PidsLimit <= 0 {
			t.Errorf("%s has no limit on its processes", c.Name)
		}
		if slices.Contains(append(services, "nats"), c.Config.Labels["com.docker.compose.service"]) &&
			c.Config.Labels["dev.dagyo.executor"] == "" && h.Memory == 0 {
			t.Errorf("%s has no memory limit", c.Name)
		}
	}
	if executors == 0 {
		t.Error("no executor found among the containers")
	}
}

// An open flow is a flow whose input is open, so its job is still running.
type open struct {
	cmd    *exec.Cmd
	names  io.WriteCloser
	greet  *bufio.Scanner
	stderr bytes.Buffer
}

// begin starts a flow with a greeting progdef, and returns when its job has answered once.
func begin(t *testing.T, progdef string) *open {
	t.Helper()
	o := &open{cmd: shared.command("run", openFlow(t, progdef), "--input", "names=/dev/stdin", "--progress", "lines")}
	o.cmd.Stderr = &o.stderr
	var err error
	if o.names, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.greet = bufio.NewScanner(out)
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.cmd.Process.Kill() })
	o.says(t, "Ada")
	return o
}

// openFlow writes a flow of one node, whose input and output the client has.
func openFlow(t *testing.T, progdef string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "flow.json")
	text := `{"nodes": {"hello": {"progdef": "` + progdef + `"}}, "inputs": {"names": "hello.name"},
		"outputs": {"greetings": "hello.greeting"}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// says sends a name and waits for its greeting.
func (o *open) says(t *testing.T, name string) {
	t.Helper()
	if _, err := fmt.Fprintln(o.names, name); err != nil {
		t.Fatal(err)
	}
	if !o.greet.Scan() || o.greet.Text() != "hello "+name {
		_ = o.cmd.Wait()
		t.Fatalf("got %q\n%s", o.greet.Text(), &o.stderr)
	}
}

// end ends the input and waits until the flow has completed.
func (o *open) end(t *testing.T) {
	t.Helper()
	if err := errors.Join(o.names.Close(), o.cmd.Wait()); err != nil {
		t.Fatalf("%v\n%s", err, &o.stderr)
	}
}

// `progdef build` builds the image from source, and the progdef is pinned to its id.
func TestPythonImage(t *testing.T) {
	document := filepath.Join(pythonContext(t), "examples", "greet.json")
	build := shared.command("progdef", "build", "--arg", "BASE="+pythonBase, "--arg", "PIP_NO_INDEX=1",
		"--arg", "PIP_FIND_LINKS=.", "--write", document)
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	shared.dagyo(t, "progdef", "apply", document)
	o := begin(t, "greet_py")
	o.says(t, "Grace")
	o.end(t)
}

// pythonContext is a copy of the SDK with the wheels of its dependencies: the build has no network.
func pythonContext(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, from := range []string{"executor/python/src", "executor/python/examples"} {
		to := filepath.Join(dir, filepath.Base(from))
		if err := os.CopyFS(to, os.DirFS(filepath.Join(root, from))); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(root, wheels, "*.whl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no wheels found in %s, %v", wheels, err)
	}
	for _, name := range []string{"pyproject.toml", "README.md", ".dockerignore"} {
		files = append(files, filepath.Join(root, "executor", "python", name))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The sets in envFrom are read from the folder that is mounted into the spawner.
func TestEnvironmentFromFiles(t *testing.T) {
	document := filepath.Join(t.TempDir(), "greet.json")
	text := `{"name": "greet_with_secret", "image": "dagyo", "command": ["dagyo", "executor", "greet"],
		"inputs": {"name": "utf8-string"}, "outputs": {"greeting": "utf8-string"},
		"envFrom": [{"secret": "sample"}, {"configMap": "sample"}]}`
	if err := os.WriteFile(document, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	shared.dagyo(t, "progdef", "apply", document)
	o := begin(t, "greet_with_secret")
	all, err := shared.executors("greet_with_secret")
	if err != nil || len(all) != 1 {
		t.Fatalf("%d executors, %v", len(all), err)
	}
	for _, want := range []string{"PASSWORD=no-secret", "COLOUR=blue"} {
		if !slices.Contains(all[0].Config.Env, want) {
			t.Errorf("the executor's environment lacks %s", want)
		}
	}
	o.end(t)
}

// A job whose process is killed panics with that reason, and the next flow gets another executor.
func TestExecutorIsKilled(t *testing.T) {
	o := begin(t, "greet")
	all, err := shared.executors("greet")
	if err != nil || len(all) != 1 {
		t.Fatalf("%d executors, %v", len(all), err)
	}
	killProgram(t, all[0])
	err = o.cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Fatalf("got %v, want exit code 4\n%s", err, &o.stderr)
	}
	for _, want := range []string{"flow.panic", "crash", "SIGKILL"} {
		if !strings.Contains(o.stderr.String(), want) {
			t.Errorf("the verdict does not contain %q:\n%s", want, &o.stderr)
		}
	}
	begin(t, "greet").end(t)
}

// killProgram kills the program of a container with SIGKILL, from the host. It is a child of the container's init.
func killProgram(t *testing.T, c container) {
	t.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.State.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(field)
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A flow that is submitted while a service is stopped waits for the service, and nothing is lost.
func TestServiceStops(t *testing.T) {
	for _, service := range services {
		t.Run(service, func(t *testing.T) {
			c, err := shared.service(service)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := docker("stop", c.ID); err != nil {
				t.Fatal(err)
			}
			id := strings.TrimSpace(shared.dagyo(t, "submit", "tests/flows/greetings.json"))
			if _, err := docker("start", c.ID); err != nil {
				t.Fatal(err)
			}
			shared.dagyo(t, "watch", id)
		})
	}
}

// After a restart of the broker, the catalogue is available again, and executors and services reconnect.
func TestNATSRestarts(t *testing.T) {
	c, err := shared.service("nats")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := docker("restart", c.ID); err != nil {
		t.Fatal(err)
	}
	if err := await("NATS", shared.greeted); err != nil {
		t.Fatal(err)
	}
	begin(t, "greet").end(t)
}

// A missing image that no registry can have fails the flow, with a hint.
func TestImageIsMissing(t *testing.T) {
	document := filepath.Join(t.TempDir(), "missing.json")
	text := `{"name": "missing", "image": "sha256:` + strings.Repeat("0", 64) + `",
		"inputs": {"name": "utf8-string"}, "outputs": {"greeting": "utf8-string"}}`
	if err := os.WriteFile(document, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	shared.dagyo(t, "progdef", "apply", document)
	cmd := shared.command("run", openFlow(t, "missing"), "--input", "names=/dev/null")
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 4 || !bytes.Contains(said, []byte("has no image sha256:000")) {
		t.Errorf("got %v\n%s", err, said)
	}
}

// A killed spawner restarts and adopts its executors: a running flow is not affected, and the next flow uses the same
// container.
func TestSpawnerIsKilled(t *testing.T) {
	o := begin(t, "greet")
	before, err := shared.executors("greet")
	if err != nil {
		t.Fatal(err)
	}
	spawner, err := shared.service("spawner")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(spawner.State.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	o.says(t, "Grace")
	if err := await("another spawner", func() (bool, error) {
		c, err := shared.service("spawner")
		return c.State.Running && c.State.StartedAt != spawner.State.StartedAt, err
	}); err != nil {
		t.Fatal(err)
	}
	if err := shared.awaitHealthy("spawner"); err != nil {
		t.Fatal(err)
	}
	o.says(t, "Edsger")
	o.end(t)
	begin(t, "greet").end(t)
	after, err := shared.executors("greet")
	if err != nil || len(after) != 1 || len(before) != 1 || after[0].ID != before[0].ID {
		t.Errorf("executors before %v, after %v, %v", names(before), names(after), err)
	}
}

func names(all []container) (out []string) {
	for _, c := range all {
		out = append(out, c.Name)
	}
	return out
}

// Curl runs a flow, with the credentials of a user, and nobody without them.
func TestGateway(t *testing.T) {
	creds, err := os.ReadFile(shared.credentials())
	if err != nil {
		t.Fatal(err)
	}
	token := base64.StdEncoding.EncodeToString(creds)
	flow := filepath.Join(root, "tests", "flows", "greetings.json")
	out, err := output(os.Environ(), "curl", "--silent", "--show-error", "--fail", "--header", "Authorization: Bearer "+token, "--form", "flow=@"+flow, shared.http+"/v1/run")
	if lines := strings.Split(out, "\n"); err != nil || len(lines) != 26 || lines[0] != "hello Alice" {
		t.Errorf("got %q, %v", lines, err)
	}
	if out, err := output(os.Environ(), "curl", "--silent", "--form", "flow=@"+flow, shared.http+"/v1/run"); err != nil || !strings.Contains(out, "credentials are required") {
		t.Errorf("got %q, %v", out, err)
	}
}

// A tenant is added to the running stack, runs flows in containers of its own, and is removed with them.
func TestTenant(t *testing.T) {
	auth := func(args ...string) string {
		t.Helper()
		out, err := shared.do(append([]string{"run", "--rm", "-T", "auth"}, append(args, "--data", "/auth")...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := auth("tenant", "add", "acme", "--progdefs", "model-*"); !strings.Contains(out, "tenant acme is ready") {
		t.Errorf("got %q", out)
	}
	creds := filepath.Join(t.TempDir(), "ada.creds")
	if err := os.WriteFile(creds, []byte(auth("user", "add", "ada", "--tenant", "acme", "--out", "-")), 0o600); err != nil {
		t.Fatal(err)
	}
	access := []string{"--server", shared.url, "--creds", creds}
	if _, err := os.Stat(shared.authorities()); err == nil { // with DAGYO_TLS_NAMES
		access = append(access, "--tls-ca", shared.authorities())
	}
	out := shared.dagyo(t, append(access, "run", "tests/flows/greetings.json")...)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 26 {
		t.Errorf("got %q", lines)
	}
	own := func() (n int) {
		t.Helper()
		all, err := shared.containers("dev.dagyo.executor")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if strings.HasPrefix(c.Config.Labels["dev.dagyo.place"], shared.project+"-acme-") {
				n++
			}
		}
		return n
	}
	if own() != 2 {
		t.Errorf("the tenant has %d containers, want 2", own())
	}
	auth("keys", "rotate")
	shared.dagyo(t, append(access, "ls")...)
	shared.dagyo(t, "run", "tests/flows/greetings.json")
	if out := auth("tenant", "rm", "acme", "--yes"); !strings.Contains(out, "tenant acme was removed") || own() != 0 {
		t.Errorf("%d containers are left: %q", own(), out)
	}
	if out, err := shared.command(append(access, "ls")...).CombinedOutput(); err == nil {
		t.Errorf("the tenant's credentials are still valid: %s", out)
	}
}

// A running flow does not prevent the stack from going down; TestMain checks that nothing is left.
func TestFlowStillRunsAtTheEnd(t *testing.T) { begin(t, "greet") }
