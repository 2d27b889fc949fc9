package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/egress"
)

const (
	// atOnce is how many requests to a webhook are in flight at a time.
	atOnce = 4
	// answerBytes is how much of the body of an answer is read, so that its connection can be used again; headerBytes bounds
	// its headers.
	answerBytes = 64 << 10
	headerBytes = 16 << 10
	// idleTime is how long an unused connection is kept. The address of a connection is checked when it is made.
	idleTime = 30 * time.Second
	// errorBytes bounds the text of an error.
	errorBytes = 300
)

// A poster sends requests to the receivers of webhooks: to public addresses by https, and to those that the operator allows.
type poster struct {
	secure, plain *http.Client
	timeout       time.Duration
}

// newPoster returns a poster. rules are asked for each connection; roots are the authorities of receivers, nil for those of
// the system.
func newPoster(rules func() egress.Rules, roots *x509.CertPool, timeout time.Duration) *poster {
	type dial = func(ctx context.Context, network, address string) (net.Conn, error)
	client := func(dialer func(egress.Rules, net.Dialer) dial) *http.Client {
		return &http.Client{
			// No proxy: it would resolve names itself, and nothing could be said of the addresses.
			Transport: &http.Transport{
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					return dialer(rules(), net.Dialer{})(ctx, network, address)
				},
				TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
				MaxIdleConns: 64, MaxIdleConnsPerHost: atOnce, IdleConnTimeout: idleTime,
				MaxResponseHeaderBytes: headerBytes, DisableCompression: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &poster{
		secure: client(egress.Rules.DialContext), timeout: timeout,
		plain: client(egress.Rules.DialListed),
	}
}

func (p *poster) close() {
	p.secure.CloseIdleConnections()
	p.plain.CloseIdleConnections()
}

// post sends a request and returns how that has ended.
func (p *poster) post(ctx context.Context, to string, header http.Header, body []byte) Result {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r, err := p.try(ctx, to, header, body)
	if err != nil {
		r = Result{Error: p.explain(ctx, err)}
	}
	r.Took = time.Since(began)
	return r
}

func (p *poster) try(ctx context.Context, to string, header http.Header, body []byte) (Result, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return Result{}, errors.New("its URL cannot be used")
	}
	request.Header = header
	client := p.plain
	if request.URL.Scheme == "https" {
		client = p.secure
	}
	answer, err := client.Do(request)
	if err != nil {
		return Result{}, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, answerBytes)) // the status counts
	_ = answer.Body.Close()
	r := Result{Status: answer.StatusCode, RetryAfter: retryAfter(answer.Header.Get("Retry-After"), time.Now())}
	switch {
	case r.Status >= 300 && r.Status < 400:
		r.Error = fmt.Sprintf("the receiver answered %d %s: redirects are not followed", r.Status, http.StatusText(r.Status))
	case r.Status < 200 || r.Status >= 400:
		r.Error = strings.TrimSpace(fmt.Sprintf("the receiver answered %d %s", r.Status, http.StatusText(r.Status)))
	}
	return r, nil
}

// explain returns the text of an error, without the URL, whose query may contain a secret.
func (p *poster) explain(ctx context.Context, err error) string {
	var refused *egress.RefusedError
	var asked *url.Error
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %v", p.timeout)
	case errors.As(err, &refused):
		return "the connection is refused, since the host has " + refused.Kind +
			"; the operator can allow it (webhooks.allow in the policy)"
	case errors.As(err, &asked):
		err = asked.Err
	}
	return document.Shorten(strings.ToValidUTF8(err.Error(), ""), errorBytes)
}
