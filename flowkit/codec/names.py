"""Classes by name: ``module:Outer.Inner``, there and back.

A stored value names its class, and only the import system is asked for it: no pickle, no registry to forget. Encoding
makes sure that the name leads back to the very class, so a local class is refused before anything is written.
"""

from __future__ import annotations

import importlib
import sys
from weakref import WeakKeyDictionary

from flowkit.codec.plain import Refused

__all__ = ["class_at", "class_name", "find_class"]

_names: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def class_name(cls: type) -> str:
    """The name that `class_at` finds `cls` under.

    Raises: Refused if there is none: local classes, and those replaced by another object of the same name.
    """
    name = _names.get(cls)
    if name is None:
        name = _names[cls] = _checked_name(cls)
    return name


def _checked_name(cls: type) -> str:
    name = f"{cls.__module__}:{cls.__qualname__}"
    if "<locals>" in cls.__qualname__:
        raise Refused(f"class {name} is local to a function and could not be imported again; move it to its module.")
    if find_class(cls.__module__, cls.__qualname__) is not cls:
        raise Refused(f"class {name} cannot be imported again under that name; define it at the top of a module.")
    return name


def class_at(name: object) -> type:
    """The class `class_name` gave `name` to.

    Raises: Refused if it is not there, or is no class.
    """
    module, _, qualname = name.partition(":") if type(name) is str else ("", "", "")
    found = find_class(module, qualname)
    if found is None:
        raise Refused(f"class {str(name)[:200]!r} cannot be imported (any more).")
    return found


def find_class(module: str, qualname: str) -> type | None:
    """The class at `module` and `qualname`, or None."""
    if not module or not qualname:
        return None
    found: object = sys.modules.get(module)
    try:
        if found is None:
            found = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit):  # importing runs the module, which may raise anything
        return None
    return found if isinstance(found, type) else None
