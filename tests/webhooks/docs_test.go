package webhooks

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/freeport"
)

// The receivers in docs/webhooks.md accept what is signed with the webhook's key, and nothing else.
func TestDocumentedReceivers(t *testing.T) {
	doc, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, nil)
	for language, run := range map[string]func(t *testing.T, source string) *exec.Cmd{"go": runGo, "python": runPython} {
		t.Run(language, func(t *testing.T) {
			source := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(doc)
			if source == nil {
				t.Fatal("the page has none")
			}
			ports, err := freeport.Find(1)
			if err != nil {
				t.Fatal(err)
			}
			address := fmt.Sprintf("127.0.0.1:%d", ports[0])
			key := s.apply(t, language, "http://"+address+"/", nil)
			program := run(t, string(source[1]))
			program.Args = append(program.Args, address, key)
			program.Stderr = os.Stderr
			out, err := program.StdoutPipe()
			if err == nil {
				err = program.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = program.Process.Kill(); _ = program.Wait() })
			flow := s.run(t, language, 1)[0]
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || !strings.Contains(line, `"subject":"`+flow+`"`) {
				t.Errorf("%q, %v", line, err)
			}
			forged, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", strings.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			forged.Header.Set("webhook-id", "msg_1")
			forged.Header.Set("webhook-timestamp", "1")
			forged.Header.Set("webhook-signature", "v1a,AAAA")
			answer, err := http.DefaultClient.Do(forged)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusBadRequest {
				t.Errorf("a forged request: %s", answer.Status)
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
}

func runGo(t *testing.T, source string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.go"), source)
	write(t, filepath.Join(dir, "go.mod"), "module receiver\n\ngo 1.26.0\n")
	build := exec.Command("go", "build", "-o", "receiver", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	build.WaitDelay = time.Minute
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return exec.Command(filepath.Join(dir, "receiver")) //nolint:gosec // it was just built
}

// envPython is set by `make python`, which has what the receiver in Python needs.
const envPython = "DAGYO_TEST_PYTHON"

func runPython(t *testing.T, source string) *exec.Cmd {
	t.Helper()
	if os.Getenv(envPython) == "" {
		t.Skip("python3 with the package cryptography is needed: `make python` has it")
	}
	file := filepath.Join(t.TempDir(), "receiver.py")
	write(t, file, source)
	return exec.Command("python3", file)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
