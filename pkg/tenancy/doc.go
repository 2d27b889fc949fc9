// Package tenancy runs services for many tenants.
//
// A tenant is two NATS accounts (package access), and a third one that nobody connects to: its record, whose description
// is what services must know of the tenant ([Tenant]). The operator signs the claims of all three. NATS servers keep them in
// their resolver, so that is the registry, and services read it over the system account, with a credential that allows
// nothing else ([Registry]). From the secret of its role, a service derives its credential for each tenant
// ([Tenant.Connect]). A [Host] starts, restarts and stops the service for each tenant; a tenant that makes its service fail
// stops no other.
//
//	$SYS.REQ.CLAIMS.PACK   the claims of all accounts, requested from the resolver of NATS
//	dagyo.tenants          published by who has changed them: it is time to read them
//	dagyo.tenants.<id>     published by services: what has become of a tenant
package tenancy
