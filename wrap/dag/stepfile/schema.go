package stepfile

import _ "embed"

// Schema returns the JSON schema of step files, for editors. It says what a schema can say: that names are those of
// steps, that the graph has no circle and the like is for Parse alone.
func Schema() string { return schema }

//go:embed schema.json
var schema string
