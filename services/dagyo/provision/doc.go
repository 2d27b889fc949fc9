// Package provision makes what the NATS server, the services and the persons of an installation need to prove who they
// are, and stores it in a folder or in Secrets of Kubernetes. It can be repeated: what is still valid stays as it is.
//
//	keys/                    the keys of the installation; see package keyring
//	nats/auth.conf           to be included in the configuration of the NATS server
//	nats/tls.crt, .key       the server's certificate, if it has TLS
//	READER/ca.crt            the authority that has signed it, for all that connect
//	SERVICE/nats.creds       the credentials of each service
//	spawner/executors.json   the key that signs the credentials of executors
//	publisher/nats.creds     for what applies the standard progdefs
//	operator/nats.creds      for who installs Dagyo
//
// Each folder is for one reader.
package provision
