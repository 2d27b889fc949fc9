package docker

import (
	"context"
	"fmt"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	registries "github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
)

// RegistryAuth returns the credentials for an image's registry in the form that the Docker daemon expects for
// a push or a pull, or "" if there are none. It reads the credentials of `docker login`: config.json in
// $DOCKER_CONFIG or ~/.docker, and the helpers configured there.
func RegistryAuth(ctx context.Context, image string) (string, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", err
	}
	host, err := registries.NewRegistry(reference.Domain(named))
	if err != nil {
		return "", err
	}
	auth, err := lookUp(ctx, host)
	if err != nil {
		return "", fmt.Errorf("credentials for the registry %s: %w", host, err)
	}
	return auth, nil
}

func lookUp(ctx context.Context, host registries.Registry) (string, error) {
	found, err := authn.Resolve(ctx, authn.DefaultKeychain, host)
	if err != nil || found == authn.Anonymous {
		return "", err
	}
	c, err := authn.Authorization(ctx, found)
	if err != nil {
		return "", err
	}
	return authconfig.Encode(registry.AuthConfig{
		Username: c.Username, Password: c.Password, ServerAddress: host.RegistryStr(),
		IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
	})
}
