package provider

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The clients: one with a secret, one without.
const (
	Client = "dagyo"
	Secret = "a secret of the client"
	Public = "dagyo-public"
)

// Password is that of every user.
const Password = "verysecure"

// A User has an account at the provider. The name is the claim preferred_username.
type User struct {
	Name     string
	Groups   []string
	Verified bool // the e-mail address, NAME@example.com
}

// A Provider is a running provider.
type Provider struct {
	// URL is its issuer.
	URL string

	server   *http.Server
	listener net.Listener
	serving  sync.WaitGroup

	mu     sync.Mutex
	away   bool
	tamper func(claims map[string]any) string
}

// Start starts a provider on an address of the loopback interface. The redirect URIs are those of its clients. The caller
// must close it.
func Start(address string, redirects []string, users ...User) (*Provider, error) {
	slog.SetLogLoggerLevel(slog.LevelError + 1) // it logs each request, and what is wrong with it
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &Provider{URL: "http://" + l.Addr().String(), listener: l}
	kept := &store{groups: make(map[string][]string), Storage: storage.NewStorageWithClients(accounts(users), map[string]*storage.Client{
		Client: storage.WebClient(Client, Secret, redirects...), Public: storage.NativeClient(Public, redirects...),
	})}
	for _, u := range users {
		kept.groups["id-"+u.Name] = u.Groups
	}
	p.server = &http.Server{Handler: p.between(exampleop.SetupServer(p.URL, kept, nil, false)), ReadHeaderTimeout: 10 * time.Second}
	p.serving.Go(func() { _ = p.server.Serve(l) }) // until close
	return p, nil
}

// Close stops it.
func (p *Provider) Close() error {
	err := p.server.Close()
	p.serving.Wait()
	return err
}

// accounts are the accounts of users.
type accounts []User

func (a accounts) GetUserByID(id string) *storage.User {
	return a.GetUserByUsername(strings.TrimPrefix(id, "id-"))
}

func (a accounts) GetUserByUsername(name string) *storage.User {
	for _, u := range a {
		if u.Name == name {
			return &storage.User{ID: "id-" + u.Name, Username: u.Name, Password: Password, Email: u.Name + "@example.com", EmailVerified: u.Verified}
		}
	}
	return nil
}

func (accounts) ExampleClientID() string { return storage.ServiceUserID }

// store adds the claim groups to ID tokens.
type store struct {
	*storage.Storage
	groups map[string][]string
}

// SetUserinfoFromRequest implements op.CanSetUserinfoFromRequest.
func (s *store) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, token op.IDTokenRequest, scopes []string) error {
	info.AppendClaims("groups", s.groups[token.GetSubject()])
	return s.Storage.SetUserinfoFromRequest(ctx, info, token, scopes)
}

// Away makes it answer nothing but errors, or ends that.
func (p *Provider) Away(is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = is
}

// Tamper replaces ID tokens by what a function makes of their claims; nil ends that. A token that Sign has signed is one of
// the provider.
func (p *Provider) Tamper(f func(claims map[string]any) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tamper = f
}

const keyID = "second"

// second is a key of all providers: making one takes a while.
var second = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// Sign signs claims with a key of the provider.
func (p *Provider) Sign(claims map[string]any) string { return sign(second(), jose.RS256, claims) }

// SignWith signs claims with another key, which the provider says nothing of.
func SignWith(key any, algorithm jose.SignatureAlgorithm, claims map[string]any) string {
	return sign(key, algorithm, claims)
}

func sign(key any, algorithm jose.SignatureAlgorithm, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: keyID}}, nil)
	if err != nil {
		panic(err) // the tests choose the key
	}
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return token
}

// between changes answers.
func (p *Provider) between(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		away, tamper := p.away, p.tamper
		p.mu.Unlock()
		var change func(map[string]any) error
		switch {
		case away:
			http.Error(w, "away", http.StatusBadGateway)
			return
		case r.URL.Path == "/keys":
			change = p.addKey
		case tamper != nil && r.URL.Path == "/oauth/token":
			change = func(answer map[string]any) error { return replace(answer, tamper) }
		default:
			next.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		var body map[string]any
		err := json.Unmarshal(answer.Body.Bytes(), &body)
		if err == nil {
			err = change(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.Code)
		_ = json.NewEncoder(w).Encode(body) // the client may have gone
	})
}

// addKey adds the key of Sign to those of the provider.
func (p *Provider) addKey(answer map[string]any) error {
	keys, _ := answer["keys"].([]any)
	answer["keys"] = append(keys, jose.JSONWebKey{Key: &second().PublicKey, KeyID: keyID, Use: "sig", Algorithm: string(jose.RS256)})
	return nil
}

func replace(answer map[string]any, tamper func(map[string]any) string) error {
	token, _ := answer["id_token"].(string)
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil // it has refused the request
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		return fmt.Errorf("the claims %s: %w", text, err)
	}
	answer["id_token"] = tamper(claims)
	return nil
}
