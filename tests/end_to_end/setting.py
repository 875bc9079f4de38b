"""The configuration that the tests share, and every secret in it."""

from typing import Final

CLIENT_KEY: Final = "sk-client-c1a55ified"
OTHER_KEY: Final = "sk-other-c1a55ified"
FIRST: Final = "sk-first-up5tream"
SECOND: Final = "sk-second-up5tream"
HEADER: Final = "header-5ecret"

#: What may be in no answer and no line of a log.
SECRETS: Final = (CLIENT_KEY, OTHER_KEY, FIRST, SECOND, HEADER)

_TEMPLATE: Final = """\
host: 127.0.0.1
api-keys:
  - {{name: anna, key: {client}}}
  - {{name: bert, key: {other}}}
openai-compatibility:
  - name: lab
    base-url: {url}/v1
    prefix: lab
    headers: {{X-Lab: {header}}}
    api-key-entries:
      - api-key: {first}
      - api-key: {second}
    models:
      - {{name: real/model-name, alias: nice}}
      - name: plain
      - name: naughty
      - name: limited
      - name: limited-once
      - name: html
      - name: garbage
      - name: closes
      - name: cut
      - name: cut-stream
      - name: silent
      - name: stalled
      - name: endless
  - {{name: open, base-url: {url}/v1}}
  - {{name: nobody, base-url: 'http://127.0.0.1:{refused}/v1', models: [{{name: refused}}], api-key-entries: [{{api-key: {first}}}]}}
  - {{name: nowhere, base-url: 'http://nowhere.invalid/v1', models: [{{name: unresolved}}], api-key-entries: [{{api-key: {first}}}]}}
  - {{name: plainly, base-url: 'https{rest}/v1', models: [{{name: no-tls}}], api-key-entries: [{{api-key: {first}}}]}}
"""


def config_text(url: str, refused: int) -> str:
    """A configuration in front of a scripted upstream.

    Args:
        url: The upstream's.
        refused: A port where nobody listens.

    """
    return _TEMPLATE.format(
        url=url,
        refused=refused,
        rest=url.removeprefix("http"),
        client=CLIENT_KEY,
        other=OTHER_KEY,
        first=FIRST,
        second=SECOND,
        header=HEADER,
    )
