// Package schemas contains the JSON Schemas (2020-12) of every event and document, an example of each, and the golden
// vectors of the wire format.
package schemas

import "embed"

// Files is this folder: <type>.json for each event, flow.json, progdef.json, job.json, policy.json, sign-in.json
// and test.json for the documents, examples/<name>.json, wire/*.
//
//go:embed *.json examples wire
var Files embed.FS

// BaseURL is the URL at which the schemas are published: the $id of each is BaseURL followed by its file name. Dagyo
// never fetches it.
const BaseURL = "https://raw.githubusercontent.com/dagyo/dagyo/main/schemas/"
