package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/time/rate"

	"github.com/dagyo/dagyo/services/gateway/signin"
)

// SignIn lets persons sign in with a provider. The keys are the only right of a gateway: they issue credentials of some roles
// in some tenants.
type SignIn struct {
	Settings *signin.Settings
	Keys     signin.Keys
	// Rate limits the requests a second for signing in, which need no credentials: of each address, and 4 times as many of
	// all. 0 is DefaultSignInRate.
	Rate int
}

// DefaultSignInRate suits persons. Those behind one proxy have its address together.
const DefaultSignInRate = 5

const (
	// signInBurst is for how many seconds of requests at the highest rate may be made at once, signInAll is by how much more
	// all may make than one.
	signInBurst, signInAll = 4, 4
	// addressBuckets bounds what is remembered of addresses: those that fall into the same bucket share a limit.
	addressBuckets = 1024
	// mostExchanges bounds the exchanges of codes at a time.
	mostExchanges = 32
)

var (
	errNoProvider  = errors.New("this gateway knows no provider to sign in with: use a credentials file of `dagyo user add`")
	errSignInFast  = errors.New("too many attempts to sign in: try again in a second")
	errSignInFails = errors.New("the gateway cannot sign you in: its log says why")
	errNoTokens    = errors.New("the settings of sign-in allow no personal tokens")
)

// signInState is what signing in needs while the gateway runs. It is not a state of persons: any replica can answer any
// request.
type signInState struct {
	SignIn
	provider  *signin.Provider
	seed      maphash.Seed
	addresses [addressBuckets]*rate.Limiter
	all       *rate.Limiter
	exchanges chan struct{}
}

// newSignIn returns nil if nobody can sign in.
func newSignIn(s *SignIn) *signInState {
	if s == nil {
		return nil
	}
	each := cmp.Or(s.Rate, DefaultSignInRate)
	limit := func(n int) *rate.Limiter { return rate.NewLimiter(rate.Limit(n), signInBurst*n) }
	out := &signInState{
		SignIn: *s, provider: signin.NewProvider(s.Settings), seed: maphash.MakeSeed(), all: limit(signInAll * each),
		exchanges: make(chan struct{}, mostExchanges),
	}
	for i := range out.addresses {
		out.addresses[i] = limit(each)
	}
	return out
}

// allow reports whether an address may make another request.
func (s *signInState) allow(remote string) bool {
	return s.addresses[maphash.String(s.seed, network(remote))%addressBuckets].Allow() && s.all.Allow()
}

// network returns what one client has: an address of IPv4, or a network of IPv6.
func network(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Unmap().Is4() {
		return host
	}
	return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
}

// A Provider is with whom persons sign in, and how a browser begins.
type Provider struct {
	Label    string   `json:"label" doc:"what to call the provider"`
	Endpoint string   `json:"endpoint" doc:"the provider's authorization endpoint"`
	Client   string   `json:"client" doc:"the client id"`
	Scopes   []string `json:"scopes" doc:"the scopes to ask for"`
	Redirect string   `json:"redirect" doc:"the redirect URI: the only one that is accepted"`
}

// A Return is what a browser comes back with from the provider, and what it had made before.
type Return struct {
	Code     string `json:"code" minLength:"1" maxLength:"8192" doc:"the code of the provider"`
	Verifier string `json:"verifier" minLength:"43" maxLength:"128" pattern:"^[A-Za-z0-9._~-]+$" doc:"the code verifier (PKCE) whose S256 challenge was sent to the provider"`
	Nonce    string `json:"nonce" minLength:"16" maxLength:"128" doc:"the nonce that was sent to the provider"`
}

type returned struct {
	Body Return
	from string
}

// Resolve implements huma.Resolver.
func (r *returned) Resolve(ctx huma.Context) []error {
	r.from = ctx.RemoteAddr()
	return nil
}

// A NewToken asks for a personal token.
type NewToken struct {
	Name string `json:"name" pattern:"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$" doc:"what the token is for"`
	Days int    `json:"days" minimum:"1" maximum:"90" doc:"for how many days it is valid; settings may allow fewer"`
}

// A PersonalToken is a personal token.
type PersonalToken struct {
	Token   string    `json:"token" doc:"the bearer token of requests: a credentials file in Base64. It is not shown again"`
	Name    string    `json:"name"`
	Expires time.Time `json:"expires"`
}

func (g *Gateway) registerSignIn(api huma.API) {
	tag, none := []string{"session"}, []map[string][]string{}
	limited := huma.Middlewares{g.limitSignIn(api)}
	huma.Register(api, huma.Operation{
		OperationID: "get-provider", Method: http.MethodGet, Path: "/v1/session/oidc", Tags: tag, Summary: "Get with whom persons sign in",
		Description: "204 if nobody can sign in with a provider.", Security: none, Middlewares: limited,
	}, g.getProvider)
	huma.Register(api, huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: "/v1/session/oidc", Tags: tag, Summary: "Get the token of a session for a code of the provider",
		Description: "The second half of the authorization code flow of OpenID Connect, with PKCE.", Security: none, Middlewares: limited,
	}, g.redeem)
	huma.Register(api, huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: "/v1/session/tokens", Tags: tag, Summary: "Make a personal token",
		Description: "For those who have signed in with a provider. It has the role and the tenant of the session, and is not kept: there is no list of tokens. `dagyo user revoke` " +
			"makes all of a person invalid.", DefaultStatus: http.StatusCreated,
	}, g.makeToken)
}

// limitSignIn limits requests without credentials.
func (g *Gateway) limitSignIn(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if g.signIn != nil && !g.signIn.allow(ctx.RemoteAddr()) {
			ctx.SetHeader("Retry-After", "1")
			g.refuse(api, ctx, fail(http.StatusTooManyRequests, errSignInFast.Error()))
			return
		}
		next(ctx)
	}
}

// A known provider, or none.
type known struct {
	Status int
	Body   *Provider
}

func (g *Gateway) getProvider(ctx context.Context, _ *struct{}) (*known, error) {
	s := g.signIn
	if s == nil {
		return &known{Status: http.StatusNoContent}, nil
	}
	endpoint, err := s.provider.Endpoint(ctx)
	if err != nil {
		return nil, g.cannot(err)
	}
	return &known{http.StatusOK, &Provider{
		Label: s.Settings.Title(), Endpoint: endpoint, Client: s.Settings.Client,
		Scopes: append([]string{"openid"}, s.Settings.Scopes...), Redirect: s.Settings.Redirect(),
	}}, nil
}

func (g *Gateway) redeem(ctx context.Context, in *returned) (*struct{ Body Token }, error) {
	s := g.signIn
	if s == nil {
		return nil, fail(http.StatusNotFound, errNoProvider.Error())
	}
	select {
	case s.exchanges <- struct{}{}:
		defer func() { <-s.exchanges }()
	default:
		return nil, fail(http.StatusServiceUnavailable, errSignInFast.Error())
	}
	log := g.config.Log.With().Str("service", "gateway").Str("from", in.from).Logger()
	person, credentials, err := s.signIn(ctx, in.Body)
	if err != nil {
		log.Warn().Err(err).Str("user", person.Name).Msg("not signed in")
		return nil, g.cannot(err)
	}
	log.Info().Str("user", person.Name).Str("tenant", person.Tenant).Str("role", string(person.Role)).Msg("signed in")
	return &struct{ Body Token }{Token{base64.StdEncoding.EncodeToString(credentials)}}, nil
}

// signIn returns the credentials of a session for a code.
func (s *signInState) signIn(ctx context.Context, r Return) (p signin.Person, credentials []byte, err error) {
	claims, err := s.provider.Redeem(ctx, signin.Code{Code: r.Code, Verifier: r.Verifier, Nonce: r.Nonce})
	if err != nil {
		return p, nil, err
	}
	if p, err = s.Settings.Person(claims); err != nil {
		return p, nil, err
	}
	credentials, err = s.Keys.Session(p, time.Now().Add(s.Settings.Session.D()))
	return p, credentials, err
}

func (g *Gateway) makeToken(ctx context.Context, in *struct{ Body NewToken }) (*struct{ Body PersonalToken }, error) {
	s, holder := g.signIn, sessionOf(ctx).holder
	if s == nil {
		return nil, fail(http.StatusNotFound, errNoProvider.Error())
	}
	longest := s.Settings.Tokens.D()
	valid := time.Duration(in.Body.Days) * 24 * time.Hour
	switch {
	case longest == 0:
		return nil, fail(http.StatusForbidden, errNoTokens.Error())
	case valid > longest:
		return nil, answer(usage(fmt.Errorf("a personal token may be valid for %v at most: ask for fewer days than %d", longest, in.Body.Days)))
	}
	expires := time.Now().Add(valid).Truncate(time.Second)
	credentials, err := s.Keys.Token(holder, in.Body.Name, expires)
	if err == nil {
		credentials, err = g.withAuthority(credentials)
	}
	if err != nil {
		return nil, g.cannot(err)
	}
	g.config.Log.Info().Str("service", "gateway").Str("user", holder.Name).Str("role", string(holder.Role)).
		Str("token", in.Body.Name).Time("expires", expires).Msg("made a personal token")
	return &struct{ Body PersonalToken }{PersonalToken{base64.StdEncoding.EncodeToString(credentials), in.Body.Name, expires}}, nil
}

// withAuthority appends what verifies the server, as `dagyo user add` does, so that the file works without the gateway.
func (g *Gateway) withAuthority(credentials []byte) ([]byte, error) {
	if g.config.Files.CA == "" {
		return credentials, nil
	}
	authority, err := os.ReadFile(g.config.Files.CA)
	if err != nil {
		return nil, fmt.Errorf("read the authority of NATS: %w", err)
	}
	return bytes.Join([][]byte{credentials, authority}, nil), nil
}

// cannot returns the answer for an error of signing in. What is no business of the person is in the log only.
func (g *Gateway) cannot(err error) error {
	var refused *signin.RefusedError
	switch {
	case errors.As(err, &refused), errors.Is(err, signin.ErrNoKey), errors.Is(err, signin.ErrStale):
		return fail(http.StatusForbidden, err.Error())
	case errors.Is(err, signin.ErrAway):
		g.config.Log.Error().Err(err).Str("service", "gateway").Msg("the provider of sign-in is away")
		return fail(http.StatusServiceUnavailable, signin.ErrAway.Error())
	}
	g.config.Log.Error().Err(err).Str("service", "gateway").Msg("cannot sign in")
	return fail(http.StatusServiceUnavailable, errSignInFails.Error())
}
