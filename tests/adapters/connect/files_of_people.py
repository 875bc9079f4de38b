"""Texts of files as people write them: JSON with comments, TOML, YAML, dotenv."""

import json
from typing import Any

from hypothesis import strategies as st

NAMES = st.text("abcdEFG_-", min_size=1, max_size=6)
KEYS = st.one_of(NAMES, st.sampled_from(["env", "provider", "dragoman", "model", "ä", 'with "quotes"', "a.b", ""]))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.text("ab/*{}[],:\"\\ \n#'ä", max_size=8), st.just("//no")
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)


@st.composite
def json_texts(draw: st.DrawFn, *, has_comments: bool) -> tuple[str, Any]:
    """A text and what it says: indented in some way or not, with comments and trailing commas or not, with either line end."""
    value = draw(OBJECTS)
    text = json.dumps(value, indent=draw(st.sampled_from([None, 1, 2, 4, "\t"])), ensure_ascii=draw(st.booleans()))
    if has_comments and "\n" in text:
        lines = []
        for line in text.split("\n"):
            if draw(st.booleans()) and line.endswith(("]", "}", '"', "e", "l")) and line not in ("}",):
                line += draw(st.sampled_from(["", ",", ", // c,}", " /* } */,", "// ]"])) if _ends(text, line) else ""
            lines.append(line + draw(st.sampled_from(["", " // says {", " /* , */", "  "])))
        text = draw(st.sampled_from(["", "// first\n", "/* a\n b */\n"])) + "\n".join(lines)
    text = draw(st.sampled_from(["", "\ufeff"])) + text + draw(st.sampled_from(["", "\n", "\n\n", " "]))
    return (text.replace("\n", "\r\n") if draw(st.booleans()) else text), value


def _ends(text: str, line: str) -> bool:
    """Whether what follows the line in `text` closes something, so that a comma may stand there."""
    at = text.find(line + "\n")
    return text.count(line + "\n") == 1 and text[at + len(line) :].lstrip()[:1] in ("}", "]")
