"""The pages of the API reference: one for each public module, with every name of its `__all__`."""

import importlib
import inspect
import pprint
import sys
from pathlib import Path
from types import ModuleType

# Public modules that no `__all__` names: what the pages of the documentation tell people to import.
ALSO = [
    "solartrack.cython_boxes",
    "solartrack.metrics.sarker2019",
    "solartrack.models.export",
    "solartrack.models.goturn.presets",
    "solartrack.models.goturn.sources",
    "solartrack.models.vgg.backbones",
    "solartrack.models.vgg.weights",
    "solartrack.segmentation",
    "solartrack.tracking.formats",
]
_LONGEST_VALUE = 40  # lines of a constant that are shown


def modules() -> list[str]:
    """The public modules: `solartrack`, all that its `__all__` leads to, and `ALSO`."""
    found: list[str] = []

    def visit(name: str) -> None:
        found.append(name)
        for value in public(name).values():
            if isinstance(value, ModuleType) and value.__name__ not in found:
                visit(value.__name__)

    visit("solartrack")
    return sorted({*found, *ALSO})


def public(module: str) -> dict[str, object]:
    """The public names of a module and what they are: `__all__`, or without one what it defines itself."""
    home = importlib.import_module(module)
    names = getattr(home, "__all__", None)
    if names is None:
        own = [n for n, v in vars(home).items() if getattr(v, "__module__", None) == module and callable(v)]
        names = [name for name in own if not name.startswith("_")]
    return {name: getattr(home, name) for name in names}


def described() -> dict[str, str]:
    """Where each public name, such as ``solartrack.track``, is described: once, however many modules have it.

    That is the module with the shortest name; of those in `solartrack` itself the room's own.
    """
    places: dict[int, str] = {}
    names: dict[str, object] = {}
    for module in sorted(modules(), key=lambda module: (module == "solartrack", module.count("."), module)):
        for name, value in public(module).items():
            names[f"{module}.{name}"] = value
            if inspect.isclass(value) or inspect.isroutine(value):
                places.setdefault(id(value), f"{module}.{name}")
    return {name: places.get(id(value), name) for name, value in names.items()}


def comment_of(name: str, value: object) -> str:
    """What the source says of a constant: the lines that begin with ``#:`` above it, where it is defined."""
    from sphinx.pycode import ModuleAnalyzer

    for module in sorted(m for m in sys.modules if m.startswith("solartrack")):
        source = getattr(sys.modules[module], "__file__", None) or ""
        if source.endswith(".py") and vars(sys.modules[module]).get(name) is value:
            lines = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
            if lines:
                return "\n".join(lines).strip()
    return ""


def page(module: str, places: dict[str, str]) -> str:
    """The page of a module, in reStructuredText."""
    names = public(module)
    kinds: dict[str, list[str]] = {
        kind: [] for kind in ("Modules", "Functions", "Classes", "Constants", "Described elsewhere")
    }
    for name, value in sorted(names.items(), key=lambda item: item[0].lower()):
        if isinstance(value, ModuleType):
            kinds["Modules"].append(name)
        elif places[f"{module}.{name}"] != f"{module}.{name}":
            kinds["Described elsewhere"].append(name)
        elif inspect.isclass(value):
            kinds["Classes"].append(name)
        elif inspect.isroutine(value):
            kinds["Functions"].append(name)
        else:
            kinds["Constants"].append(name)
    parts = [
        _title(module, "="),
        f".. automodule:: {module}\n   :no-members:",
        f".. currentmodule:: {module}",
    ]
    for kind, members in kinds.items():
        if not members:
            continue
        parts.append(_title(kind, "-"))
        if kind == "Modules":
            parts.append("\n".join(f"- :doc:`{names[name].__name__}`" for name in members))
        elif kind == "Described elsewhere":
            parts.append("\n".join(f"- ``{n}``: `{places[f'{module}.{n}']}`" for n in members))
        elif kind == "Constants":
            parts += [_constant(name, names[name], module) for name in members]
        else:
            parts.append(
                ".. autosummary::\n   :nosignatures:\n\n" + "\n".join(f"   {name}" for name in members)
            )
            directive = "autofunction" if kind == "Functions" else "autoclass"
            options = "" if kind == "Functions" else "\n   :members:"
            parts += [f".. {directive}:: {module}.{name}{options}" for name in members]
    return "\n\n".join(parts) + "\n"


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}"


def _constant(name: str, value: object, module: str) -> str:
    lines = pprint.pformat(value, width=90, sort_dicts=False).splitlines()
    if len(lines) > _LONGEST_VALUE:
        lines = [*lines[:_LONGEST_VALUE], "..."]
    body = f"{comment_of(name, value)}\n\n.. code-block:: text\n\n" + "\n".join(f"   {x}" for x in lines)
    return f".. py:data:: {module}.{name}\n\n" + "\n".join(f"   {x}".rstrip() for x in body.splitlines())


def write(folder: Path) -> None:
    """Write all pages into a folder; files that say the same already keep their date."""
    folder.mkdir(parents=True, exist_ok=True)
    places = described()
    pages = {f"{module}.rst": page(module, places) for module in modules()}
    for old in folder.iterdir():
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
