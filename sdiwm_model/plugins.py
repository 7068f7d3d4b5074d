"""Parts that register themselves through entry points: subcommands and benches.

A part is a module with `HELP: str`, `add_arguments(parser)` and `run(args)`. Its top level imports
only the standard library, so that listing the parts stays fast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType


@dataclass(frozen=True)
class Plugin:
    """One registered part: its name on the command line and the module behind it."""

    name: str
    load: Callable[[], ModuleType]

    def help_line(self) -> str:
        """Return the module's HELP, or why the module cannot be loaded."""
        try:
            return str(self.load().HELP)
        except Exception as error:  # a broken part must not hide the others
            return f"unavailable: {type(error).__name__}: {error}"


def discover(group: str) -> dict[str, Plugin]:
    """Return the parts registered in an entry-point group, sorted by name.

    An installed distribution and a development tree on the path can both register the same name;
    the first one on the path wins, as for an import.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, entry)
    return {name: Plugin(name, found[name].load) for name in sorted(found)}
