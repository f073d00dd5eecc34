package config

import _ "embed"

// Schema returns the JSON schema of limit.yaml (draft 2020-12), for editors. Tests hold it against the parser. It
// cannot tell what spans several values: the same tag limit twice with other numbers, certificates for endpoints
// without encryption.
func Schema() []byte { return []byte(schema) }

//go:embed schema.json
var schema string
