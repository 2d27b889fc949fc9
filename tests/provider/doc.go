// Package provider runs a provider of OpenID Connect for tests: the example of zitadel/oidc, with its login form, its
// clients and its checks. Users are in groups, and its answers can be made wrong.
package provider
