"""The files of SHARP and SMARP patches: one for each segment, named alike but for the segment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from os import PathLike, fsdecode, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solartrack.coordinates.header import wavelength_angstrom

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["SEGMENTS", "group_segments", "refuse_others", "segments_of"]

#: Segments that keywords are computed from, as JSOC names them.
SEGMENTS = (
    *("Br", "Bt", "Bp", "bitmap", "conf_disambig", "magnetogram"),
    *("Br_err", "Bt_err", "Bp_err"),
)
_ENDS = tuple(f".{kind}{packed}" for kind in ("fits", "fit", "fts") for packed in ("", ".gz", ".fz"))
_NAME = re.compile(rf"(?P<patch>.+)\.(?P<segment>{'|'.join(SEGMENTS)})(?:{'|'.join(map(re.escape, _ENDS))})")

# What JSOC's magnetograms and patches come with, and no field through the surface.
_OTHERS = (
    *(segment for segment in SEGMENTS if segment not in ("Br", "magnetogram")),
    *("continuum", "Dopplergram", "field", "inclination", "azimuth", "disambig"),
)
_OTHER_NAME = re.compile(
    rf"(?:hmi|mdi)\..*\.(?P<segment>{'|'.join(_OTHERS)})(?:{'|'.join(map(re.escape, _ENDS))})"
)
# Below are the wavelengths of EUV imagers, angstrom; AIA has three more. Others are left alone: a header that
# lacks WAVEUNIT may give those of a magnetograph in nanometres.
_LONGEST_EUV, _UV = 400.0, (1600.0, 1700.0, 4500.0)


def refuse_others(source: Any, header: Header | None = None) -> None:
    """Refuse what its file name or its header calls another image than a magnetogram.

    Parameters
    ----------
    source : path-like or anything
        What the image was read from; only of a path the name is looked at.
    header : Header, optional
        Of the image.

    Raises
    ------
    ValueError
        If it is another segment of a patch, or an image in a wavelength of no magnetograph.
    """
    if isinstance(source, str | bytes | PathLike):
        name = Path(fsdecode(source)).name
        if match := _OTHER_NAME.fullmatch(name):
            raise ValueError(
                f"{name} is the segment {match['segment']!r}, no line-of-sight or radial field; give the "
                "file of 'magnetogram' or 'Br'"
            )
    wavelength = None if header is None else wavelength_angstrom(header)
    if wavelength is not None and (1.0 < wavelength < _LONGEST_EUV or wavelength in _UV):
        raise ValueError(
            f"by its header this is an image in {wavelength:g} angstrom and no magnetogram; give one of "
            "HMI, MDI or another magnetograph"
        )


def group_segments(files: Iterable[Path]) -> dict[Path, dict[str, Path]]:
    """Files of segments by patch and time, which the beginnings of their names tell.

    Parameters
    ----------
    files : iterable of Path
        Others than segments are passed over.

    Returns
    -------
    dict of Path to dict of str to Path
        For each patch and time, in the order of its first file, the files of its segments; the key is
        ``folder/hmi.sharp_cea_720s.377.20110215_020000_TAI``, which is no file.

    Raises
    ------
    ValueError
        If there are two files of one segment, such as a packed and an unpacked one.
    """
    patches: dict[Path, dict[str, Path]] = {}
    for file in files:
        if match := _NAME.fullmatch(file.name):
            segments = patches.setdefault(file.with_name(match["patch"]), {})
            other = segments.setdefault(match["segment"], file)
            if other is not file:
                raise ValueError(
                    f"{other} and {file} are two files of one segment of one patch; move one away"
                )
    return patches


def segments_of(source: str | PathLike[str]) -> dict[str, Path]:
    """Files of the segments of one patch.

    Parameters
    ----------
    source : path-like
        A folder that holds the segments of one patch at one time, or what the names of the files begin
        with: ``folder/hmi.sharp_cea_720s.377.20110215_020000_TAI``.

    Raises
    ------
    ValueError
        If there are several patches or times.
    FileNotFoundError
        If there is none.
    """
    path = Path(fspath(source))
    if path.is_dir():
        patches = group_segments(sorted(path.iterdir()))
    else:  # not by a list of the folder, which may hold a million files
        possible = (f"{path.name.rstrip('.')}.{segment}{end}" for segment in SEGMENTS for end in _ENDS)
        patches = group_segments(file for name in possible if (file := path.with_name(name)).is_file())
    if not patches:
        raise FileNotFoundError(
            f"no segments of a SHARP or SMARP patch at {path}; expected files such as "
            f"{path.name or 'patch'}.Br.fits, or a folder of them"
        )
    if len(patches) > 1:
        names = ", ".join(p.name for p in list(patches)[:3])
        raise ValueError(
            f"{path} holds {len(patches)} patches or times ({names}{', ...' if len(patches) > 3 else ''}); "
            "name one of them, or measure all with solartrack.features.extract(..., feature_set='sharp')"
        )
    return next(iter(patches.values()))
