// Package yamlread reads YAML written by people: every value knows its place, every mistake is told with it, and
// all mistakes of a file are told at once.
//
//	doc := yamlread.Parse("limit.yaml", data)            // or yamlread.ReadFile("limit.yaml", yamlread.MaxSize)
//	if top, ok := doc.Root().Fields("name", "retries"); ok {
//		config.Name, _ = top.Require("name").Text()
//		config.Retries, _ = top.Get("retries").Int(0, 10)
//	}
//	return doc.Err()                                    // nil, or a *multierror.Error of *Problem
//
// A Value reads itself as what it should be (Text, Int, Bool, Duration, List, OneOrMany, Fields, Entries). Where it
// is something else the document takes note, and the reader returns false; it also returns false, without a
// note, for what is absent or null. So a caller states what it expects and asks for the errors in the end.
//
// Parse itself refuses what no caller could use: other encodings than UTF-8, control characters, several documents,
// duplicate keys, nesting deeper than MaxDepth, aliases that contain themselves or grow beyond reason. After such
// a fault, duplicate keys apart, the root is absent: there is nothing to walk. Merge keys (<<) are applied, so
// a walk costs at most what MaxExpansion allows, whatever the file.
//
// Whole numbers are decimal: 010, which YAML reads as eight, 0x10 and 1_000 are refused with the spelling to use.
package yamlread
