package signin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/dagyo/dagyo/pkg/document"
)

const (
	// requestTime bounds each request to the provider, answerBytes its answer.
	requestTime = 10 * time.Second
	answerBytes = 1 << 20
	// secretBytes bounds the file with the client secret.
	secretBytes = 16 << 10
	// knownFor is how long the provider's configuration is used, failedFor how long it is not asked for again after an error.
	knownFor  = time.Hour
	failedFor = 2 * time.Second
	// skew is by how much the clocks of the provider and the gateway may differ.
	skew = time.Minute
)

// ErrAway is returned if the provider does not answer as it should: it may do so later.
var ErrAway = errors.New("the provider of sign-in does not answer: try again later")

// longestReason bounds what is told of an error, in bytes: those of go-oidc and x/oauth2 have the whole answer in them.
const longestReason = 500

// away returns ErrAway with its reason.
func away(err error) error {
	return fmt.Errorf("%w (%s)", ErrAway, document.Shorten(err.Error(), longestReason))
}

// A Provider is a provider of OpenID Connect. It is safe for concurrent use.
type Provider struct {
	settings *Settings
	client   *http.Client

	mu      sync.Mutex
	found   *found
	asked   time.Time
	failure error
}

// found is what is known of a provider.
type found struct {
	*oidc.Provider
	verifier *oidc.IDTokenVerifier
	style    oauth2.AuthStyle
}

// NewProvider returns the provider of settings. It is asked for its configuration when that is first needed.
func NewProvider(s *Settings) *Provider {
	return &Provider{settings: s, client: &http.Client{
		Timeout: requestTime, Transport: bounded{http.DefaultTransport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// bounded bounds the answers of a transport.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, answerBytes), res.Body}
	}
	return res, err
}

// Endpoint returns the address at which a browser begins.
func (p *Provider) Endpoint(ctx context.Context) (string, error) {
	f, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return f.Endpoint().AuthURL, nil
}

// discover returns the provider's configuration. While the provider is away, that from before is used.
func (p *Provider) discover(ctx context.Context) (*found, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lasts := knownFor
	if p.failure != nil {
		lasts = failedFor
	}
	if time.Since(p.asked) > lasts {
		// For all who wait, so not with the context of one.
		f, err := p.ask(oidc.ClientContext(context.WithoutCancel(ctx), p.client))
		if err == nil {
			p.found = f
		}
		p.asked, p.failure = time.Now(), err
	}
	if p.found == nil {
		return nil, p.failure
	}
	return p.found, nil
}

func (p *Provider) ask(ctx context.Context) (*found, error) {
	provider, err := oidc.NewProvider(ctx, p.settings.Issuer)
	if err != nil {
		return nil, away(err)
	}
	var more struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
		Keys    string   `json:"jwks_uri"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, away(err)
	}
	used := []string{provider.Endpoint().AuthURL, provider.Endpoint().TokenURL, more.Keys}
	if p.settings.UserInfo {
		used = append(used, provider.UserInfoEndpoint())
	}
	for _, address := range used {
		if why := badURL(address); why != "" {
			return nil, away(fmt.Errorf("its address %q %s", address, why))
		}
	}
	f := &found{Provider: provider, style: oauth2.AuthStyleInHeader}
	if p.settings.SecretFile == "" || len(more.Methods) > 0 && !slices.Contains(more.Methods, "client_secret_basic") {
		f.style = oauth2.AuthStyleInParams
	}
	f.verifier = provider.Verifier(&oidc.Config{
		ClientID: p.settings.Client, Now: func() time.Time { return time.Now().Add(-skew) },
	})
	return f, nil
}

// A Code is what a browser comes back with, and what it has made before it went to the provider.
type Code struct {
	Code, Verifier, Nonce string
}

// Redeem returns the claims of the person whom a code is for. Errors are of type RefusedError, or ErrAway.
func (p *Provider) Redeem(ctx context.Context, c Code) (map[string]any, error) {
	f, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := p.exchange(ctx, f, c)
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, refuse("the provider sent no ID token: the client must be allowed to use the scope openid")
	}
	id, err := f.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, explain(err)
	}
	claims := make(map[string]any)
	if err := id.Claims(&claims); err != nil {
		return nil, refuse("the claims of the ID token cannot be read: %v", err)
	}
	if c.Nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(c.Nonce)) != 1 {
		return nil, refuse("the ID token is not for this attempt to sign in (nonce): sign in again")
	}
	if party, ok := claims["azp"]; ok && party != p.settings.Client {
		return nil, refuse("the ID token was issued to another client (azp)")
	}
	if id.Subject == "" {
		return nil, refuse("the ID token names nobody (sub)")
	}
	if p.settings.UserInfo {
		err = f.complete(ctx, token, id.Subject, claims)
	}
	return claims, err
}

// exchange exchanges a code for tokens.
func (p *Provider) exchange(ctx context.Context, f *found, c Code) (*oauth2.Token, error) {
	secret, err := p.secret()
	if err != nil {
		return nil, err
	}
	endpoint := f.Endpoint()
	endpoint.AuthStyle = f.style // not found out with a code: it can be used once
	config := oauth2.Config{ClientID: p.settings.Client, ClientSecret: secret, Endpoint: endpoint, RedirectURL: p.settings.Redirect()}
	token, err := config.Exchange(ctx, c.Code, oauth2.VerifierOption(c.Verifier))
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return token, nil
	case !errors.As(err, &refused) || refused.Response.StatusCode >= 500:
		return nil, away(err)
	case refused.ErrorCode == "invalid_client", refused.ErrorCode == "unauthorized_client":
		return nil, away(fmt.Errorf("it does not accept this gateway: its operator must check client and secretFile: %q", refused.ErrorDescription))
	}
	return nil, refuse("the provider refuses the code: it was used before, is too old, or is for another browser: sign in again (%s)", refused.ErrorCode)
}

// secret returns the client secret, "" for a public client.
func (p *Provider) secret() (string, error) {
	if p.settings.SecretFile == "" {
		return "", nil
	}
	f, err := os.Open(p.settings.SecretFile)
	if err != nil {
		return "", fmt.Errorf("read the client secret: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, secretBytes))
	if err != nil {
		return "", fmt.Errorf("read the client secret: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// complete adds claims of the userinfo endpoint that the ID token does not have.
func (f *found) complete(ctx context.Context, token *oauth2.Token, subject string, claims map[string]any) error {
	info, err := f.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return away(fmt.Errorf("userinfo: %w", err))
	}
	if info.Subject != subject {
		return refuse("the userinfo endpoint of the provider answers about somebody else")
	}
	more := make(map[string]any)
	if err := info.Claims(&more); err != nil {
		return away(fmt.Errorf("userinfo: %w", err))
	}
	from := more // an address and whether it is verified belong together
	if _, ok := claims["email"]; !ok {
		from = claims
	}
	delete(from, "email_verified")
	maps.DeleteFunc(more, func(name string, _ any) bool { _, ok := claims[name]; return ok })
	maps.Copy(claims, more)
	return nil
}

// explain explains why an ID token is not valid.
func explain(err error) error {
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return refuse("the ID token expired at %s: if that is now, the clocks of the provider and of the gateway differ", expired.Expiry.UTC().Format(time.RFC3339))
	case strings.Contains(err.Error(), "fetching keys"):
		return away(err)
	}
	return refuse("the ID token is not valid: %v", err)
}
