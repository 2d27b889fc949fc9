// Package event carries contract.Event over NATS as a CloudEvent. It decides whether a message is
// an event at all, which flow or progdef it is about, and whether its payload can be read; it does
// no I/O and reads no clock.
//
// Decode accepts both content modes of the CloudEvents NATS binding:
//
//   - structured: the body is the whole event as JSON, with the header "content-type:
//     application/cloudevents+json" or without any content type;
//   - binary: the body is the payload, and each attribute is a header, such as "ce-type". Names of
//     headers may be written in any case, since NATS keeps the case and clients differ.
//
// Encode always writes structured JSON, so that `nats sub` shows a whole event.
//
// Attributes are checked by the CloudEvents SDK. Its reader of structured JSON is not used: it
// keeps the last of repeated attributes, stops at an attribute without a name, and panics where
// data_base64 is one digit. Both modes are therefore read here into attributes and handed to the
// SDK one by one.
package event
