package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/trace"
)

// source is the CloudEvents source of what is published here.
const source = "/dagyo/gateway"

// Limits of sessions: a connection that is not used is closed after idle, and there are at most so many.
const (
	idle         = 5 * time.Minute
	mostSessions = 1000
	// longestToken bounds a token, in bytes: credentials with an authority have less than 4 KiB.
	longestToken = 16 << 10
	// connectWait bounds a connection to NATS.
	connectWait = 10 * time.Second
	// burst is for how many seconds of requests at the highest rate a user may ask at once.
	burst = 5
)

var (
	errNoCredentials = errors.New("credentials are required: send those of `dagyo user add`, in Base64, as a bearer token")
	errBadToken      = errors.New("the bearer token is not a credentials file in Base64")
	errTooFast       = errors.New("too many requests a second for these credentials: ask again in a second")
	errCrowded       = errors.New("too many users are connected: try again later")
)

// sessions are connections to NATS, one for each credentials.
type sessions struct {
	config Config

	mu      sync.Mutex
	all     map[[sha256.Size]byte]*session
	closed  bool
	closing chan struct{}
	work    sync.WaitGroup
}

// A session is a connection with credentials. The lock of sessions guards uses and last.
type session struct {
	once   sync.Once
	client *client.Client
	holder access.Holder
	own    bool // it is the gateway's own user
	pace   *rate.Limiter
	err    error
	uses   int
	last   time.Time
}

func newSessions(c Config) *sessions {
	s := &sessions{config: c, all: make(map[[sha256.Size]byte]*session), closing: make(chan struct{})}
	s.work.Go(s.sweepOften)
	return s
}

// sweepOften closes what is idle, until close.
func (s *sessions) sweepOften() {
	again := time.NewTicker(idle / 5)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-s.closing:
			return
		}
		s.mu.Lock()
		s.sweep()
		s.mu.Unlock()
	}
}

// get returns the session of a token. done must be called when it is no longer used.
func (s *sessions) get(ctx context.Context, token string) (x *session, done func(), err error) {
	if token == "" {
		return nil, nil, s.noCredentials()
	}
	var file []byte
	own := s.own(token)
	if !own {
		if file, err = credentials(token); err != nil {
			return nil, nil, err
		}
	}
	key, err := identity(file)
	if err != nil {
		return nil, nil, err
	}
	x, err = s.use(key)
	if err != nil {
		return nil, nil, err
	}
	done = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		x.uses--
		x.last = time.Now()
	}
	x.once.Do(func() { // for all requests that wait for it, so not with the context of one
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectWait)
		defer cancel()
		x.own = own
		x.client, x.holder, x.err = s.connect(ctx, file)
	})
	if err = x.err; err == nil {
		err = x.client.Lost()
	}
	if err != nil {
		s.drop(key, x)
		done()
		return nil, nil, err
	}
	return x, done, nil
}

func (s *sessions) use(key [sha256.Size]byte) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, net.ErrClosed
	}
	x := s.all[key]
	if x == nil {
		s.sweep()
		if len(s.all) >= mostSessions {
			return nil, errCrowded
		}
		x = &session{pace: rate.NewLimiter(rate.Limit(s.config.Rate), burst*s.config.Rate)}
		s.all[key] = x
	}
	x.uses++
	return x, nil
}

// sweep closes what is idle. The caller must hold the lock.
func (s *sessions) sweep() {
	for key, x := range s.all {
		if x.uses == 0 && time.Since(x.last) > idle {
			delete(s.all, key)
			if x.client != nil {
				s.work.Go(x.client.Close)
			}
		}
	}
}

// open counts the sessions.
func (s *sessions) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// drop forgets a session that has failed.
func (s *sessions) drop(key [sha256.Size]byte, x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[key] == x {
		delete(s.all, key)
	}
}

// identity identifies credentials, whatever else is in their file: the claims and the seed. None are those of the own user.
func identity(file []byte) (key [sha256.Size]byte, err error) {
	if file == nil {
		return key, nil
	}
	token, err := jwt.ParseDecoratedJWT(file)
	if err != nil {
		return key, errBadToken
	}
	pair, err := jwt.ParseDecoratedUserNKey(file)
	if err != nil {
		return key, errBadToken
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return key, errBadToken
	}
	return sha256.Sum256(append([]byte(token+"\n"), seed...)), nil
}

// connect connects with credentials, or as the own user without any.
func (s *sessions) connect(ctx context.Context, file []byte) (*client.Client, access.Holder, error) {
	o := client.Options{URL: s.config.Server, Access: s.config.Files, Source: source}
	o.Access.Creds = ""
	if o.Credentials = file; file == nil {
		o.Access.Creds, o.Persist = s.config.Own, true
	}
	holder, _, err := o.Access.Holder(file)
	if err != nil {
		return nil, holder, err
	}
	c, err := client.Connect(ctx, o)
	return c, holder, err
}

// credentials returns the credentials file in a token.
func credentials(token string) ([]byte, error) {
	if len(token) > longestToken {
		return nil, errBadToken
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		file, err := encoding.DecodeString(token)
		if err != nil {
			continue
		}
		if _, ok, err := access.Read(file); ok && err == nil {
			return file, nil
		}
	}
	return nil, errBadToken
}

// own reports whether a token is that of the gateway's own user.
func (s *sessions) own(token string) bool {
	return s.config.Own != "" && s.config.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.config.Token)) == 1
}

func (s *sessions) noCredentials() error {
	if s.config.Hint == "" {
		return errNoCredentials
	}
	return fmt.Errorf("%w; %s", errNoCredentials, s.config.Hint)
}

// reach returns an error if no NATS server accepts connections. It sends nothing: the server would log a client without
// credentials as an error.
func (s *sessions) reach(ctx context.Context) error {
	var errs []error
	servers := strings.Split(s.config.Server, ",")
	for _, server := range servers {
		err := greeted(ctx, strings.TrimSpace(server), readyWait/time.Duration(len(servers)))
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// greeted connects to a server, and waits for its greeting, both within a time.
func greeted(ctx context.Context, server string, within time.Duration) error {
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return errors.New("the address of NATS is not a URL") // the error of Parse has the password in it
	}
	dialer := net.Dialer{Deadline: time.Now().Add(within)}
	c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), strconv.Itoa(nats.DefaultPort))))
	if err != nil {
		return err
	}
	defer c.Close()
	if strings.HasPrefix(u.Scheme, "ws") { // it sends nothing before the client
		return nil
	}
	_ = c.SetDeadline(dialer.Deadline) // never fails on an open connection
	greeting := make([]byte, len("INFO "))
	if _, err := io.ReadFull(c, greeting); err != nil {
		return fmt.Errorf("the server at %s does not answer: %w", u.Host, err)
	}
	if string(greeting) != "INFO " {
		return fmt.Errorf("the server at %s is not NATS", u.Host)
	}
	return nil
}

func (s *sessions) close() {
	s.mu.Lock()
	s.closed = true
	all := s.all
	s.all = nil
	s.mu.Unlock()
	close(s.closing)
	for _, x := range all {
		x.once.Do(func() { x.err = net.ErrClosed })
		if x.client != nil {
			x.client.Close()
		}
	}
	s.work.Wait()
}

// sessionKey is the key of a request's session in its context.
type sessionKey struct{}

func sessionOf(ctx context.Context) *session { return ctx.Value(sessionKey{}).(*session) }

func clientOf(ctx context.Context) *client.Client { return sessionOf(ctx).client }

// authenticate gives each request the connection of its user.
func (g *Gateway) authenticate(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if s := ctx.Operation().Security; s != nil && len(s) == 0 {
			next(ctx)
			return
		}
		token := ""
		if header := ctx.Header("Authorization"); header != "" {
			scheme, rest, _ := strings.Cut(header, " ")
			if !strings.EqualFold(scheme, "Bearer") {
				g.refuse(api, ctx, errBadToken)
				return
			}
			token = strings.TrimSpace(rest)
		}
		s, done, err := g.sessions.get(ctx.Context(), token)
		if err != nil {
			g.refuse(api, ctx, err)
			return
		}
		defer done()
		if !s.pace.Allow() {
			ctx.SetHeader("Retry-After", "1")
			g.refuse(api, ctx, errTooFast)
			return
		}
		defer g.audit(ctx, s)
		alive, end := s.client.Alive(ctx.Context()) // what waits for NATS ends if the credentials are revoked
		defer end()
		next(huma.WithValue(huma.WithContext(ctx, alive), sessionKey{}, s))
	}
}

// audit logs a request that changes something, with whom it was for. The broker has the rest: commands are events.
func (g *Gateway) audit(ctx huma.Context, s *session) {
	o := ctx.Operation()
	if o.Method == http.MethodGet || o.OperationID == "validate-flow" || o.OperationID == "find-compatible" {
		return
	}
	e := g.config.Log.Info().Str("service", "gateway").Str("user", s.holder.Name).Str("role", string(s.holder.Role)).
		Str("operation", o.OperationID).Int("status", ctx.Status()).Str("from", ctx.RemoteAddr())
	for _, p := range o.Parameters {
		if p.In == "path" {
			e = e.Str(p.Name, ctx.Param(p.Name))
		}
	}
	if id := trace.FromContext(ctx.Context()).TraceID(); id != "" {
		e = e.Str("trace", id)
	}
	e.Msg("request")
}

func (g *Gateway) refuse(api huma.API, ctx huma.Context, err error) {
	e := explain(err)
	if e.Status == http.StatusUnauthorized {
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="dagyo"`)
	}
	ctx.SetHeader("Content-Type", problemType)
	ctx.SetStatus(e.Status)
	_ = api.Marshal(ctx.BodyWriter(), "application/json", e)
}

// loopback reports whether a Host header is of the loopback interface.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
