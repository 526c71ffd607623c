"""The import allowlist of the tool's own code.  Libraries import what they need."""

import builtins

_import = builtins.__import__


def _is_allowed(name, allowed):
    """The full dotted name or any front part of it is on the list."""
    while name:
        if name in allowed:
            return True
        name = name.rpartition(".")[0]
    return False


def make_builtins(modules):
    """A builtins namespace whose import statement knows the list."""
    allowed = frozenset(modules) | {"__future__"}

    def guarded(name, globals=None, locals=None, fromlist=(), level=0):
        if level:
            raise ImportError("relative imports do not work here: the tool is a single file")
        wanted = [name] if not fromlist else ["%s.%s" % (name, item) for item in fromlist]
        if not _is_allowed(name, allowed) and not all(_is_allowed(w, allowed) for w in wanted):
            raise ImportError(
                "module '%s' is not allowed here; ask for it with mcpbox_request_module. Allowed: %s"
                % (name, ", ".join(sorted(allowed - {"__future__"}))),
                name=name,
            )
        return _import(name, globals, locals, fromlist, level)

    space = dict(vars(builtins))
    space["__import__"] = guarded
    return space
