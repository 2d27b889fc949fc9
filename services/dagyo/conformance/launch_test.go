package conformance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestImageCommandLine(t *testing.T) {
	i := Config{Image: "example.com/echo:1", Command: []string{"--port", "x y"}}.launcher()
	environ := []string{"PATH=/bin", "DAGYO_SLOTS=1", "HOME=/root", "DAGYO_QUEUE=nats://secret@127.0.0.1:4222"}
	credentials := filepath.Join(t.TempDir(), "x1.creds")
	if err := os.WriteFile(credentials, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, _, err := i.launch(environ, credentials)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^docker run --rm --name dagyo-conformance-[a-z2-7]{10}-1 --init=false --network host ` +
		`--read-only --mount type=bind,readonly,source=` + credentials + `,target=/run/dagyo/nats.creds ` +
		`-e DAGYO_CREDS -e DAGYO_QUEUE -e DAGYO_SLOTS example\.com/echo:1 --port x y$`)
	if got := strings.Join(cmd.Args, " "); !want.MatchString(got) {
		t.Errorf("got %s", got)
	}
	if got := strings.Join(cmd.Env, " "); got != strings.Join(environ, " ")+" DAGYO_CREDS=/run/dagyo/nats.creds" {
		t.Errorf("the client has %s", got)
	}
	if file, err := os.Stat(credentials); err != nil || file.Mode() != 0o644 {
		t.Errorf("the container's user finds %v, %v", file.Mode(), err)
	}
	other, _, err := i.launch(environ, "")
	if err != nil || cmd.Args[4] == other.Args[4] || strings.Contains(strings.Join(other.Args, " "), "creds") {
		t.Errorf("the second container has %v, %v", other.Args, err)
	}
}

func TestCommandIsToldWhereItsCredentialsAre(t *testing.T) {
	l := Config{Command: []string{"true"}}.launcher()
	for path, want := range map[string]string{"": "A=b", "/c/x1.creds": "A=b DAGYO_CREDS=/c/x1.creds"} {
		cmd, _, err := l.launch([]string{"A=b"}, path)
		if err != nil || strings.Join(cmd.Env, " ") != want {
			t.Errorf("got %v, %v, want %s", cmd, err, want)
		}
	}
}

// TestImageLeavesNoContainer is with a docker that writes down how it is called, and has one container
// left in the end.
func TestImageLeavesNoContainer(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho \"$@\" >> " + dir + "/calls\ncase $1 in run) exit 7;; ps) echo 0123abcd;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c := some()
	c.Image, c.Command = "echo", nil
	report, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r := report.Results[0]; report.Image != "echo" || !strings.Contains(r.Seen, "exit status 7") {
		t.Errorf("got %q, %+v", report.Image, r)
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^run --rm --name (\S+-)1 .*\nrm --force (\S+-)1\nps .* name=\^(\S+-)\nrm --force 0123abcd\n$`)
	m := want.FindStringSubmatch(string(calls))
	if m == nil || m[1] != m[2] || m[1] != m[3] {
		t.Errorf("docker was called with\n%s", calls)
	}
}

func TestDockerThatIsNotThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	c := some()
	c.Image = "echo"
	if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "docker") {
		t.Errorf("got %v", err)
	}
}
