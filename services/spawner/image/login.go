package image

import (
	"fmt"
	"os"

	"github.com/docker/cli/cli/config"
	"github.com/moby/moby/api/types/registry"
)

// allLogins returns the credentials of `docker login` by registry. It returns all of them, because it is unknown which
// ones the base images of a Dockerfile need. A failing credential helper is not an error, since most builds need none.
func allLogins() (map[string]registry.AuthConfig, error) {
	file, err := config.Load(os.Getenv(config.EnvOverrideConfigDir)) // "" is the default folder
	if err != nil {
		return nil, fmt.Errorf("read Docker's logins: %w", err)
	}
	stored, _ := file.GetAllCredentials()
	out := make(map[string]registry.AuthConfig, len(stored))
	for host, c := range stored {
		out[host] = registry.AuthConfig{
			Username: c.Username, Password: c.Password, Auth: c.Auth, ServerAddress: c.ServerAddress,
			IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
		}
	}
	return out, nil
}
