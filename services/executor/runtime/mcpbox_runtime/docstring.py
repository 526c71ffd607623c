"""Docstrings in the Google, NumPy and reST manners: (summary, {parameter: description})."""

import inspect
import re

_ARGS_HEADINGS = ("args:", "arguments:", "parameters:", "params:")
_HEADINGS = _ARGS_HEADINGS + (
    "returns:", "return:", "raises:", "yields:", "example:", "examples:", "note:", "notes:", "see also:",
    "attributes:", "keyword args:", "keyword arguments:", "other parameters:", "warning:", "warnings:",
)
_REST = re.compile(r"^:(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$")
_REST_OTHER = re.compile(r"^:(?:type|returns?|rtype|raises?|yields?|meta)\b.*:")
_GOOGLE = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY = re.compile(r"^\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")


def _indent(line):
    return len(line) - len(line.lstrip())


def _join(parts):
    return " ".join(p.strip() for p in parts if p.strip())


def _blocks(lines, base):
    """Entries at indentation `base` with the deeper lines that belong to them."""
    entries = []
    for line in lines:
        if not line.strip():
            continue
        if _indent(line) <= base or not entries:
            entries.append([line.strip()])
        else:
            entries[-1].append(line)
    return entries


def _google(lines):
    filled = [line for line in lines if line.strip()]
    found = {}
    for entry in _blocks(lines, _indent(filled[0])) if filled else ():
        match = _GOOGLE.match(entry[0])
        if match:
            found[match.group(1)] = _join([match.group(2)] + entry[1:])
    return found


def _numpy(lines):
    filled = [line for line in lines if line.strip()]
    found = {}
    for entry in _blocks(lines, _indent(filled[0])) if filled else ():
        match = _NUMPY.match(entry[0])
        for name in match.group(1).split(",") if match else ():
            found[name.strip()] = _join(entry[1:])
    return found


def _section_end(lines, start, is_numpy):
    for i in range(start, len(lines)):
        line = lines[i].strip().lower()
        if is_numpy and i + 1 < len(lines) and line and set(lines[i + 1].strip()) == {"-"}:
            return i
        if not is_numpy and line and _indent(lines[i]) == 0:
            return i
    return len(lines)


def _rest(lines):
    found, current = {}, None
    for line in lines:
        match = _REST.match(line.strip())
        if match:
            current = match.group(1)
            found[current] = match.group(2).strip()
        elif _REST_OTHER.match(line.strip()) or not line.strip():
            current = None
        elif current:
            found[current] = _join([found[current], line])
    return found


def _is_heading(lines, i):
    """'google', 'numpy', 'rest' or None for line i."""
    line = lines[i].strip().lower()
    if line in _HEADINGS:
        return "google"
    if i + 1 < len(lines) and line and len(lines[i + 1].strip()) >= 3 and set(lines[i + 1].strip()) == {"-"}:
        return "numpy"
    return "rest" if _REST.match(lines[i].strip()) or _REST_OTHER.match(lines[i].strip()) else None


def parse(text):
    if not text:
        return "", {}
    lines = inspect.cleandoc(text).splitlines()
    summary_end, found = None, {}
    for i in range(len(lines)):
        kind = _is_heading(lines, i)
        if kind and summary_end is None:
            summary_end = i
        name = lines[i].strip().lower()
        if kind == "google" and name in _ARGS_HEADINGS:
            found.update(_google(lines[i + 1:_section_end(lines, i + 1, False)]))
        elif kind == "numpy" and name in ("parameters", "other parameters", "arguments"):
            found.update(_numpy(lines[i + 2:_section_end(lines, i + 2, True)]))
    found.update(_rest(lines))
    return "\n".join(lines[:summary_end]).strip(), {k: v for k, v in found.items() if v}
