"""Definition of the SHARP and SMARP keywords in NumPy and SciPy, over whole maps, with their errors.

Written for meaning: each keyword is a line or two over maps of the whole patch. It is the parity oracle of the
kernels and the peer in their benchmark. `fields` are Br, Bt, Bp in gauss, NaN where missing; `errors` the same
for their errors; `side` is a pixel in metres, `arcsec` the same at disk centre.
"""

import numpy as np
from scipy import signal

MU0 = 4e-7 * np.pi
TESLA = 1e-4


def slopes(f):
    """Central differences per pixel; NaN at the edges, on NaN pixels and beside them along the axis."""
    dx, dy = np.full(f.shape, np.nan), np.full(f.shape, np.nan)
    if min(f.shape) >= 3:
        dx[1:-1, 1:-1] = (f[1:-1, 2:] - f[1:-1, :-2]) / 2
        dy[1:-1, 1:-1] = (f[2:, 1:-1] - f[:-2, 1:-1]) / 2
    return np.where(np.isnan(f), np.nan, dx), np.where(np.isnan(f), np.nan, dy)


def slope_variances(error):
    """Variances of the two derivatives."""
    vx, vy = np.full(error.shape, np.nan), np.full(error.shape, np.nan)
    if min(error.shape) >= 3:
        vx[1:-1, 1:-1] = (error[1:-1, 2:] ** 2 + error[1:-1, :-2] ** 2) / 4
        vy[1:-1, 1:-1] = (error[2:, 1:-1] ** 2 + error[:-2, 1:-1] ** 2) / 4
    return vx, vy


def jsoc_potential(bz):
    """Scalar potential: monopoles a thousandth of a pixel deep, 10 pixels before to 9 behind."""
    offset = np.arange(-10, 10)
    kernel = 0.001 / np.sqrt(offset**2 + offset[:, None] ** 2 + 0.001**2)
    whole = signal.fftconvolve(np.nan_to_num(bz), kernel[::-1, ::-1], mode="full")
    return whole[9:-10, 9:-10]


def total(values):
    return np.nansum(values) if np.isfinite(values).any() else np.nan


def mean_of(values, variances):
    """Mean over what is there, and its error."""
    there = np.isfinite(values)
    n = there.sum()
    if not n:
        return np.nan, np.nan
    return values[there].sum() / n, np.sqrt(variances[there].sum()) / n


def sum_of(values, variances):
    there = np.isfinite(values)
    return total(values), np.sqrt(variances[there].sum()) if there.any() else np.nan


def gradient(f, error, mask):
    """Magnitude and variance of the gradient in a mask."""
    dx, dy = slopes(f)
    vx, vy = slope_variances(error)
    size = np.hypot(dx, dy)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.where(size > 0, (dx**2 * vx + dy**2 * vy) / size**2, 0.0 * vx)
    return np.where(mask & (dx + dy != 0), size, np.nan), variance


def keywords(fields, errors, mask, side, arcsec, potential=None):
    """Keywords of the vector field and their errors, two dicts by JSOC's names."""
    br, bt, bp = (np.asarray(f, np.float64) for f in fields)
    x, y, z = bp, -bt, br
    if errors is None:
        errors = [np.full(z.shape, np.nan)] * 3
    ez, ey, ex = errors
    if potential is None:
        px, py = (-slope for slope in slopes(jsoc_potential(z)))
    else:
        px, py = potential
    area = (100 * side) ** 2
    found = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = np.where(mask, 1.0, np.nan)
        h, b = np.hypot(x, y), np.sqrt(x**2 + y**2 + z**2)
        eh = np.where(h > 0, np.hypot(x * ex, y * ey) / h, 0 * ex)
        eb = np.where(b > 0, np.sqrt((x * ex) ** 2 + (y * ey) ** 2 + (z * ez) ** 2) / b, 0 * ex)

        value, error = sum_of(np.abs(z) * inside, ez**2)
        found["USFLUX"] = value * area, error * area
        tilted = inside * np.where(h >= 100, 1.0, np.nan)
        gamma = np.degrees(np.arctan2(h, np.abs(z)))
        variance = np.degrees(1.0) ** 2 * ((z * eh) ** 2 + (h * ez) ** 2) / b**4
        found["MEANGAM"] = mean_of(gamma * tilted, variance)
        for name, f, error in (("MEANGBT", b, eb), ("MEANGBZ", z, ez), ("MEANGBH", h, eh)):
            found[name] = mean_of(*gradient(f, error, mask))

        jz = (slopes(y)[0] - slopes(x)[1]) * inside
        jz[np.isnan(x + y)] = np.nan
        vj = slope_variances(ey)[0] + slope_variances(ex)[1]
        ampere = TESLA / MU0 * side
        value, error = mean_of(jz, vj)
        found["MEANJZD"] = 1e3 * ampere / side**2 * value, 1e3 * ampere / side**2 * error
        value, error = sum_of(np.abs(jz), vj)
        found["TOTUSJZ"] = ampere * value, ampere * error
        jz = np.where(np.isnan(z), np.nan, jz)
        there = np.isfinite(jz)
        zz, zj = np.nansum(z[there] ** 2), np.nansum((z * jz)[there])
        alpha = zj / zz if zz > 0 else np.nan
        variance = (z / zz) ** 2 * vj + (jz / zz - 2 * z * zj / zz**2) ** 2 * ez**2
        variance = variance[there].sum() if zz > 0 else np.nan
        found["MEANALP"] = alpha / side * 1e6, np.sqrt(variance) / side * 1e6
        vh = z**2 * vj + jz**2 * ez**2
        value, error = mean_of(z * jz, vh)
        found["MEANJZH"] = value / side, error / side
        value, error = sum_of(np.abs(z * jz), vh)
        found["TOTUSJH"] = value / side, error / side
        found["ABSNJZH"] = abs(total(z * jz)) / side, error / side
        up, down = np.nansum(jz[there & (z > 0)]), np.nansum(jz[there & (z <= 0)])
        scale = ampere / arcsec**2
        error = sum_of(jz, vj)[1]
        found["SAVNCPP"] = scale * (abs(up) + abs(down)) if there.any() else np.nan, scale * error

        energy = ((x - px) ** 2 + (y - py) ** 2) / (8 * np.pi) * np.where(np.isnan(z), np.nan, inside)
        energy[[0, -1]] = energy[:, [0, -1]] = np.nan
        ve = (((x - px) * ex) ** 2 + ((y - py) * ey) ** 2) / (4 * np.pi) ** 2
        found["MEANPOT"] = mean_of(energy, ve)
        value, error = sum_of(energy, ve)
        found["TOTPOT"] = value * area, error * area
        angle, variance = shear(x, y, z, px, py, ex, ey, ez)
        angle = np.where(np.isfinite(energy), angle, np.nan)
        found["MEANSHR"] = mean_of(angle, variance)
        found["SHRGT45"] = 100 * mean_of(np.where(np.isnan(angle), np.nan, angle > 45), variance)[0], np.nan
    found["CMASK"] = float((mask & np.isfinite(z)).sum()), np.nan
    values, sigmas = ({name: pair[k] for name, pair in found.items()} for k in (0, 1))
    return values, sigmas


def shear(x, y, z, px, py, ex, ey, ez):
    """Angle between (x, y, z) and (px, py, z) in degrees, and its variance by differences of the angle."""

    def angle(x, y, z):
        cosine = (x * px + y * py + z * z) / np.sqrt((x**2 + y**2 + z**2) * (px**2 + py**2 + z**2))
        return np.degrees(np.arccos(np.clip(cosine, -1, 1)))

    step = 1e-3
    by = [
        (angle(x + step * (k == 0), y + step * (k == 1), z + step * (k == 2))
         - angle(x - step * (k == 0), y - step * (k == 1), z - step * (k == 2))) / (2 * step)
        for k in range(3)
    ]  # fmt: skip
    return angle(x, y, z), (by[0] * ex) ** 2 + (by[1] * ey) ** 2 + (by[2] * ez) ** 2


def line_of_sight(b, mask, side):
    """USFLUXL, MEANGBL and CMASKL."""
    size = np.hypot(*slopes(b))[mask]
    there = mask & np.isfinite(b)
    return {
        "USFLUXL": np.abs(b[there]).sum() * (100 * side) ** 2 if there.any() else np.nan,
        "MEANGBL": np.nanmean(size) if np.isfinite(size).any() else np.nan,
        "CMASKL": float(there.sum()),
    }


def jsoc_r(b, arcsec):
    """R_VALUE of a line-of-sight map without NaN."""
    from scipy import ndimage

    n = max(1, round(2 / arcsec))
    half = n // 2
    size = 2 * half + 1
    known = ndimage.uniform_filter(np.ones(b.shape), size, mode="constant")
    mean = (ndimage.uniform_filter(b, size, mode="constant") / known)[half::n, half::n]
    box = np.ones((3, 3))
    line = ndimage.binary_dilation(mean > 150, box) & ndimage.binary_dilation(mean < -150, box)
    weight = ndimage.gaussian_filter(line.astype(float), 10 / 2.354820045, mode="constant", truncate=12)
    flux = np.sum(np.abs(mean) * weight)
    return np.log10(flux) if flux >= 1 else 0.0
