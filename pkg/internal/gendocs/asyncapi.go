package main

import (
	"encoding/json"
	"io/fs"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/schemas"
)

type object = map[string]any

const components = "#/components/schemas/"

// asyncAPI returns the AsyncAPI 3 document. It describes Dagyo as a whole, which receives what users send, and sends
// everything else.
func asyncAPI() ([]byte, error) {
	parts, err := bundle()
	if err != nil {
		return nil, err
	}
	channels, operations, messages := object{}, object{}, object{}
	for _, entry := range contract.Table {
		name := string(entry.Type)
		if messages[name], err = messageOf(entry); err != nil {
			return nil, err
		}
		channels[name] = channelOf(entry)
		for _, publisher := range entry.Publishers {
			operations[publisher+"."+name] = operationOf(entry, publisher)
		}
	}
	for _, q := range contract.Questions {
		question(q, channels, operations, messages)
	}
	out, err := json.MarshalIndent(object{
		"asyncapi": "3.0.0",
		"info": object{
			"title":   "Dagyo",
			"version": "1.0.0",
			"description": "Every event on Dagyo's EVENTS stream, and every question that services answer. Events " +
				"are CloudEvents 1.0 on NATS JetStream; Dagyo writes structured JSON and also reads binary " +
				"mode. Questions (ask.*) are NATS requests: an answer with the header Nats-Service-Error-Code is " +
				"an error, which Nats-Service-Error describes. docs/clients.md describes how to use both.",
		},
		"defaultContentType": "application/cloudevents+json",
		"channels":           channels,
		"operations":         operations,
		"components":         object{"messages": messages, "schemas": parts},
	}, "", "  ")
	return append(out, '\n'), err
}

func ref(pointer string) object { return object{"$ref": pointer} }

func channelOf(entry contract.Entry) object {
	name := string(entry.Type)
	channel := object{
		"address":  address(entry, "{", "}"),
		"summary":  entry.Doc,
		"messages": object{name: ref("#/components/messages/" + name)},
	}
	if sender := named(entry, "<its name>"); entry.From(sender) {
		channel["description"] = "A named sender publishes on " + sender.On(address(entry, "<", ">")) + "."
	}
	if tokens := tokensOf(entry); len(tokens) > 0 {
		parameters := object{}
		for _, t := range tokens {
			parameters[t] = object{"description": "The " + t + "'s name."}
		}
		channel["parameters"] = parameters
	}
	return channel
}

// tokensOf names the variable tokens of an event's NATS subject.
func tokensOf(entry contract.Entry) []string {
	if entry.Command {
		return nil
	}
	return map[contract.Of][]string{
		contract.OfFlow:     {"flow"},
		contract.OfJob:      {"flow", "job"},
		contract.OfExecutor: {"progdef", "executor"},
		contract.OfProgdef:  {"progdef"},
		contract.OfType:     {"type"},
		contract.OfWebhook:  {"webhook"},
	}[entry.Of]
}

func address(entry contract.Entry, open, end string) string {
	out := string(entry.Type)
	for _, t := range tokensOf(entry) {
		out += "." + open + t + end
	}
	return out
}

func operationOf(entry contract.Entry, publisher string) object {
	name := string(entry.Type)
	action := "send"
	if entry.Command {
		action = "receive"
	}
	return object{
		"action":   action,
		"summary":  entry.Doc,
		"channel":  ref("#/channels/" + name),
		"messages": []any{ref("#/channels/" + name + "/messages/" + name)},
		"tags":     []any{object{"name": publisher}},
	}
}

func messageOf(entry contract.Entry) (object, error) {
	name := string(entry.Type)
	raw, err := fs.ReadFile(schemas.Files, "examples/"+name+".json")
	if err != nil {
		return nil, err
	}
	var example object
	if err := json.Unmarshal(raw, &example); err != nil {
		return nil, err
	}
	return object{
		"name":        name,
		"title":       name,
		"summary":     entry.Doc,
		"contentType": "application/cloudevents+json",
		"payload":     envelope(entry),
		"examples":    []any{object{"name": "example", "payload": example}},
	}, nil
}

// question adds the channel, the operation and the messages of a question.
func question(q contract.Question, channels, operations, messages object) {
	asked, answered := q.Subject+".question", q.Subject+".answer"
	messages[asked] = object{
		"name": asked, "title": asked, "summary": q.Doc, "contentType": "application/json", "payload": asking(q),
	}
	messages[answered] = object{
		"name": answered, "title": answered, "summary": "The answer to " + q.Subject + ".",
		"contentType": "application/json", "payload": answering(q), "headers": answerHeaders(),
	}
	if q.Text != "" {
		messages[asked].(object)["contentType"] = "text/plain"
	}
	channels[q.Subject] = object{
		"address": q.Subject, "summary": q.Doc,
		"messages": object{asked: ref("#/components/messages/" + asked)},
	}
	answers := q.Subject + ".answers"
	channels[answers] = object{
		"address": nil, "summary": "The reply subject of a request to " + q.Subject + ".",
		"messages": object{answered: ref("#/components/messages/" + answered)},
	}
	operations[q.By+"."+q.Subject] = object{
		"action": "receive", "summary": q.Doc, "channel": ref("#/channels/" + q.Subject),
		"messages": []any{ref("#/channels/" + q.Subject + "/messages/" + asked)},
		"tags":     []any{object{"name": q.By}},
		"reply": object{
			"channel":  ref("#/channels/" + answers),
			"messages": []any{ref("#/channels/" + answers + "/messages/" + answered)},
		},
	}
}

// asking is the schema of a question's body.
func asking(q contract.Question) object {
	out := object{"type": "string", "maxLength": 0, "description": "No body."}
	switch {
	case q.Asked != "" && q.Optional:
		out = object{"anyOf": []any{ref(components + q.Asked), out}}
	case q.Asked != "":
		out = ref(components + q.Asked)
	case q.Text != "" && q.Optional:
		out = object{"type": "string", "description": "As plain text: " + q.Text + ", or nothing."}
	case q.Text != "":
		out = object{"type": "string", "minLength": 1, "description": "As plain text: " + q.Text + "."}
	}
	return out
}

// answering is the schema of an answer's body.
func answering(q contract.Question) object {
	var all []any
	for _, a := range q.Answers {
		switch {
		case a.Event != "":
			entry, _ := contract.Lookup(a.Event)
			all = append(all, envelope(entry))
		case a.List:
			all = append(all, object{"type": "array", "items": ref(components + a.Schema)})
		default:
			all = append(all, ref(components+a.Schema))
		}
	}
	if len(all) == 1 {
		return all[0].(object)
	}
	return object{"oneOf": all}
}

func answerHeaders() object {
	text := func(description string) object { return object{"type": "string", "description": description} }
	return object{"type": "object", "properties": object{
		"Nats-Service-Error-Code": text("Set if the request failed: 404 if not found, otherwise 400."),
		"Nats-Service-Error":      text("The error, in one sentence."),
	}}
}

// envelope is the schema of the whole event in structured mode.
func envelope(entry contract.Entry) object {
	text := func(description string) object {
		return object{"type": "string", "description": description}
	}
	out := object{
		"type":     "object",
		"required": []any{"specversion", "id", "source", "type", "data"},
		"properties": object{
			"specversion":     object{"const": "1.0", "description": "The version of CloudEvents."},
			"id":              text("Unique among the events of its source."),
			"source":          text("Who published the event, as a URI reference."),
			"type":            object{"const": string(entry.Type), "description": "The event's type."},
			"subject":         text("The id of the flow, progdef, type or executor."),
			"time":            object{"type": "string", "format": "date-time", "description": "When the event was published."},
			"datacontenttype": text("JSON; optional."),
			"traceparent":     text("W3C trace context, copied from cause to effect. Events about a job have that of the job's span."),
			"tracestate":      text("W3C tracestate, copied with it."),
			"cause":           text("The sequence number in EVENTS of the command that the event answers, if it answers one."),
			"data":            ref(components + string(entry.Type)),
		},
	}
	if entry.MayRefer() { // data that does not fit into a message is in the object store
		out["required"] = []any{"specversion", "id", "source", "type"}
		out["oneOf"] = []any{object{"required": []any{"data"}}, object{"required": []any{"dataref"}}}
		out["properties"].(object)["dataref"] = object{
			"type": "string", "pattern": "^nats-object://data/.+$",
			"description": "Instead of data, if that does not fit into a message: its object in the store `data`.",
		}
	}
	return out
}

// bundle returns every schema file, with references that lead into the bundle.
func bundle() (object, error) {
	files, err := fs.Glob(schemas.Files, "*.json")
	if err != nil {
		return nil, err
	}
	out := object{}
	for _, file := range files {
		raw, err := fs.ReadFile(schemas.Files, file)
		if err != nil {
			return nil, err
		}
		var schema object
		if err := json.Unmarshal(raw, &schema); err != nil {
			return nil, err
		}
		delete(schema, "$schema")
		delete(schema, "$id")
		out[strings.TrimSuffix(file, ".json")] = rebase(file, schema)
	}
	return out, nil
}

// rebase rewrites the references in a schema from file. In AsyncAPI's older dialect a reference has no sibling
// keywords, so these move to an enclosing schema.
func rebase(file string, schema any) any {
	switch s := schema.(type) {
	case []any:
		out := slices.Clone(s)
		for i := range out {
			out[i] = rebase(file, out[i])
		}
		return out
	case object:
		out := object{}
		for key, value := range s {
			out[key] = rebase(file, value)
		}
		pointer, isRef := s["$ref"].(string)
		if !isRef {
			return out
		}
		delete(out, "$ref")
		target := ref(absolute(file, pointer))
		if len(out) == 0 {
			return target
		}
		out["allOf"] = []any{target}
		return out
	default:
		return schema
	}
}

func absolute(file, pointer string) string {
	target, fragment, _ := strings.Cut(pointer, "#")
	if target == "" {
		target = file
	}
	return components + strings.TrimSuffix(target, ".json") + fragment
}
