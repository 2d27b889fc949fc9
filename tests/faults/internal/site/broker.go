package site

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/dagyo/dagyo/pkg/freeport"
)

// A server is one NATS server of the installation.
type server struct {
	*process
	address, monitor, store string
}

// makeBrokers writes the configurations of n servers, which form a cluster if there are several.
func makeBrokers(dir, logs string, n int) ([]*server, error) {
	ports, err := freeport.Find(3 * n)
	if err != nil {
		return nil, err
	}
	var all []*server
	for i := range n {
		name := fmt.Sprintf("nats-%d", i+1)
		b := &server{
			address: fmt.Sprintf("127.0.0.1:%d", ports[3*i]), monitor: fmt.Sprintf("127.0.0.1:%d", ports[3*i+1]),
			store: filepath.Join(dir, name, "store"),
		}
		file := filepath.Join(dir, name, "nats.conf")
		if err := os.MkdirAll(b.store, 0o700); err != nil {
			return nil, err
		}
		auth, err := b.auth(dir)
		if err != nil {
			return nil, err
		}
		text := fmt.Sprintf("%s\nserver_name: %s\nlisten: %s\nhttp: %s\nmax_payload: 8MB\nlogtime: true\njetstream {\n  store_dir: %q\n  max_memory_store: 1GB\n  max_file_store: 10GB\n}\n",
			auth, name, b.address, b.monitor, b.store)
		if n > 1 {
			var routes []string
			for j := range n {
				routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[3*j+2]))
			}
			text += fmt.Sprintf("cluster {\n  name: faults\n  listen: 127.0.0.1:%d\n  no_advertise: true\n  routes: [%s]\n}\n", ports[3*i+2], strings.Join(routes, ", "))
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		b.process = newProcess(logs, name, func() *exec.Cmd { return exec.Command(self, "nats-server", file) })
		all = append(all, b)
	}
	return all, nil
}

// auth returns what the installation's keys add to the configuration, with a folder for accounts of the server's own.
func (b *server) auth(dir string) (string, error) {
	var text string
	for _, name := range []string{"auth.conf", "accounts.conf"} {
		part, err := os.ReadFile(filepath.Join(dir, "auth", "nats", name))
		if err != nil {
			return "", err
		}
		text += string(part)
	}
	text = strings.ReplaceAll(text, "include accounts.conf\n", "")
	return strings.ReplaceAll(text, filepath.Join(dir, "accounts"), filepath.Join(filepath.Dir(b.store), "accounts")), nil
}

// ServeNATS runs a NATS server as the configuration in a file says, until a signal ends it.
func ServeNATS(file string) error {
	o, err := natsd.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	s, err := natsd.NewServer(o)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	s.WaitForShutdown()
	return nil
}

// ask reads one of the server's monitoring pages.
func (b *server) ask(ctx context.Context, page string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.monitor+page, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: %s", page, b.name, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
