package deliver

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/egress"
)

// rules returns rules that allow addresses besides public ones.
func rules(t *testing.T, allow ...string) func() egress.Rules {
	t.Helper()
	r, err := egress.Parse(allow)
	if err != nil {
		t.Fatal(err)
	}
	return func() egress.Rules { return r }
}

func post(t *testing.T, p *poster, url string) Result {
	t.Helper()
	defer p.close()
	return p.post(t.Context(), url, http.Header{}, []byte("{}"))
}

// Addresses are checked when a connection is made, whatever leads to them.
func TestInternalAddressesAreRefused(t *testing.T) {
	var requests atomic.Int32
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { requests.Add(1) })
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	_, port, _ := net.SplitHostPort(plain.Listener.Addr().String())
	_, securePort, _ := net.SplitHostPort(secure.Listener.Addr().String())
	for _, url := range []string{
		"https://127.0.0.1:" + securePort, "https://localhost:" + securePort, "https://[::ffff:127.0.0.1]:" + securePort,
		"https://0.0.0.0:" + securePort, "http://127.0.0.1:" + port, "http://localhost:" + port, "https://10.0.0.1/", "https://169.254.169.254/latest",
		"http://[fd00:ec2::254]/", "https://[fe80::1]/", "http://1.1.1.1/",
	} {
		r := post(t, newPoster(rules(t), roots, 5*time.Second), url)
		if !strings.Contains(r.Error, "the connection is refused") || !strings.Contains(r.Error, "webhooks.allow") || r.Status != 0 {
			t.Errorf("%s: %+v", url, r)
		}
	}
	if n := requests.Load(); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
	for _, url := range []string{"https://127.0.0.1:" + securePort, "http://127.0.0.1:" + port} {
		if r := post(t, newPoster(rules(t, "127.0.0.0/8"), roots, 5*time.Second), url); !r.Delivered() {
			t.Errorf("an allowed address, %s: %+v", url, r)
		}
	}
	if r := post(t, newPoster(rules(t, "localhost"), roots, 5*time.Second), "http://localhost:"+port); !r.Delivered() {
		t.Errorf("an allowed name: %+v", r)
	}
	if r := post(t, newPoster(rules(t, "127.0.0.0/8"), nil, 5*time.Second), "https://127.0.0.1:"+securePort); !strings.Contains(r.Error, "certificate") {
		t.Errorf("an unknown authority: %+v", r)
	}
}

func TestAnswers(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/ok", http.StatusTemporaryRedirect)
		case "/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/hang":
			<-release
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		case "/headers":
			for range 64 {
				w.Header().Add("X-Long", strings.Repeat("x", 1<<10))
			}
		case "/drip":
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-release
		}
	}))
	defer server.Close()
	defer close(release)
	for path, want := range map[string]struct {
		status int
		err    string
	}{
		"/ok": {200, ""}, "/redirect": {307, "redirects are not followed"}, "/busy": {429, "429 Too Many Requests"},
		"/hang?secret=1": {0, "no answer within"}, "/endless": {200, ""}, "/headers": {0, "header"}, "/drip": {200, ""},
	} {
		timeout := 300 * time.Millisecond
		if want.status > 0 && path != "/drip" {
			timeout = 20 * time.Second // the machine may be busy
		}
		r := post(t, newPoster(rules(t, "127.0.0.0/8"), nil, timeout), server.URL+path)
		if r.Status != want.status || !strings.Contains(r.Error, want.err) || (want.err == "") != (r.Error == "") || strings.Contains(r.Error, "secret") {
			t.Errorf("%s: %+v", path, r)
		}
		if path == "/busy" && r.RetryAfter != 7*time.Second {
			t.Errorf("Retry-After is %v", r.RetryAfter)
		}
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	if r := post(t, newPoster(rules(t, "127.0.0.0/8"), nil, 5*time.Second), closed.URL+"/?token=x"); r.Status != 0 || r.Error == "" || strings.Contains(r.Error, "token") {
		t.Errorf("nobody listens: %+v", r)
	}
}

// An old protocol is refused as a client does by default.
func TestOldTLSIsRefused(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // to be refused
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if r := post(t, newPoster(rules(t, "127.0.0.0/8"), roots, 5*time.Second), server.URL); r.Status != 0 || r.Error == "" {
		t.Errorf("%+v", r)
	}
}
