// Package signin signs persons in with a provider of OpenID Connect: the authorization code flow with PKCE, of which the
// browser does the first half and the gateway the second.
//
// [Provider] exchanges a code for what the provider proves of a person. [Settings.Person], which is pure, decides who that
// is in Dagyo: name, tenant and role. [Keys] issue credentials for that; they are all that the gateway needs for it.
package signin
