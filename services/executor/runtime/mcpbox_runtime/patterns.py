"""Regular expressions as JSON Schema means them (ECMA-262, Unicode) -> as Python's `re` reads them."""

import re

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_"}
_NEGATED = {"D": "[^0-9]", "W": "[^A-Za-z0-9_]"}
# Property escapes, as far as `re` has classes for them.
_PROPERTIES = {
    "L": r"[^\W\d_]", "Letter": r"[^\W\d_]", "Alphabetic": r"[^\W\d_]", "N": r"\d", "Nd": r"\d", "digit": r"\d", "Number": r"\d",
}
_TOKENS = re.compile(r"\\p\{(?P<property>\w+)\}|\\u\{(?P<code>[0-9a-fA-F]+)\}|\\c(?P<control>[A-Za-z])|\\(?P<escape>.)|(?P<plain>.)", re.S)


def _outside(match):
    escape = match.group("escape")
    if escape in _CLASSES:
        return "[%s]" % _CLASSES[escape]
    if escape in _NEGATED:
        return _NEGATED[escape]
    if escape == "/":
        return "/"
    return match.group()


def _token(match, is_in_class):
    if match.group("property"):
        name = match.group("property")
        if name not in _PROPERTIES or is_in_class and name in ("L", "Letter", "Alphabetic"):
            raise re.error("the class %s is not known here" % match.group())
        return _PROPERTIES[name]
    if match.group("code"):
        return re.escape(chr(int(match.group("code"), 16)))
    if match.group("control"):
        return "\\x%02x" % (ord(match.group("control")) % 32)
    if is_in_class:
        return _CLASSES.get(match.group("escape"), match.group())
    return r"\Z" if match.group("plain") == "$" else _outside(match)


def to_python(text):
    """The same pattern for re.compile.  Raises re.error for what `re` cannot say."""
    made, is_in_class = [], False
    for match in _TOKENS.finditer(text.replace("(?<", "(?P<").replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")):
        plain = match.group("plain")
        made.append(_token(match, is_in_class))
        if plain == "[" and not is_in_class:
            is_in_class = True
        elif plain == "]":
            is_in_class = False
    return "".join(made)
