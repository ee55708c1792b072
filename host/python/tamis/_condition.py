"""Whether a text is one condition of a filter language, in every reading, so that parentheses around it hold all of it."""

from __future__ import annotations

import re

from tamis._errors import InputError

# Outside of quotes, what could be read in another way than below, or begins what could: comments, statements, quotes of other kinds.
_ODD = {
    "lancedb": r"--|/\*|[;\\\"$\0]",
    "milvus": r"--|//|/\*|[;\\#`\0]",
    "postgres": r"--|/\*|[;\\`$\0]|%(?!%|\([A-Za-z_]\w*\)s)",
    "duckdb": r"--|/\*|[;\\`?\0]|\$(?![A-Za-z_]\w*(?![\w$]))",
    "sqlite": r"--|/\*|[;\\\[\]?$@#\0]|:(?![A-Za-z_]\w*(?![\w(:$]))",
}
_QUOTES = {"lancedb": "'`", "milvus": "'\"", "postgres": "'\"", "duckdb": "'\"", "sqlite": "'\"`"}
_BRACKETS = {")": "(", "]": "[", "}": "{"}


def one_condition(dialect: str, text: str) -> str:
    """The text, if parentheses around it hold all of it. Otherwise it is refused: so is what is harmless, but odd."""
    dialect = dialect.removesuffix("-columns")
    odd = re.compile(_ODD[dialect], re.ASCII)
    opened: list[str] = []
    place = 0
    while place < len(text):
        character = text[place]
        if character in _QUOTES[dialect]:
            end = text.find(character, place + 1)
            if end < 0:
                raise InputError(f"the filter has a {character} that is never closed")
            # There are databases that take a backslash for an escape, and psycopg reads percent signs in quotes too.
            quoted = (
                re.sub(r"%%|%\([A-Za-z_]\w*\)s", "", text[place:end], flags=re.ASCII)
                if dialect == "postgres"
                else text[place:end]
            )
            if "\\" in quoted or "\0" in quoted or (dialect == "postgres" and "%" in quoted):
                raise InputError(
                    "the filter has a character in quotes that may not mean itself: give it as a parameter"
                )
            place = end + 1
            continue
        if found := odd.match(text, place):
            raise InputError(f"the filter has a `{found[0]}`, after which it could be read in another way")
        if character == "%" and dialect == "postgres":
            # Both of `%%`, or the whole place of a parameter.
            place = text.index("s", text.index(")", place)) if text[place + 1] == "(" else place + 1
        elif character in "([{":
            opened.append(character)
        elif character in ")]}" and (not opened or opened.pop() != _BRACKETS[character]):
            raise InputError(f"the filter has a `{character}` that nothing opens")
        place += 1
    if opened:
        raise InputError(f"the filter has a `{opened[-1]}` that is never closed")
    return text
