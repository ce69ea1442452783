"""Many passports as one tar archive that is never in memory as a whole."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from battery_pilot.services.data_app.forms import Form, content

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ENDINGS = {Form.BUNDLE: "json", Form.AAS: "aas.json", Form.VALUES: "values.json", Form.AASX: "aasx"}


def archive(paths: Iterable[Path], form: Form) -> Iterator[bytes]:
    """Yield a tar archive (POSIX.1-2001), one passport after the other.

    A zip would keep a directory entry of every passport in memory until its end; a tar has no directory. Passports that
    are withdrawn while the archive is on its way are not in it.

    :param paths: the released bundles.
    :param form: form of each member.
    """
    for path in paths:
        try:
            data, changed = content(path, form), path.stat().st_mtime
        except FileNotFoundError:
            continue
        member = tarfile.TarInfo(f"{path.stem}.{_ENDINGS[form]}")
        member.size, member.mtime, member.mode = len(data), int(changed), 0o644
        yield member.tobuf(tarfile.PAX_FORMAT)
        yield data
        yield bytes(-len(data) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
