"""Public names of a room that are imported when they are first asked for.

What a room offers is known at once; what it needs (TensorFlow, pandas, a widget library) is
loaded only by whoever uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, modules: dict[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make the module functions of PEP 562 for a package.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    modules : dict of str to tuple of str
        Module below the package -> the names in it that are public.

    Returns
    -------
    getattr, dir : callable
        To be called ``__getattr__`` and ``__dir__`` there.
    all : list of str
        ``__all__``.

    Examples
    --------
    >>> getattr, dir, names = lazy_names("instanceid_utils", {"seeding": ("seed_everything",)})
    >>> names, getattr("seed_everything").__module__
    (['seed_everything'], 'instanceid_utils.seeding')
    """
    home = {name: module for module, names in modules.items() for name in names}

    def __getattr__(name):
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return __getattr__, lambda: sorted(home), sorted(home)
