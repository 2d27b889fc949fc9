package image

import (
	"fmt"
	"os"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
)

// logins are those of Docker's command line: what `docker login` has kept in its file or in a credential
// helper. They are handed to the daemon with a request, and to nobody else.
type logins struct{ file *configfile.ConfigFile }

func loadLogins() (logins, error) {
	f, err := config.Load(os.Getenv(config.EnvOverrideConfigDir)) // "": in the home folder
	if err != nil {
		return logins{}, fmt.Errorf("read Docker's logins: %w", err)
	}
	return logins{f}, nil
}

// all returns every login by registry, for the base images of a Dockerfile. A credential helper that does
// not answer is no error yet: most base images need no login.
func (l logins) all() map[string]registry.AuthConfig {
	stored, _ := l.file.GetAllCredentials()
	out := make(map[string]registry.AuthConfig, len(stored))
	for host, c := range stored {
		out[host] = toAPI(c)
	}
	return out
}

// header is the login of one registry as a request carries it.
func (l logins) header(host string) (string, error) {
	c, err := l.file.GetAuthConfig(host)
	if err != nil {
		return "", fmt.Errorf("read Docker's login of %s: %w", host, err)
	}
	return authconfig.Encode(toAPI(c))
}

func toAPI(c types.AuthConfig) registry.AuthConfig {
	return registry.AuthConfig{
		Username: c.Username, Password: c.Password, Auth: c.Auth, ServerAddress: c.ServerAddress,
		IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
	}
}
