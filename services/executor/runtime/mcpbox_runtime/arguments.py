"""Arguments by name -> a call of main."""

import types

from . import convert, errors

_NUMBERS = (int, float)  # JSON writes 3 where 3.0 is meant, and the other way round
_PLAIN = {str, bool, dict, list, object, type(None), *_NUMBERS}
_VARIADIC = 0x0C  # CO_VARARGS, CO_VARKEYWORDS


def _is_plain(main):
    """A function whose parameters all come by name and need no conversion."""
    if type(main) is not types.FunctionType or hasattr(main, "__wrapped__"):
        return False
    code = main.__code__
    if code.co_posonlyargcount or code.co_flags & _VARIADIC:
        return False
    return all(type(a) is type and a in _PLAIN for name, a in main.__annotations__.items() if name != "return")


def _with_numbers(values, numbers):
    """The same with 3.0 for 3 where a float is wanted."""
    for name, kind in numbers:
        if name in values and type(values[name]) is not kind:
            values = {**values, name: convert.convert(kind, values[name])}
    return values


class Binder:
    """Knows the parameters of one main.  Only what needs it pays for reading its signature and annotations."""

    def __init__(self, main, space):
        self.main, self.space = main, space
        self.names = self.required = self.numbers = self.signature = None
        if _is_plain(main):
            code = main.__code__
            count = code.co_argcount + code.co_kwonlyargcount
            self.names = frozenset(code.co_varnames[:count])
            optional = code.co_varnames[code.co_argcount - len(main.__defaults__ or ()):code.co_argcount]
            self.required = self.names.difference(optional, main.__kwdefaults__ or ())
            self.numbers = [item for item in main.__annotations__.items() if item[1] in _NUMBERS and item[0] != "return"]

    def call(self, values):
        if self.names is None:
            return self._call_typed(values)
        if "http" in self.names and "http" not in values:
            values = {**values, "http": self.space["http"]}
        given = values.keys()
        if not self.required <= given or not given <= self.names:
            raise errors.Refused("ArgumentError", "; ".join(
                ["%s: is required" % name for name in sorted(self.required - given)]
                + ["%s: unknown argument" % name for name in sorted(given - self.names)]))
        return self.main(**_with_numbers(values, self.numbers))

    def _call_typed(self, values):
        if self.signature is None:
            self.signature = convert.Signature(self.main, self.space)
        positional, named = self.signature.bind(values)
        return self.main(*positional, **named)
