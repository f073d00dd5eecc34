package stepfile

// Schema returns the JSON schema of step files, for editors. It says what a schema can say: that names are those of
// steps, that the graph has no circle and the like is for Parse alone.
func Schema() string { return schema }

const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "limit-dag.schema.json",
  "title": "step file of limit dag",
  "type": "object",
  "required": ["steps"],
  "additionalProperties": false,
  "patternProperties": {"^x-": {"description": "Not looked at: a place for anchors."}},
  "properties": {
    "name": {"$ref": "#/$defs/line", "description": "The name of the dag in status and reports. Default: the name of the file."},
    "description": {"$ref": "#/$defs/scalar", "description": "What the dag is for. 'limit dag steps' shows it."},
    "tags": {"$ref": "#/$defs/tags", "description": "Tags of the run, matched by the tag limits of the run queue."},
    "priority": {"$ref": "#/$defs/priority", "description": "Priority of the run in the run queue, and of its steps before pools. Higher comes first. Default: 0."},
    "params": {
      "description": "Parameters with their defaults; null means required. --param NAME=VALUE sets one. Steps see $PARAM_<NAME>. In place of the default, a mapping may have the keys below.",
      "type": ["object", "null"],
      "propertyNames": {"pattern": "[A-Za-z0-9]"},
      "additionalProperties": {
        "oneOf": [
          {"$ref": "#/$defs/scalar"},
          {
            "type": "object",
            "additionalProperties": false,
            "properties": {
              "default": {"$ref": "#/$defs/scalar", "description": "The value where --param gives none. Without it the parameter is required."},
              "description": {"$ref": "#/$defs/scalar", "description": "What the parameter is for. 'limit dag steps' shows it."},
              "choices": {"description": "The values that it may have. Default: any.", "oneOf": [{"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/scalar"}}, {"type": "null"}]}
            }
          }
        ]
      }
    },
    "env_file": {
      "description": "A file, or a list of files, with NAME=VALUE lines: further variables for all steps. env comes before them. Relative to this file; read when the run starts.",
      "oneOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string", "minLength": 1}}, {"type": "null"}]
    },
    "env": {"$ref": "#/$defs/env", "description": "Variables for all steps."},
    "secrets": {
      "description": "Variables that must be set: a name, a list, or a mapping of names to {file: PATH}, which has the value. Their values are masked in output, logs, reports and the journal.",
      "oneOf": [{
        "type": "object",
        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
        "additionalProperties": {"oneOf": [
          {"type": "object", "required": ["file"], "additionalProperties": false, "properties": {"file": {"description": "The file that has the value, relative to this file. The end of its last line is not part of it.", "type": "string", "minLength": 1}}},
          {"type": "null"}
        ]}
      }, {"$ref": "#/$defs/variable"}, {"type": "array", "items": {"$ref": "#/$defs/variable"}, "uniqueItems": true}, {"type": "null"}]
    },
    "dir": {"$ref": "#/$defs/dir", "description": "Working directory of the steps, relative to this file. Default: the directory of the file."},
    "shell": {"$ref": "#/$defs/shell"},
    "timeout": {"$ref": "#/$defs/duration", "description": "How long the whole run may take, from its first step on, such as 2h. Then its steps are stopped, and the exit status is 124."},
    "executor": {
      "description": "Limits of the steps of this run alone.",
      "type": ["object", "null"],
      "additionalProperties": false,
      "properties": {
        "max_concurrent": {"description": "How many slots the steps share: how many run at once. Default: the number of CPUs. -j overrides it.", "oneOf": [{"type": "integer", "minimum": 1, "maximum": 2147483647}, {"type": "null"}]},
        "tag_concurrency_limits": {
          "description": "How many steps with a certain tag run at once.",
          "oneOf": [{"type": "array", "items": {"$ref": "#/$defs/tag_limit"}}, {"type": "null"}]
        }
      }
    },
    "defaults": {
      "description": "Values for the keys that a step does not have.",
      "type": ["object", "null"],
      "additionalProperties": false,
      "properties": {
        "pool": {"$ref": "#/$defs/pool"},
        "tags": {"$ref": "#/$defs/tags"},
        "env": {"$ref": "#/$defs/env"},
        "dir": {"$ref": "#/$defs/dir"},
        "shell": {"$ref": "#/$defs/shell"},
        "timeout": {"$ref": "#/$defs/duration", "description": "How long one attempt may take. Then it is stopped and has failed. Default: none."},
        "grace": {"$ref": "#/$defs/duration", "description": "The time between TERM and KILL when the step is stopped. Default: 10s."},
        "retry": {"$ref": "#/$defs/retry"},
        "priority": {"$ref": "#/$defs/priority"},
        "continue_on_error": {"$ref": "#/$defs/tolerance"},
        "slots": {"$ref": "#/$defs/slots"}
      }
    },
    "on_failure": {"description": "A command that runs at the end of a run that has not succeeded, also after a timeout or a cancel.", "oneOf": [{"$ref": "#/$defs/command"}, {"type": "null"}]},
    "on_exit": {"description": "A command that runs at the end of every run, after on_failure.", "oneOf": [{"$ref": "#/$defs/command"}, {"type": "null"}]},
    "steps": {
      "description": "The steps, by name. A text in place of a mapping is the step's command.",
      "type": "object",
      "minProperties": 1,
      "propertyNames": {"not": {"pattern": "^(-|tag:)"}, "pattern": "^[^+,\\[\\]*\\s\\x00-\\x1f\\x7f-\\x9f]{1,200}$"},
      "additionalProperties": {"oneOf": [{"$ref": "#/$defs/command"}, {"$ref": "#/$defs/step"}]}
    }
  },
  "$defs": {
    "line": {"oneOf": [{"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"}, {"type": ["number", "boolean", "null"]}]},
    "scalar": {"type": ["string", "number", "boolean", "null"]},
    "name": {"type": ["string", "number", "boolean"]},
    "variable": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
    "command": {
      "description": "The command, given to the shell as it stands. Use variables in it, not ${{ }}.",
      "oneOf": [{"type": "string", "maxLength": 131071, "pattern": "\\S", "not": {"pattern": "\\$\\{\\{"}}, {"type": ["number", "boolean"]}]
    },
    "tags": {"description": "Tags of the step, matched by tag_concurrency_limits of the executor.", "type": ["object", "null"], "propertyNames": {"pattern": "^[^=\\x00-\\x1f\\x7f-\\x9f]+$"}, "additionalProperties": {"$ref": "#/$defs/tag_value"}},
    "tag_value": {"oneOf": [{"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]*$"}, {"type": ["number", "boolean", "null"]}]},
    "env": {
      "description": "Variables for the step, beside those of the file.",
      "type": ["object", "null"],
      "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "not": {"pattern": "^LIMIT_"}},
      "additionalProperties": {"$ref": "#/$defs/scalar"}
    },
    "dir": {"description": "Working directory, relative to that of the file.", "oneOf": [{"type": "string", "minLength": 1}, {"type": "null"}]},
    "shell": {
      "description": "The shell that runs commands. Default: /bin/sh -e. bash is run with -e -o pipefail. Another program is written with its option, such as python3 -c.",
      "oneOf": [
        {"type": "string", "pattern": "^\\s*(\\S*/)?(sh|bash|dash|ash|ksh|mksh|zsh)\\s*$"},
        {"type": "string", "pattern": "\\S\\s+\\S"},
        {"type": "null"}
      ]
    },
    "duration": {
      "description": "A duration: seconds, or such as 90s, 15m, 1h30m, 2d; 0 means none.",
      "oneOf": [{"type": "string", "pattern": "^([0-9]+(\\.[0-9]*)?|\\.[0-9]+)d?$|^\\+?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$|^[+-]?0$"}, {"type": "number", "minimum": 0, "maximum": 4611686018}, {"type": "null"}]
    },
    "priority": {"description": "Higher starts first. A step has at least the priority of whatever needs it. Default: 0.", "oneOf": [{"type": "integer", "minimum": -2147483648, "maximum": 2147483647}, {"type": "null"}]},
    "slots": {"description": "How many slots of max_concurrent the step takes. Default: 1.", "oneOf": [{"type": "integer", "minimum": 1, "maximum": 2147483647}, {"type": "null"}]},
    "exit_code": {"type": "integer", "minimum": 1, "maximum": 255},
    "pool": {
      "description": "The pools that the step holds while it runs: NAME, NAME=SLOTS, NAME=all for every slot of the limit in force, or a list of them.",
      "oneOf": [{"$ref": "#/$defs/pool_claim"}, {"type": "array", "items": {"$ref": "#/$defs/pool_claim"}}, {"type": "null"}]
    },
    "pool_claim": {"oneOf": [{"type": "string", "pattern": "^[^=,\\x00-\\x20\\x7f-\\x9f]([^=,\\x00-\\x1f\\x7f-\\x9f]*[^=,\\x00-\\x20\\x7f-\\x9f])?(=\\+?0*[1-9][0-9]*)?(,[^=,\\x00-\\x20\\x7f-\\x9f]([^=,\\x00-\\x1f\\x7f-\\x9f]*[^=,\\x00-\\x20\\x7f-\\x9f])?(=\\+?0*[1-9][0-9]*)?)*$|\\$\\{\\{"}, {"type": ["number", "boolean"]}]},
    "retry": {
      "description": "How often a failed step is run again: a number, or a mapping. The slots are given back during the delay.",
      "oneOf": [
        {"type": "integer", "minimum": 0, "maximum": 2147483647},
        {
          "type": "object",
          "additionalProperties": false,
          "properties": {
            "max": {"description": "How many further attempts. Default: 1.", "oneOf": [{"type": "integer", "minimum": 0, "maximum": 2147483647}, {"type": "null"}]},
            "delay": {"$ref": "#/$defs/duration", "description": "The time before the next attempt. Default: none."},
            "backoff": {"description": "How the delay grows: constant, linear or exponential. Default: constant.", "enum": ["constant", "linear", "exponential", null]},
            "max_delay": {"$ref": "#/$defs/duration", "description": "The longest delay that backoff leads to."},
            "exit_codes": {"description": "Only these exit codes are tried again. Default: every failure.", "oneOf": [{"$ref": "#/$defs/exit_code"}, {"type": "array", "items": {"$ref": "#/$defs/exit_code"}}, {"type": "null"}]}
          }
        },
        {"type": "null"}
      ]
    },
    "tolerance": {
      "description": "Failures that do not stop the steps that need this one: true for all of them, or a list of exit codes.",
      "oneOf": [{"type": ["boolean", "null"]}, {"$ref": "#/$defs/exit_code"}, {"type": "array", "items": {"$ref": "#/$defs/exit_code"}}]
    },
    "tag_limit": {
      "type": "object",
      "required": ["key", "limit"],
      "additionalProperties": false,
      "properties": {
        "key": {"description": "The key of the tag.", "oneOf": [{"type": "string", "pattern": "^[^=\\x00-\\x1f\\x7f-\\x9f]+$"}, {"type": ["number", "boolean"]}]},
        "value": {
          "description": "A value: steps with exactly this tag. {applyLimitPerUniqueValue: true}: each value has the limit for itself. Left out: all steps with the key.",
          "oneOf": [
            {"$ref": "#/$defs/scalar"},
            {"type": "object", "required": ["applyLimitPerUniqueValue"], "additionalProperties": false, "properties": {"applyLimitPerUniqueValue": {"description": "true: each value of the tag has the limit for itself.", "type": "boolean"}}}
          ]
        },
        "limit": {"description": "How many steps at once; 0 lets none start.", "type": "integer", "minimum": 0, "maximum": 2147483647}
      }
    },
    "matrix_value": {"oneOf": [{"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"}, {"type": ["number", "boolean", "null"]}]},
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
        "description": {"$ref": "#/$defs/scalar", "description": "What the step is for. 'limit dag steps' shows it."},
        "needs": {
          "description": "The steps that must end before this one starts: a name or a list. The name of a matrix means all of its steps, name[value] one of them; name[${{ matrix.KEY }}] the one that goes with the combination of this step's own matrix.",
          "oneOf": [{"$ref": "#/$defs/name"}, {"type": "array", "items": {"$ref": "#/$defs/name"}}, {"type": "null"}]
        },
        "matrix": {
          "description": "Keys with lists of values. The step becomes one step for each combination, with the id step[value,value]. It sees $MATRIX_<KEY>.",
          "type": ["object", "null"],
          "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
          "properties": {
            "include": {"$ref": "#/$defs/combinations", "description": "Combinations to add, or keys to add to matching combinations, as in GitHub Actions."},
            "exclude": {"$ref": "#/$defs/combinations", "description": "Combinations to leave out."}
          },
          "additionalProperties": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/matrix_value"}}
        },
        "if": {"description": "A command that decides: exit status 0 runs the step, 1 to 125 skips it, above 125 fails it.", "oneOf": [{"$ref": "#/$defs/command"}, {"type": "null"}]},
        "when": {"description": "Which outcomes of its direct needs let the step run: on_success (all succeeded), on_failure (one failed), always. Default: on_success.", "enum": ["on_success", "on_failure", "always", null]},
        "console": {"description": "Gives the step the terminal, one step at a time. Its output is not captured.", "type": ["boolean", "null"]},
        "pool": {"$ref": "#/$defs/pool"},
        "tags": {"$ref": "#/$defs/tags"},
        "env": {"$ref": "#/$defs/env"},
        "dir": {"$ref": "#/$defs/dir"},
        "shell": {"$ref": "#/$defs/shell"},
        "timeout": {"$ref": "#/$defs/duration", "description": "How long one attempt may take. Then it is stopped and has failed. Default: none."},
        "grace": {"$ref": "#/$defs/duration", "description": "The time between TERM and KILL when the step is stopped. Default: 10s."},
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
