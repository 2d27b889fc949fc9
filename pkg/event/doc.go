// Package event sends and receives contract.Event over NATS as a CloudEvent. It decides whether a message
// is an event, which flow or progdef it is about, and whether its payload can be read; it does no I/O and
// reads no clock.
//
// Decode accepts both content modes of the CloudEvents NATS binding:
//
//   - structured: the body is the whole event as JSON, with the header "content-type:
//     application/cloudevents+json" or without any content type;
//   - binary: the body is the payload, and each attribute is a header, such as "ce-type". Header names are
//     not case-sensitive, since NATS keeps the case and clients differ.
//
// Encode always writes structured JSON, so that `nats sub` shows a whole event.
//
// Attributes are checked by the CloudEvents SDK. Its reader of structured JSON is not used: it keeps the
// last of repeated attributes, stops at an attribute without a name, and panics if data_base64 is one
// digit. So this package reads both modes into attributes and passes those to the SDK one by one.
package event
