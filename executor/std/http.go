package std

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/egress"
)

// Limits of http_get and http_post.
const (
	// BodyLimit is the maximum size of a response body, in bytes.
	BodyLimit = 16 << 20
	// httpAtOnce is the number of requests of a job of http_get that are in flight, or answered and not yet written.
	httpAtOnce = 8
	// httpTries is the total number of tries per request, httpTimeout the timeout of each try.
	httpTries   = 4
	httpTimeout = 30 * time.Second
	// httpPause is the pause before the second try; it doubles with each further try. httpLongest limits
	// a server's Retry-After.
	httpPause   = 250 * time.Millisecond
	httpLongest = 30 * time.Second
	// httpRedirects is the maximum number of redirects that a try follows.
	httpRedirects = 10
)

// Names of the progdefs, in User-Agent and in errors.
const (
	httpGetName  = "http_get"
	httpPostName = "http_post"
)

// httpGet writes, for each URL in order, the body of the response, or the error.
func httpGet() executor.Program {
	urls := executor.Input("url", executor.String)
	out := executor.Output("body", executor.ResultOf(executor.Bytes))
	return executor.Program{
		Ports: []executor.Port{urls, out},
		Run: func(ctx context.Context, job *executor.Job) error {
			f, err := newFetcher(httpGetName, os.Getenv(contract.EnvHTTPGetAllow))
			if err != nil {
				return err
			}
			defer f.client.CloseIdleConnections()
			// One slot for each request in flight, in the order of the URLs.
			slots := make(chan chan valueOrError, httpAtOnce-1)
			return both(ctx, func(ctx context.Context) error {
				defer close(slots)
				return f.start(ctx, job, urls, slots)
			}, func(ctx context.Context) error {
				return writeSlots(ctx, job, slots, out)
			})
		},
	}
}

// start begins a request for each URL once it has a slot, and waits for all of them.
func (f *fetcher) start(
	ctx context.Context, job *executor.Job, urls executor.In[string], slots chan<- chan valueOrError,
) error {
	var g errgroup.Group
	defer func() { _ = g.Wait() }() // never an error: failures are sent as Results
	for u, err := range urls.All(ctx, job) {
		if err != nil {
			return err
		}
		slot := make(chan valueOrError, 1)
		select {
		case slots <- slot:
		case <-ctx.Done():
			return ctx.Err()
		}
		g.Go(func() error {
			body, err := f.fetch(ctx, call{method: http.MethodGet, url: u})
			slot <- valueOrError{Value: body, Err: err}
			return nil
		})
	}
	return nil
}

// writeSlots writes the results in the order of their slots.
func writeSlots(
	ctx context.Context, job *executor.Job, slots <-chan chan valueOrError, out executor.Out[valueOrError],
) error {
	for slot := range slots {
		select {
		case r := <-slot:
			if err := out.Send(ctx, job, r); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// httpPost posts each body to a URL, one after the other, and writes the body of each response, or the error.
func httpPost() executor.Program {
	address := executor.Input("url", executor.String)
	contentType := executor.Input("content_type", executor.String)
	bodies := executor.Input("body", executor.Bytes)
	out := executor.Output("answer", executor.ResultOf(executor.Bytes))
	return executor.Program{
		Ports: []executor.Port{address, contentType, bodies, out},
		Run: func(ctx context.Context, job *executor.Job) error {
			post := call{method: http.MethodPost}
			var err error
			if post.url, err = single(ctx, job, "url", address); err != nil {
				return err
			}
			if post.contentType, err = single(ctx, job, "content_type", contentType); err != nil {
				return err
			}
			f, err := newFetcher(httpPostName, os.Getenv(contract.EnvHTTPGetAllow))
			if err != nil {
				return err
			}
			defer f.client.CloseIdleConnections()
			if err := f.checkPost(post); err != nil {
				return err
			}
			for body, err := range bodies.All(ctx, job) {
				if err != nil {
					return err
				}
				post.body = body
				answer, err := f.fetch(ctx, post)
				if err := out.Send(ctx, job, valueOrError{Value: answer, Err: err}); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// checkPost checks the settings of http_post.
func (f *fetcher) checkPost(c call) error {
	if _, err := f.parse(c.url); err != nil {
		return fmt.Errorf("input url: %w", err)
	}
	if kind, _, err := mime.ParseMediaType(c.contentType); err != nil || !strings.Contains(kind, "/") {
		return fmt.Errorf("input content_type: %s is not a media type such as application/json", document.Quote(c.contentType))
	}
	return nil
}

// A call is a request to make.
type call struct {
	method, url string
	contentType string // "" without a body
	body        []byte
}

// A fetcher makes requests, with retries.
type fetcher struct {
	name   string // of the progdef
	client *http.Client
	limit  int64 // of a response's body, in bytes
	tries  int
	pause  time.Duration
}

// newFetcher returns a fetcher that connects to public addresses, and to those in the list, which is separated by commas.
func newFetcher(name, allow string) (*fetcher, error) {
	rules, err := egress.Parse(strings.FieldsFunc(allow, func(r rune) bool { return r == ',' }))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", contract.EnvHTTPGetAllow, err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = httpAtOnce
	transport.DialContext = rules.DialContext(net.Dialer{Timeout: httpTimeout})
	transport.Proxy = proxyOf(rules)
	return &fetcher{
		name:   name,
		client: &http.Client{Transport: transport, Timeout: httpTimeout, CheckRedirect: redirect},
		limit:  BodyLimit, tries: httpTries, pause: httpPause,
	}, nil
}

// redirect follows a redirect, unless a POST would become a GET without its body.
func redirect(request *http.Request, via []*http.Request) error {
	if len(via) > httpRedirects {
		return fmt.Errorf("more than %d redirects", httpRedirects)
	}
	if request.Method != via[0].Method {
		return http.ErrUseLastResponse
	}
	return nil
}

// proxyOf returns the proxy of the environment. A proxy connects on behalf of the progdef: it is checked like any other
// host, and resolves names itself, so only addresses in URLs can be checked here.
func proxyOf(rules egress.Rules) func(*http.Request) (*url.URL, error) {
	return func(request *http.Request) (*url.URL, error) {
		proxy, err := http.ProxyFromEnvironment(request)
		if err == nil && proxy != nil {
			err = rules.CheckLiteral(request.URL.Hostname())
		}
		return proxy, err
	}
}

// An answerError states why there is no body, and whether a retry may succeed.
type answerError struct {
	err     error
	passing bool
	// untaken is set if the server has certainly not acted on the request, so that repeating it does nothing twice.
	untaken bool
	after   time.Duration // Retry-After of the server
}

func (e *answerError) Error() string { return e.err.Error() }

func (e *answerError) Unwrap() error { return e.err }

// retry reports whether the request may be repeated after a failure: a POST only if the server has not acted on it.
func (c call) retry(failed *answerError) bool {
	return failed.passing && (c.method == http.MethodGet || failed.untaken)
}

// parse checks a URL.
func (f *fetcher) parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%s cannot fetch the URL %q: write http://… or https://…", f.name, address)
	}
	return u, nil
}

// fetch returns the body of the response to a call.
func (f *fetcher) fetch(ctx context.Context, c call) ([]byte, error) {
	u, err := f.parse(c.url)
	if err != nil {
		return nil, err
	}
	pause := f.pause
	for try := 1; ; try++ {
		body, failed := f.try(ctx, c)
		if failed == nil {
			return body, nil
		}
		if try == f.tries || !c.retry(failed) {
			return nil, fmt.Errorf("%s %s: %w (try %d of %d)", c.method, u.Redacted(), failed, try, f.tries)
		}
		if err := sleep(ctx, max(failed.after, jitter(pause))); err != nil {
			return nil, err
		}
		pause *= 2
	}
}

// try sends one request.
func (f *fetcher) try(ctx context.Context, c call) ([]byte, *answerError) {
	request, err := http.NewRequestWithContext(ctx, c.method, c.url, bytes.NewReader(c.body))
	if err != nil {
		return nil, &answerError{err: err}
	}
	request.Header.Set("User-Agent", "dagyo-"+f.name)
	if c.contentType != "" {
		request.Header.Set("Content-Type", c.contentType)
	}
	answer, err := f.client.Do(request)
	if err != nil {
		var refused *egress.RefusedError
		if errors.As(err, &refused) {
			return nil, &answerError{err: refused}
		}
		var dial *net.OpError
		return nil, &answerError{err: innermost(err), passing: true, untaken: errors.As(err, &dial) && dial.Op == "dial"}
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return nil, refusal(answer)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, f.limit+1))
	switch {
	case err != nil:
		return nil, &answerError{err: fmt.Errorf("cannot read the whole body: %w", err), passing: true}
	case int64(len(body)) > f.limit:
		return nil, &answerError{err: fmt.Errorf("the body is longer than %d bytes", f.limit)}
	}
	return body, nil
}

// refusal is the error for a response without success.
func refusal(answer *http.Response) *answerError {
	e := &answerError{err: fmt.Errorf("the server responded %s", answer.Status)}
	switch answer.StatusCode {
	case http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		e.passing, e.untaken = true, true
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		e.passing = true
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.after = min(time.Duration(seconds)*time.Second, httpLongest)
	}
	return e
}

// innermost unwraps url.Error, which would repeat the URL with its password.
func innermost(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// jitter spreads the tries of those that failed together: half of d to all of it.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// sleep returns after d, or with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
