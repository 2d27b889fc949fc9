// Package provision makes what the NATS server, the services and the persons of an installation need to prove who they
// are, and stores it in a folder or in Secrets of Kubernetes. It can be repeated: what is still valid stays as it is.
//
//	keys/                    the keys of the installation; see package keyring
//	nats/auth.conf           to be included in the configuration of the NATS server; it includes the others there
//	nats/tls.crt, .key       the server's certificate, if it has TLS
//	READER/ca.crt            the authority that has signed it, for all that connect
//	SERVICE/nats.creds       the credentials of each service in the default tenant
//	SERVICE/tenants.json     what a service needs to serve all tenants
//	spawner/executors.json   the key that signs the credentials of executors
//	publisher/nats.creds     for what applies the standard progdefs
//	platform/tenants.json    for what copies progdefs to tenants
//	operator/nats.creds      for who installs Dagyo
//	gateway/sign-in.json     the keys to sign persons in with, none unless `dagyo keys sign-in` allows it; the gateway has no
//	                         credentials
//
// Each folder is for one reader.
package provision
