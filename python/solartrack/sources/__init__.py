"""Events, images, magnetograms and reports from the archives, downloaded without babysitting.

`hek` finds events, `helioviewer` images, `jsoc` magnetograms, `swpc` reports. Each has `search` (a table)
and `plan` (what would be fetched). `fetch` fills a store from a plan, `verify` checks one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solartrack.sources import hek, helioviewer, jsoc, prepare, swpc
    from solartrack.sources.store import PLAN_COLUMNS, Store, fetch, plan_table, verify
    from solartrack.sources.transport import Transport

# public name -> module that defines it ("" for a public module); loaded on first use
_PUBLIC = {
    "PLAN_COLUMNS": "store",
    "Store": "store",
    "Transport": "transport",
    "fetch": "store",
    "hek": "",
    "helioviewer": "",
    "jsoc": "",
    "plan_table": "store",
    "prepare": "",
    "swpc": "",
    "verify": "store",
}

__all__ = [
    "PLAN_COLUMNS",
    "Store",
    "Transport",
    "fetch",
    "hek",
    "helioviewer",
    "jsoc",
    "plan_table",
    "prepare",
    "swpc",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _PUBLIC[name]
    return getattr(import_module(f"{__name__}.{home}"), name) if home else import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
