"""BioLogic's ``.mpl`` and ``.mps``: log and settings of a run, which stand beside its ``.mpr`` and hold no measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn

    from battery_pilot.measurements.model import Kind
    from battery_pilot.measurements.source import Source

_PROGRAMS = ("EC-Lab", "EC-LAB", "BT-Lab", "BT-LAB")
_FIRST_LINES = tuple(f"{program} {kind} FILE" for program in _PROGRAMS for kind in ("LOG", "SETTING"))


class BioLogicSideFileReader:
    """Recognises the log and the settings of a run in order to say where the measurement is."""

    name = "biologic-side-file"
    kinds: tuple[Kind, ...] = ()
    suffixes: tuple[str, ...] = ()
    expects = "BioLogic log or settings of a run"

    def sniff(self, source: Source) -> int:
        """Return 95 for the first line of such a file."""
        return 95 if source.head_text.startswith(_FIRST_LINES) else 0

    def read(self, source: Source) -> NoReturn:
        """Refuse the file.

        :raises MeasurementError: always.
        """
        what = "log" if " LOG " in source.head_text[:20] else "settings"
        problem = f"a BioLogic file with the {what} of a run holds no measurement; read the .mpr file beside it"
        raise source.error("file", problem)
