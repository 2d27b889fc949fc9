// Package keyring keeps the keys of an installation in a folder: those of the operator, the secrets that the keys of
// accounts and roles are derived from, and the tenants. Files are readable by their owner only.
//
//	operator.nk         the operator's seed; it signs accounts
//	system.nk           the seed of the server's own account
//	accounts.secret     the identities of accounts are derived from it
//	roles/ROLE.secret   the keys that sign credentials of the role, in every tenant
//	roles/ROLE.previous those before a rotation, until they are retired
//	roles/sign-in.*     the same of the keys that sign credentials of persons who sign in with a provider
//	users/TENANT/*.json the credentials of persons that were issued, without their keys
//	tenants/NAME.json   the tenants; in removed/, those of which NATS may still have something
//
// The keyring says which tenants there are. NATS servers and services know what [Keyring.Publish] tells them.
//
// Whoever may only issue credentials of one role needs only the file of that role, and the tenants.
package keyring
