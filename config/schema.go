package config

// Schema returns the JSON schema of limit.yaml (draft 2020-12), for editors. Tests hold it against the parser. It
// cannot tell what spans several values: the same tag limit twice with other numbers, certificates for endpoints
// without encryption.
func Schema() []byte { return []byte(schema) }

const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "limit.yaml",
  "description": "Where limit keeps its claims, and the limits it keeps. The concurrency block is that of a dagster.yaml.",
  "type": ["object", "null"],
  "additionalProperties": false,
  "properties": {
    "dag": {
      "description": "What runs of dags leave behind, of each dag by itself. Its last failed run is always kept.",
      "type": ["object", "null"],
      "additionalProperties": false,
      "properties": {
        "keep_runs": {"description": "How many runs are kept. Default: 50.", "type": ["integer", "null"], "minimum": 1, "maximum": 2147483647},
        "keep_days": {"description": "How many days runs are kept. Default: 30.", "type": ["integer", "null"], "minimum": 1, "maximum": 36500},
        "keep_bytes": {"description": "How much is kept. Default: 2GiB.", "$ref": "#/$defs/size"},
        "log_limit": {"description": "How long the log of a step may be. Default: 100MiB.", "$ref": "#/$defs/size"},
        "log_dir": {"description": "Where runs are kept, relative to this file.", "$ref": "#/$defs/path"}
      }
    },
    "backend": {
      "type": ["object", "null"],
      "additionalProperties": false,
      "properties": {
        "local": {
          "description": "The embedded store, a directory of this machine.",
          "type": ["object", "null"],
          "additionalProperties": false,
          "properties": {
            "dir": {
              "description": "Its directory, relative to this file. Default: /var/lib/limit for root, else ~/.local/state/limit.",
              "$ref": "#/$defs/path"
            }
          }
        },
        "etcd": {
          "description": "The store of a fleet.",
          "type": "object",
          "additionalProperties": false,
          "properties": {
            "endpoints": {
              "description": "http:// or https:// and HOST:PORT, all of one kind.",
              "anyOf": [
                {"$ref": "#/$defs/endpoint"},
                {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"$ref": "#/$defs/endpoint"}}
              ]
            },
            "tls": {
              "description": "Certificates of the connection.",
              "type": ["object", "null"],
              "additionalProperties": false,
              "properties": {
                "ca": {"description": "Certificates to trust, a file. Default: the system's.", "$ref": "#/$defs/path"},
                "cert": {"description": "The client's certificate, a file.", "$ref": "#/$defs/path"},
                "key": {"description": "The key of the client's certificate, a file.", "$ref": "#/$defs/path"},
                "server_name": {
                  "description": "The name the server's certificate must have. Default: the endpoint's host.",
                  "type": ["string", "null"],
                  "minLength": 1,
                  "pattern": "^[^\u0000-\u001f\u007f-\u009f\ufffd]+$"
                }
              },
              "dependentSchemas": {
                "cert": {
                  "anyOf": [
                    {"properties": {"cert": {"type": "null"}}},
                    {"required": ["key"], "properties": {"key": {"type": "string"}}}
                  ]
                },
                "key": {
                  "anyOf": [
                    {"properties": {"key": {"type": "null"}}},
                    {"required": ["cert"], "properties": {"cert": {"type": "string"}}}
                  ]
                }
              }
            },
            "username": {
              "description": "The user of etcd.",
              "type": ["string", "null"],
              "minLength": 1,
              "pattern": "^[^\u0000-\u001f\u007f-\u009f\ufffd]+$"
            },
            "password_file": {"description": "The file with the user's password, relative to this file.", "$ref": "#/$defs/path"},
            "agent": {"description": "The socket of the agent to use, or none. Default: /run/limit/agent.sock if it is there.", "$ref": "#/$defs/path"}
          },
          "required": ["endpoints"],
          "dependentSchemas": {
            "username": {
              "anyOf": [
                {"properties": {"username": {"type": "null"}}},
                {"required": ["password_file"], "properties": {"password_file": {"type": "string"}}}
              ]
            },
            "password_file": {
              "anyOf": [
                {"properties": {"password_file": {"type": "null"}}},
                {"required": ["username"], "properties": {"username": {"type": "string"}}}
              ]
            }
          }
        }
      },
      "description": "Where claims and limits live. Left out: the embedded store in its default directory.",
      "not": {"type": "object", "required": ["local", "etcd"]}
    },
    "namespace": {
      "description": "Separates deployments in one store. Default: default.",
      "type": ["string", "null"],
      "minLength": 1,
      "pattern": "^[^\u0000-\u001f\u007f-\u009f\ufffd]+$",
      "not": {"enum": [".", ".."]}
    },
    "concurrency": {
      "type": ["object", "null"],
      "additionalProperties": false,
      "properties": {
        "pools": {
          "type": ["object", "null"],
          "additionalProperties": false,
          "properties": {
            "default_limit": {
              "description": "Slots of pools without a limit of their own. Unset: 1.",
              "anyOf": [{"$ref": "#/$defs/slots"}, {"type": "null"}]
            },
            "strict": {
              "description": "true: a claim for a pool that has no limit of its own is refused; default_limit declares none. Default: false.",
              "type": ["boolean", "null"]
            },
            "granularity": {
              "description": "What holds a slot in a dag run: each step (op) or the run from start to end (run). Default: op.",
              "enum": ["op", "run", null]
            },
            "limits": {
              "type": ["object", "null"],
              "description": "Pools with a limit of their own: NAME: SLOTS, or NAME: {limit: SLOTS, rate: N/PERIOD}.",
              "propertyNames": {"type": "string", "minLength": 1, "pattern": "^[^\u0000-\u001f\u007f-\u009f\ufffd]+$"},
              "additionalProperties": {
                "anyOf": [
                  {"$ref": "#/$defs/slots"},
                  {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                      "limit": {"description": "Slots of the pool. Left out: the rate alone holds.", "anyOf": [{"$ref": "#/$defs/slots"}, {"type": "null"}]},
                      "rate": {
                        "description": "At most N slots' worth of starts in any PERIOD of at least 2s: 10/1m.",
                        "type": ["string", "null"],
                        "pattern": "^ *[0-9]*[1-9][0-9]* */ *[0-9]*(\\.[0-9]+)?(ns|us|µs|ms|s|m|h)([0-9.]+(ns|us|µs|ms|s|m|h))* *$"
                      }
                    },
                    "anyOf": [
                      {"required": ["limit"], "properties": {"limit": {"not": {"type": "null"}}}},
                      {"required": ["rate"], "properties": {"rate": {"type": "string"}}}
                    ]
                  }
                ]
              }
            },
            "op_granularity_run_buffer": {"description": "Dagster's; ignored.", "type": ["integer", "null"], "minimum": 0, "maximum": 2147483647}
          },
          "description": "Limits of pools."
        },
        "runs": {
          "type": ["object", "null"],
          "additionalProperties": false,
          "properties": {
            "max_concurrent_runs": {
              "description": "Runs at once. Unset or -1: no limit. 0: nothing starts.",
              "type": ["integer", "null"],
              "minimum": -1,
              "maximum": 2147483647
            },
            "tag_concurrency_limits": {
              "description": "Limits of runs by their tags.",
              "type": ["array", "null"],
              "uniqueItems": true,
              "items": {"$ref": "#/$defs/tag_limit"}
            }
          },
          "description": "Limits of the run queue."
        },
        "reserve_after": {
          "description": "How long a claim waits before what comes free is kept for it. Default: 5m.",
          "type": ["string", "number", "null"],
          "exclusiveMinimum": 0, "maximum": 4611686018,
          "pattern": "^([0-9]+(\\.[0-9]*)?|\\.[0-9]+)d?$|^\\+?(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$"
        },
        "hide_commands": {"description": "true: the store is given names only, not command lines, which can hold passwords.", "type": ["boolean", "null"]},
        "history_entries": {
          "description": "How many finished claims the store remembers. Default: 10000.",
          "type": ["integer", "null"],
          "minimum": 1,
          "maximum": 1000000
        }
      },
      "description": "Dagster's concurrency block, and a few keys more."
    },
    "agent": {
      "description": "How limit agent works on this machine.",
      "type": ["object", "null"],
      "additionalProperties": false,
      "properties": {
        "listen": {"description": "The socket that it makes, where systemd has not. Default: /run/limit/agent.sock.", "$ref": "#/$defs/path"},
        "state": {
          "description": "The directory of what the next agent takes over; memory that a reboot empties is best. Default: state, beside the socket.",
          "$ref": "#/$defs/path"
        },
        "ttl": {
          "description": "The lease of the claims that it keeps, at least 5s. Default: 60s.",
          "type": ["string", "number", "null"],
          "minimum": 5, "maximum": 4611686018,
          "pattern": "^([0-9]+(\\.[0-9]*)?|\\.[0-9]+)d?$|^\\+?(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$"
        },
        "rules": {
          "description": "Who may do what; each thing that one rule allows is allowed. Left out: whoever can connect may use everything. Root and the user of the agent may do all.",
          "type": ["array", "null"],
          "items": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
              "users": {"description": "Users, by name or number. Neither users nor groups: everybody.", "$ref": "#/$defs/accounts"},
              "groups": {"description": "Groups, by name or number.", "$ref": "#/$defs/accounts"},
              "namespaces": {"description": "Namespaces that they may use: a name, or the beginning of names and *. Default: all.", "$ref": "#/$defs/names"},
              "pools": {"description": "Pools that they may use there: a name, or the beginning of names and *. Default: all.", "$ref": "#/$defs/names"},
              "change_limits": {"description": "true: they may change, pause and unset the limits there. Default: false.", "type": ["boolean", "null"]},
              "cancel_others": {
                "description": "true: they may cancel, bump and replace the claims of others there. Default: false.",
                "type": ["boolean", "null"]
              }
            }
          }
        }
      }
    },
    "auto_materialize": {"description": "Dagster's; ignored."},
    "backfills": {"description": "Dagster's; ignored."},
    "code_servers": {"description": "Dagster's; ignored."},
    "compute_logs": {"description": "Dagster's; ignored."},
    "defs_state_storage": {"description": "Dagster's; ignored."},
    "event_log_storage": {"description": "Dagster's; ignored."},
    "freshness": {"description": "Dagster's; ignored."},
    "instance_class": {"description": "Dagster's; ignored."},
    "local_artifact_storage": {"description": "Dagster's; ignored."},
    "nux": {"description": "Dagster's; ignored."},
    "python_logs": {"description": "Dagster's; ignored."},
    "retention": {"description": "Dagster's; ignored."},
    "run_launcher": {"description": "Dagster's; ignored."},
    "run_monitoring": {"description": "Dagster's; ignored."},
    "run_retries": {"description": "Dagster's; ignored."},
    "run_storage": {"description": "Dagster's; ignored."},
    "schedule_storage": {"description": "Dagster's; ignored."},
    "scheduler": {"description": "Dagster's; ignored."},
    "schedules": {"description": "Dagster's; ignored."},
    "secrets": {"description": "Dagster's; ignored."},
    "sensors": {"description": "Dagster's; ignored."},
    "storage": {"description": "Dagster's; ignored."},
    "telemetry": {"description": "Dagster's; ignored."},
    "run_queue": {"description": "Dagster's older spelling; use concurrency.", "deprecated": true, "not": {}},
    "run_coordinator": {"description": "Dagster's older spelling; use concurrency.", "deprecated": true, "not": {}},
    "default_op_concurrency_limit": {"description": "Dagster's older spelling; use concurrency.", "deprecated": true, "not": {}}
  },
  "$defs": {
    "accounts": {
      "type": ["array", "null"],
      "minItems": 1,
      "items": {
        "anyOf": [
          {"type": "integer", "minimum": 0, "maximum": 4294967294},
          {"type": "string", "minLength": 1, "pattern": "^[^\u0000-\u001f\u007f-\u009f\ufffd]+$"}
        ]
      }
    },
    "names": {
      "type": ["array", "null"],
      "minItems": 1,
      "items": {"type": "string", "minLength": 1, "pattern": "^[^\u0000-\u001f\u007f-\u009f\ufffd]+$"}
    },
    "size": {
      "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 9223372036854775807},
        {"type": "string", "pattern": "^0*[1-9][0-9]*( *[KMGT]iB)?$"},
        {"type": "null"}
      ]
    },
    "slots": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 2147483647}, {"const": "unlimited"}]},
    "path": {
      "type": ["string", "null"],
      "minLength": 1,
      "pattern": "^([^~\u0000-\u001f\u007f-\u009f\ufffd]|~[^/\u0000-\u001f\u007f-\u009f\ufffd])[^\u0000-\u001f\u007f-\u009f\ufffd]*$"
    },
    "endpoint": {"type": "string", "pattern": "^(https?://)?([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[1-9][0-9]{0,4})?/?$"},
    "tag_limit": {
      "type": "object",
      "additionalProperties": false,
      "required": ["key", "limit"],
      "properties": {
        "key": {
          "description": "The tag's key.",
          "type": "string",
          "minLength": 1,
          "pattern": "^[^=\u0000-\u001f\u007f-\u009f\ufffd]+$"
        },
        "value": {
          "description": "Exactly this value; or {applyLimitPerUniqueValue: true}, each value has the limit for itself. Left out: all runs with the key.",
          "anyOf": [
            {"type": "string", "pattern": "^[^\u0000-\u001f\u007f-\u009f\ufffd]*$"},
            {
              "type": "object",
              "additionalProperties": false,
              "required": ["applyLimitPerUniqueValue"],
              "properties": {"applyLimitPerUniqueValue": {"description": "true: each value of the tag has the limit for itself.", "type": "boolean"}}
            }
          ]
        },
        "limit": {"description": "Runs at once. 0: none.", "type": "integer", "minimum": 0, "maximum": 2147483647}
      }
    }
  }
}
`
