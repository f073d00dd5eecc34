package stepfile

// Schema returns the JSON schema of step files, for editors. It says what a schema can say: that names are those of steps, that
// the graph has no circle and the like is for Parse alone.
func Schema() string { return schema }

const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "limit-dag.schema.json",
  "title": "step file of limit dag",
  "type": "object",
  "required": ["steps"],
  "additionalProperties": false,
  "properties": {
    "name": {"$ref": "#/$defs/line", "description": "shown in status and reports; default: the name of the file"},
    "tags": {"$ref": "#/$defs/tags", "description": "tags of the run, matched by the tag limits of the run queue"},
    "priority": {"$ref": "#/$defs/priority", "description": "of the run in the run queue and before pools: higher first"},
    "params": {
      "description": "values that --param sets; steps have them as $PARAM_<NAME>; null: required",
      "type": ["object", "null"],
      "propertyNames": {"pattern": "[A-Za-z0-9]"},
      "additionalProperties": {"type": ["string", "number", "boolean", "null"]}
    },
    "env": {"$ref": "#/$defs/env", "description": "environment of all steps"},
    "secrets": {
      "description": "environment variables that must be set; their values are masked in logs and reports",
      "oneOf": [{"$ref": "#/$defs/variable"}, {"type": "array", "items": {"$ref": "#/$defs/variable"}, "uniqueItems": true}, {"type": "null"}]
    },
    "dir": {"$ref": "#/$defs/dir", "description": "working directory, relative to this file"},
    "shell": {"$ref": "#/$defs/shell"},
    "timeout": {"$ref": "#/$defs/duration", "description": "of the whole run"},
    "executor": {
      "description": "limits of this run's steps",
      "type": ["object", "null"],
      "additionalProperties": false,
      "properties": {
        "max_concurrent": {"description": "slots; default: the number of CPUs", "oneOf": [{"type": "integer", "minimum": 1, "maximum": 2147483647}, {"type": "null"}]},
        "tag_concurrency_limits": {
          "oneOf": [{"type": "array", "items": {"$ref": "#/$defs/tag_limit"}}, {"type": "null"}]
        }
      }
    },
    "defaults": {
      "description": "of all steps",
      "type": ["object", "null"],
      "additionalProperties": false,
      "properties": {
        "pool": {"$ref": "#/$defs/pool"},
        "tags": {"$ref": "#/$defs/tags"},
        "env": {"$ref": "#/$defs/env"},
        "dir": {"$ref": "#/$defs/dir"},
        "shell": {"$ref": "#/$defs/shell"},
        "timeout": {"$ref": "#/$defs/duration"},
        "grace": {"$ref": "#/$defs/duration"},
        "retry": {"$ref": "#/$defs/retry"},
        "priority": {"$ref": "#/$defs/priority"},
        "continue_on_error": {"$ref": "#/$defs/tolerance"},
        "slots": {"$ref": "#/$defs/slots"}
      }
    },
    "steps": {
      "type": "object",
      "minProperties": 1,
      "propertyNames": {"not": {"pattern": "^(-|tag:)"}, "pattern": "^[^+,\\[\\]*\\s\\x00-\\x1f\\x7f]{1,200}$"},
      "additionalProperties": {"oneOf": [{"$ref": "#/$defs/command"}, {"$ref": "#/$defs/step"}]}
    }
  },
  "$defs": {
    "line": {"oneOf": [{"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]+$"}, {"type": ["number", "boolean", "null"]}]},
    "scalar": {"type": ["string", "number", "boolean", "null"]},
    "name": {"type": ["string", "number", "boolean"]},
    "variable": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
    "command": {
      "description": "given to the shell as it stands",
      "oneOf": [{"type": "string", "pattern": "\\S", "not": {"pattern": "\\$\\{\\{"}}, {"type": ["number", "boolean"]}]
    },
    "tags": {"type": ["object", "null"], "propertyNames": {"pattern": "^[^\\x00-\\x1f\\x7f]+$"}, "additionalProperties": {"$ref": "#/$defs/tag_value"}},
    "tag_value": {"oneOf": [{"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]*$"}, {"type": ["number", "boolean", "null"]}]},
    "env": {
      "type": ["object", "null"],
      "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "not": {"pattern": "^LIMIT_"}},
      "additionalProperties": {"$ref": "#/$defs/scalar"}
    },
    "dir": {"oneOf": [{"type": "string", "minLength": 1}, {"type": "null"}]},
    "shell": {
      "description": "default /bin/sh -e; bash adds -o pipefail; others with their option, such as python3 -c",
      "oneOf": [
        {"type": "string", "pattern": "^\\s*(\\S*/)?(sh|bash|dash|ash|ksh|mksh|zsh)\\s*$"},
        {"type": "string", "pattern": "\\S\\s+\\S"},
        {"type": "null"}
      ]
    },
    "duration": {
      "description": "90s, 15m, 1h30m; 0: none",
      "oneOf": [{"type": "string", "pattern": "^\\+?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$|^[+-]?0$"}, {"const": 0}, {"type": "null"}]
    },
    "priority": {"oneOf": [{"type": "integer", "minimum": -2147483648, "maximum": 2147483647}, {"type": "null"}]},
    "slots": {"description": "of max_concurrent", "oneOf": [{"type": "integer", "minimum": 1, "maximum": 2147483647}, {"type": "null"}]},
    "exit_code": {"type": "integer", "minimum": 1, "maximum": 255},
    "pool": {
      "description": "NAME, NAME=SLOTS, or a list of them",
      "oneOf": [{"$ref": "#/$defs/pool_claim"}, {"type": "array", "items": {"$ref": "#/$defs/pool_claim"}}, {"type": "null"}]
    },
    "pool_claim": {"oneOf": [{"type": "string", "pattern": "^[^=\\x00-\\x1f\\x7f]+$|^[^\\x00-\\x1f\\x7f]+=\\+?0*[1-9][0-9]*$|\\$\\{\\{"}, {"type": ["number", "boolean"]}]},
    "retry": {
      "description": "number of further attempts, or all of it",
      "oneOf": [
        {"type": "integer", "minimum": 0, "maximum": 2147483647},
        {
          "type": "object",
          "additionalProperties": false,
          "properties": {
            "max": {"oneOf": [{"type": "integer", "minimum": 0, "maximum": 2147483647}, {"type": "null"}]},
            "delay": {"$ref": "#/$defs/duration"},
            "backoff": {"enum": ["constant", "linear", "exponential", null]},
            "max_delay": {"$ref": "#/$defs/duration"},
            "exit_codes": {"oneOf": [{"$ref": "#/$defs/exit_code"}, {"type": "array", "items": {"$ref": "#/$defs/exit_code"}}, {"type": "null"}]}
          }
        },
        {"type": "null"}
      ]
    },
    "tolerance": {
      "description": "failures that count as success for those that need the step: true, or exit codes",
      "oneOf": [{"type": ["boolean", "null"]}, {"$ref": "#/$defs/exit_code"}, {"type": "array", "items": {"$ref": "#/$defs/exit_code"}}]
    },
    "tag_limit": {
      "type": "object",
      "required": ["key", "limit"],
      "additionalProperties": false,
      "properties": {
        "key": {"oneOf": [{"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]+$"}, {"type": ["number", "boolean"]}]},
        "value": {
          "description": "exactly this value, or each value with the limit for itself; left out: all steps with the key",
          "oneOf": [
            {"$ref": "#/$defs/scalar"},
            {"type": "object", "required": ["applyLimitPerUniqueValue"], "additionalProperties": false, "properties": {"applyLimitPerUniqueValue": {"type": "boolean"}}}
          ]
        },
        "limit": {"type": "integer", "minimum": 0, "maximum": 2147483647}
      }
    },
    "matrix_value": {"oneOf": [{"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]+$"}, {"type": ["number", "boolean", "null"]}]},
    "combinations": {
      "oneOf": [
        {"type": "array", "items": {"type": ["object", "null"], "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"}, "additionalProperties": {"$ref": "#/$defs/matrix_value"}}},
        {"type": "null"}
      ]
    },
    "step": {
      "type": "object",
      "required": ["run"],
      "additionalProperties": false,
      "properties": {
        "run": {"$ref": "#/$defs/command"},
        "needs": {
          "description": "steps that come before this one",
          "oneOf": [{"$ref": "#/$defs/name"}, {"type": "array", "items": {"$ref": "#/$defs/name"}}, {"type": "null"}]
        },
        "matrix": {
          "description": "one step for each combination; ids are step[value,value]",
          "type": ["object", "null"],
          "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
          "properties": {"include": {"$ref": "#/$defs/combinations"}, "exclude": {"$ref": "#/$defs/combinations"}},
          "additionalProperties": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/matrix_value"}}
        },
        "if": {"description": "a command: exit 0 runs the step, 1 to 125 skips it", "oneOf": [{"$ref": "#/$defs/command"}, {"type": "null"}]},
        "when": {"description": "which outcomes of its needs let the step run", "enum": ["on_success", "on_failure", "always", null]},
        "console": {"description": "gets the terminal, one step at a time", "type": ["boolean", "null"]},
        "pool": {"$ref": "#/$defs/pool"},
        "tags": {"$ref": "#/$defs/tags"},
        "env": {"$ref": "#/$defs/env"},
        "dir": {"$ref": "#/$defs/dir"},
        "shell": {"$ref": "#/$defs/shell"},
        "timeout": {"$ref": "#/$defs/duration"},
        "grace": {"$ref": "#/$defs/duration"},
        "retry": {"$ref": "#/$defs/retry"},
        "priority": {"$ref": "#/$defs/priority"},
        "continue_on_error": {"$ref": "#/$defs/tolerance"},
        "slots": {"$ref": "#/$defs/slots"}
      },
      "if": {"required": ["when"], "properties": {"when": {"const": "on_failure"}}},
      "then": {"required": ["needs"], "properties": {"needs": {"not": {"enum": [null, []]}}}}
    }
  }
}
`
