package gateway

import (
	"cmp"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/services/gateway/console"
)

// Config says which Dagyo the gateway leads to.
type Config struct {
	// Server is the address of NATS, Files say how to verify it.
	Server string
	Files  broker.Access
	// Own, if not "", is the credentials file of requests with Token. Requests whose Host is not of the loopback interface
	// are refused then. Others reach that interface, too, executors among them: so Token is a secret.
	Own, Token string
	// SignIn, if not nil, lets persons sign in with a provider.
	SignIn *SignIn
	// Rate limits the requests a second of each user; 0 is DefaultRate.
	Rate int
	// Hint says where the user finds Token, for requests without one.
	Hint string
	Log  zerolog.Logger
	// Metrics is where requests are counted; the zero Meter if they are not.
	Metrics metrics.Meter
}

// DefaultRate suits a person with some open pages and scripts.
const DefaultRate = 100

// documentLimit bounds the bodies of requests that are not streams, in bytes.
const documentLimit = 16 << 20

// A Gateway serves the HTTP API.
type Gateway struct {
	config   Config
	sessions *sessions
	codes    codes
	signIn   *signInState
	handler  http.Handler
	// streams counts the running requests that are streams; unmeasure ends what is measured.
	streams   atomic.Int64
	unmeasure func()
}

// New returns a gateway. The caller must close it.
func New(c Config) *Gateway {
	c.Rate = cmp.Or(c.Rate, DefaultRate)
	g := &Gateway{config: c, sessions: newSessions(c), signIn: newSignIn(c.SignIn)}
	mux := http.NewServeMux()
	about := huma.DefaultConfig("Dagyo", service.Version)
	about.Info.Description = "Submit, feed, read and follow flows. Errors are problem details (RFC 9457); `problems` lists what is wrong " +
		"with a document, each with a JSON pointer into it."
	about.DocsPath = "" // its page loads scripts from elsewhere
	about.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"credentials": {Type: "http", Scheme: "bearer", Description: "a credentials file of `dagyo user add`, in Base64"},
	}
	about.Security = []map[string][]string{{"credentials": {}}}
	about.CreateHooks = nil // no $schema in answers
	api := humago.New(mux, about)
	api.UseMiddleware(g.count, traced, g.authenticate(api))
	g.registerFlows(api)
	g.registerStreams(api)
	g.registerEvents(api)
	g.registerLogs(api)
	g.registerCatalogue(api)
	g.registerUsage(api)
	g.registerWebhooks(api)
	g.registerSessions(api)
	g.registerSignIn(api)
	g.registerTap(api)
	mux.Handle("GET /", console.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", g.ready)
	g.handler = g.guard(mux)
	g.unmeasure = c.Metrics.Register(g.measure)
	return g
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.handler.ServeHTTP(w, r) }

// Close closes all connections.
func (g *Gateway) Close() {
	g.unmeasure()
	g.sessions.close()
}

// guard refuses what pages of other sites cause: a browser sends requests with a Host (DNS rebinding) or an Origin of
// theirs.
func (g *Gateway) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return cross.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if g.config.Own != "" && !loopback(r.Host) {
			http.Error(w, "this gateway serves the loopback interface only: use http://127.0.0.1", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// readyWait bounds the wait for NATS.
const readyWait = 2 * time.Second

// ready reports whether the NATS server answers. Without credentials, the gateway can know no more.
func (g *Gateway) ready(w http.ResponseWriter, r *http.Request) {
	if err := g.sessions.reach(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}
