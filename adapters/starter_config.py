"""The configuration that ``dragoman init`` writes: a commented file that can be served as it is."""

import os
from pathlib import Path

TEMPLATE = """\
# Dragoman's configuration. `dragoman check` tells whether it is right; `dragoman serve` uses it.
# A text may refer to an environment variable: ${{NAME}}. Secrets are best kept there.

# Where to listen. "" is all interfaces; 127.0.0.1 is this machine only.
host: 127.0.0.1
port: 8317

# The keys that your clients show. This one was made for you; give each client its own.
api-keys:
  - name: first
    key: {key}

# Who answers. Keys of providers that are known: each section is a list, and its keys share the work. Without a list of `models`, the
# models we know are served under their names, and any other as claude/MODEL, gemini/MODEL, and so on.
# claude-api-key:
#   - api-key: ${{ANTHROPIC_API_KEY}}
# gemini-api-key:
#   - api-key: ${{GEMINI_API_KEY}}
# codex-api-key:                          # OpenAI's Responses
#   - api-key: ${{OPENAI_API_KEY}}
# openrouter:                             # likewise deepseek, groq, mistral, together, fireworks, novita, siliconflow, kilo,
#   - api-key: ${{OPENROUTER_API_KEY}}      # minimax, roo; and xai-api-key, vertex-api-key
#     prefix: router                      # clients may say router/MODEL, too

# Any number of other providers; `dialect` says what they speak: chat (OpenAI's chat completions), responses, claude or gemini.
openai-compatibility:
  - name: ollama # a model server on this machine wants no key
    base-url: http://127.0.0.1:11434/v1
    disabled: true # remove this line to use it

  # - name: lab
  #   base-url: https://lab.example.com/v1
  #   dialect: chat
  #   prefix: our                         # clients may say our/kimi
  #   api-key-entries:
  #     - api-key: ${{LAB_API_KEY}}
  #       proxy-url: direct               # or socks5://user:password@host:1080
  #   models:                             # leave out to serve whatever is asked for as lab/model
  #     - name: moonshotai/kimi-k2        # what the provider calls it
  #       alias: kimi                     # what your clients call it
  #   excluded-models: ["*-preview"]
  #   headers:
  #     X-Title: my gateway

# How many more attempts a request may take while nothing was sent to the client yet.
request-retry: 2

# All of the following are optional; the values are the defaults.
# proxy-url: ""                           # for all providers: http://, https://, socks5:// or socks5h://
# ca-file: ""                             # a PEM file of more trust roots
# tls: {{enable: false, cert: "", key: ""}} # serve HTTPS
# unix-socket: ""                         # listen here too
# cors: {{origins: []}}                     # browsers' origins that may call, such as https://app.example.com
# remote-management: {{secret-key: ""}}     # who shows this may manage the gateway under /v0/management/
# log-format: text                        # or json
# strict-translation: false               # true: what another dialect cannot say is an error, not a loss
# streaming: {{keepalive-seconds: 0}}       # comments to clients of a stream while the provider is silent
# debug: false
# timeouts:
#   connect: 10s
#   first-byte: 5m
#   between-pieces: 2m
#   exchange: 1h
#   drain: 30s                            # for running requests when the gateway stops
# limits:
#   body: 64MiB
#   client-connections: 10000
"""


def write_starter(path: Path, key: str) -> None:
    """Write the starter configuration, readable by its owner only.

    Args:
        path: Where; the folder must exist, the file must not.
        key: The client key to put in.

    Raises:
        FileExistsError: There is something already; it is left as it is.
        OSError: It cannot be written.

    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(TEMPLATE.format(key=key))
