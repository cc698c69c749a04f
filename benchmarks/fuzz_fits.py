"""Read damaged FITS files in child processes and count those that die, hang or are read in two ways.

``python benchmarks/fuzz_fits.py [COUNT] [SEED]`` makes COUNT files (default 2000) from a few good ones, most
of them tile-compressed: cards of the structure get other values, rows of the table and bytes of the heap
change, the end is cut off. A file may be read or refused with an `ImageError`, tile by tile as by astropy
alone. A child that dies, takes more than 10 s for a file or asks for more than 6 GB, and pixels that differ,
are findings, whose file is kept in the folder that is named.
"""

import io
import json
import random
import resource
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits

_KEYS = [
    "ZVAL1",
    "ZVAL2",
    "ZNAME1",
    "ZNAME2",
    "ZNAXIS",
    "ZNAXIS1",
    "ZNAXIS2",
    "ZTILE1",
    "ZTILE2",
    "ZBITPIX",
    "ZCMPTYPE",
    "ZQUANTIZ",
    "ZDITHER0",
    "ZIMAGE",
    "NAXIS",
    "NAXIS1",
    "NAXIS2",
    "PCOUNT",
    "GCOUNT",
    "TFIELDS",
    "TFORM1",
    "TFORM2",
    "TTYPE1",
    "TTYPE2",
    "THEAP",
    "BITPIX",
    "XTENSION",
    "BLANK",
    "ZBLANK",
    "ZSCALE",
    "ZZERO",
    "BSCALE",
    "BZERO",
]
_NUMBERS = [
    -(2**31),
    -1,
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    17,
    31,
    32,
    33,
    64,
    65,
    255,
    999,
    4096,
    10**6,
    2**31 - 1,
    2**31,
]
_TEXTS = [
    "'1PB(1)'",
    "'1PI(9)'",
    "'1PJ(9)'",
    "'1QB(9)'",
    "'1D'",
    "'RICE_1'",
    "'GZIP_1'",
    "'GZIP_2'",
    "'PLIO_1'",
]
_TEXTS += [
    "'HCOMPRESS_1'",
    "'NOCOMPRESS'",
    "T",
    "F",
    "1.5",
    "nan",
    "'BINTABLE'",
    "'SUBTRACTIVE_DITHER_2'",
    "''",
]
_TEXTS += [
    "'COMPRESSED_DATA'",
    "'GZIP_COMPRESSED_DATA'",
    "'UNCOMPRESSED_DATA'",
    "'BYTEPIX'",
    "'BLOCKSIZE'",
    "'SCALE'",
]

_READER = """
import json, resource, signal, sys, warnings
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_AS, (6 * 10**9,) * 2)
import numpy as np
from solartrack import images
from solartrack.errors import ImageError
from solartrack.images import rice

def pixels(path, **part):
    try:
        return images.read(path, **part).array
    except ImageError:
        return None

def same(a, b, of_window):
    if a is None or b is None:
        return a is b or (of_window and a is not None)  # what is beyond the window was not decoded
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

decoder = rice._decoder
for line in sys.stdin:
    signal.alarm(10)
    path = line.rstrip("\\n")
    answer = "read"
    try:
        fast = [pixels(path), pixels(path, window=(3, 5, 40, 31))]
        rice._decoder = lambda: None
        slow = [pixels(path), pixels(path, window=(3, 5, 40, 31))]
        rice._decoder = decoder
        if not all(map(same, fast, slow, (False, True))):
            answer = "is not what astropy reads"
        images.read_pixels(path)
        images.read_header(path)
    except ImageError:
        answer = "refused" if answer == "read" else answer
    except BaseException as error:
        answer = f"{type(error).__name__}: {error}"
    rice._decoder = decoder
    signal.alarm(0)
    print(json.dumps(answer), flush=True)
"""


def good_files() -> list[bytes]:
    """Small images in every compression."""
    random_numbers = np.random.default_rng(1)
    y, x = np.mgrid[:48, :64]
    smooth = 500 * np.exp(-((x - 30) ** 2 + (y - 20) ** 2) / 100) + random_numbers.normal(0, 3, x.shape)
    whole, mask = np.rint(smooth).astype(np.int16), (smooth > 100).astype(np.int16)
    made = [fits.HDUList([fits.PrimaryHDU(smooth.astype(np.float32))])]
    for how, array, tile, more in [
        ("RICE_1", whole, (1, 64), {}),
        ("RICE_1", whole, (16, 16), {}),
        ("RICE_1", smooth.astype(np.float32), (1, 64), {"quantize_method": 1, "dither_seed": 7}),
        ("RICE_1", whole.astype(np.int32), (48, 64), {}),
        ("RICE_1", whole.astype(np.int32), (1, 64), {}),
        ("RICE_1", whole, (5, 64), {}),
        ("GZIP_1", whole, (1, 64), {}),
        ("GZIP_2", smooth.astype(np.float32), (8, 64), {}),
        ("PLIO_1", mask, (4, 64), {}),
        ("HCOMPRESS_1", whole, (16, 64), {}),
        ("HCOMPRESS_1", smooth.astype(np.float32), (12, 20), {"hcomp_scale": 4, "hcomp_smooth": 1}),
    ]:
        hdu = fits.CompImageHDU(array, compression_type=how, tile_shape=tile, **more)
        made.append(fits.HDUList([fits.PrimaryHDU(), hdu]))
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for number, hdus in enumerate(made):
            path = Path(folder) / f"{number}.fits"
            hdus.writeto(path)
            out.append(path.read_bytes())
    for at in (1, 4, 5, 6):  # those of RICE_1 in whole rows, as the archives have them: scaled, and BLANK
        hdu = fits.HDUList.fromstring(out[at], disable_image_compression=True)
        hdu[1].header.update(BSCALE=0.1, BZERO=0.0, BLANK=3, BUNIT="Gauss")
        content = io.BytesIO()
        hdu.writeto(content)
        out.append(content.getvalue())
    return out


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The file with one to three things wrong."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        what = chance.random()
        if what < 0.55:
            _edit_card(data, chance)
        elif what < 0.9:  # table and heap, and the header of a compressed tile
            start = data.rfind(b"END" + b" " * 77) + 80
            start = -(-start // 2880) * 2880
            if start < len(data):
                at = start + int((len(data) - start) * chance.random() ** 2)
                for k in range(at, min(len(data), at + chance.choice([1, 1, 2, 4, 30]))):
                    data[k] = chance.choice([0, 255, 127, 128, chance.randrange(256)])
        elif what < 0.95:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        else:
            del data[chance.randrange(len(data)) :]
            data += b"" if data else b"SIMPLE  ="
    return bytes(data)


def _edit_card(data: bytearray, chance: random.Random) -> None:
    key = chance.choice(_KEYS)
    places = [k for k in range(0, len(data) - 79, 80) if data[k : k + 8] == key.ljust(8).encode()]
    value = str(chance.choice(_NUMBERS)) if chance.random() < 0.7 else chance.choice(_TEXTS)
    if places and data[places[-1] + 10 : places[-1] + 30].strip().isdigit() and chance.random() < 0.4:
        value = str(int(data[places[-1] + 10 : places[-1] + 30]) + chance.choice([-16, -1, 1, 16]))
    if places:
        at = places[-1]
    else:  # in the place of a card that says nothing of the structure
        blank = [
            k for k in range(0, len(data) - 79, 80) if data[k : k + 8] in (b"EXTEND  ", b"EXTNAME ", b" " * 8)
        ]
        if not blank:
            return
        at = chance.choice(blank)
    data[at : at + 80] = f"{key:<8}= {value:>20}".ljust(80).encode()


def fuzz(count: int, seed: int, folder: Path) -> dict[str, list[str]]:
    """Read `count` damaged files; what became of them, and the files that did harm."""
    chance, goods = random.Random(seed), good_files()
    tally: dict[str, int] = {}
    findings: list[str] = []
    child = None
    path = folder / "damaged.fits"
    for number in range(count):
        path.write_bytes(damaged(chance.choice(goods), chance))
        if child is None:
            child = subprocess.Popen(
                [sys.executable, "-c", _READER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        child.stdin.write(f"{path}\n")
        child.stdin.flush()
        answer = child.stdout.readline()
        said = json.loads(answer) if answer else f"died of {child.wait()}"
        tally[said[:60]] = tally.get(said[:60], 0) + 1
        if said not in ("read", "refused"):
            kept = folder / f"finding-{seed}-{number}.fits"
            path.rename(kept)
            findings.append(f"{kept}: {said}")
            print(findings[-1], flush=True)
        if not answer:
            child = None
        if number % 10_000 == 9_999:
            print(number + 1, tally, flush=True)
    if child is not None:
        child.communicate()
    return {"tally": [f"{k}: {v}" for k, v in tally.items()], "findings": findings}


def main() -> int:
    warnings.simplefilter("ignore")
    count, seed = (int(a) for a in [*sys.argv[1:3], *("2000", "1")[len(sys.argv) - 1 :]])
    result = fuzz(count, seed, Path(tempfile.mkdtemp(prefix="fuzz_fits-")))
    print("\n".join(result["tally"]))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"{count} files, {len(result['findings'])} findings, peak memory {peak:.2f} GB")
    return bool(result["findings"])


if __name__ == "__main__":
    raise SystemExit(main())
