//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// names resolves the services of the cluster, and no external names.
type names struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

func newNames(factory informers.SharedInformerFactory) *names {
	return &names{
		services: factory.Core().V1().Services().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
	}
}

// serveNames answers, by UDP and TCP, until the context ends.
func (c *components) serveNames(ctx context.Context, n *names) error {
	const address = Address + ":53"
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return errors.Join(err, packets.Close())
	}
	for _, server := range []*dns.Server{
		{PacketConn: packets, Handler: n},
		{Listener: listener, Handler: n},
	} {
		context.AfterFunc(ctx, func() { server.Shutdown() })
		c.own("the name server", server.ActivateAndServe)
	}
	return nil
}

// ServeDNS answers the only question of a request.
func (n *names) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	reply := new(dns.Msg).SetReply(request)
	reply.Authoritative = true
	question := request.Question[0]
	records, known := n.lookup(question.Name)
	if !known {
		reply.Rcode = dns.RcodeNameError
	}
	for _, r := range records {
		if r.Header().Rrtype == question.Qtype {
			reply.Answer = append(reply.Answer, r)
		}
	}
	_ = w.WriteMsg(reply) // the client will retry
}

// lookup returns the records of a name. A known name may have no records.
func (n *names) lookup(name string) (records []dns.RR, known bool) {
	rest, ok := strings.CutSuffix(strings.ToLower(name), ".svc."+Domain+".")
	if !ok {
		return nil, false
	}
	part := strings.Split(rest, ".")
	if len(part) < 2 {
		return nil, false
	}
	within := part[:len(part)-2]
	service, err := n.services.Services(part[len(part)-1]).Get(part[len(part)-2])
	if err != nil {
		return nil, false
	}
	switch {
	case len(within) == 0:
		return addressRecords(name, n.addresses(service, "")), true
	case len(within) == 1:
		addresses := n.addresses(service, within[0])
		return addressRecords(name, addresses), len(addresses) > 0
	case len(within) == 2 && strings.HasPrefix(within[0], "_"):
		records = n.portRecords(name, service, within[0][1:], strings.TrimPrefix(within[1], "_"))
		return records, len(records) > 0
	}
	return nil, false
}

// addresses returns the addresses of the service; for a headless service, or with a host name, those of its pods.
func (n *names) addresses(service *corev1.Service, host string) []string {
	switch ip := service.Spec.ClusterIP; {
	case ip == "": // not yet assigned, or an alias of an external name
		return nil
	case ip != corev1.ClusterIPNone && host == "":
		return []string{ip}
	}
	var addresses []string
	for _, s := range n.endpoints(service) {
		for _, e := range s.Endpoints {
			if ready(e) && (host == "" || e.Hostname != nil && *e.Hostname == host) {
				addresses = append(addresses, e.Addresses...)
			}
		}
	}
	return addresses
}

// portRecords returns the host and number of a port of the service; for a headless service, one record per pod with a
// host name.
func (n *names) portRecords(name string, service *corev1.Service, port, protocol string) []dns.RR {
	host := fmt.Sprintf("%s.%s.svc.%s.", service.Name, service.Namespace, Domain)
	var records []dns.RR
	if service.Spec.ClusterIP != corev1.ClusterIPNone {
		for _, p := range service.Spec.Ports {
			if p.Name == port && strings.EqualFold(string(p.Protocol), protocol) {
				records = append(records, portRecord(name, host, p.Port))
			}
		}
		return records
	}
	for _, s := range n.endpoints(service) {
		at := slices.IndexFunc(s.Ports, func(p discoveryv1.EndpointPort) bool {
			return *p.Name == port && strings.EqualFold(string(*p.Protocol), protocol)
		})
		for _, e := range s.Endpoints {
			if at >= 0 && ready(e) && e.Hostname != nil {
				records = append(records, portRecord(name, *e.Hostname+"."+host, *s.Ports[at].Port))
			}
		}
	}
	return records
}

func (n *names) endpoints(service *corev1.Service) []*discoveryv1.EndpointSlice {
	of := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name})
	list, err := n.slices.EndpointSlices(service.Namespace).List(of)
	if err != nil {
		return nil
	}
	return list
}

func ready(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

func portRecord(name, host string, port int32) dns.RR {
	return &dns.SRV{Hdr: header(name, dns.TypeSRV), Port: uint16(port), Target: host}
}

func addressRecords(name string, addresses []string) []dns.RR {
	var records []dns.RR
	for _, a := range addresses {
		records = append(records, &dns.A{Hdr: header(name, dns.TypeA), A: net.ParseIP(a)})
	}
	return records
}

func header(name string, kind uint16) dns.RR_Header {
	// Answers must not be cached: a test does not wait until a name expires.
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET}
}
