#include "sharp.hpp"
#include "compiler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace solartrack {
namespace {

constexpr double pi = 3.14159265358979323846;
constexpr double least_horizontal = 100.0;                           // gauss, for the inclination
constexpr double unknown = std::numeric_limits<double>::quiet_NaN(); // variances without errors

double square(double x) {
    return x * x;
}

void add(PixelSum &to, double value, double variance) {
    to.sum += value;
    to.variance += variance;
    ++to.pixels;
}

// Three rows of a quantity and of its variance, which is null without errors.
struct Rows {
    const double *up, *here, *down;
    const double *variance_up, *variance_here, *variance_down;
};

// Magnitude of the gradient at column j, where it is a number.
void add_gradient(PixelSum &to, const Rows &rows, std::ptrdiff_t j, bool skip_level) {
    const double dx = 0.5 * (rows.here[j + 1] - rows.here[j - 1]), dy = 0.5 * (rows.down[j] - rows.up[j]);
    const double slope = std::sqrt(dx * dx + dy * dy);
    // The value itself cancels out of the differences, but where it is missing the pixel is.
    if (slope + rows.here[j] != slope + rows.here[j] || (skip_level && dx + dy == 0.0))
        return;
    double variance = unknown;
    if (rows.variance_here != nullptr)
        variance = slope == 0.0 ? 0.0
                                : (dx * dx * (rows.variance_here[j + 1] + rows.variance_here[j - 1]) +
                                   dy * dy * (rows.variance_down[j] + rows.variance_up[j])) /
                                      (4.0 * slope * slope);
    add(to, slope, variance);
}

SOLARTRACK_CLONES void squares(const double *values, std::ptrdiff_t n, double *__restrict out) {
    for (std::ptrdiff_t j = 0; j < n; ++j)
        out[j] = values[j] * values[j];
}

SOLARTRACK_CLONES void magnitudes(const double *x, const double *y, const double *z, std::ptrdiff_t n,
                                  double *__restrict horizontal, double *__restrict total) {
    for (std::ptrdiff_t j = 0; j < n; ++j) {
        const double h = x[j] * x[j] + y[j] * y[j];
        horizontal[j] = std::sqrt(h);
        total[j] = std::sqrt(h + z[j] * z[j]);
    }
}

// Variances of |Bh| and |B|; 0 where they are 0, which have no first order.
SOLARTRACK_CLONES void magnitude_variances(const double *x, const double *y, const double *z,
                                           const double *error_x, const double *error_y,
                                           const double *error_z, std::ptrdiff_t n,
                                           double *__restrict horizontal, double *__restrict total) {
    for (std::ptrdiff_t j = 0; j < n; ++j) {
        const double ax = x[j] * error_x[j], ay = y[j] * error_y[j], az = z[j] * error_z[j];
        const double xy = ax * ax + ay * ay, h = x[j] * x[j] + y[j] * y[j], t = h + z[j] * z[j];
        horizontal[j] = h > 0.0 ? xy / h : 0.0;
        total[j] = t > 0.0 ? (xy + az * az) / t : 0.0;
    }
}

// A few rows of derived quantities; row i lies where row i - 3 was.
class Ring {
public:
    explicit Ring(std::ptrdiff_t cols) : cols_(cols), values_(static_cast<std::size_t>(3 * cols)) {}
    double *row(std::ptrdiff_t i) { return values_.data() + (i % 3) * cols_; }

private:
    std::ptrdiff_t cols_;
    std::vector<double> values_;
};

// |Bh| and |B| of the last rows, with their variances.
class Magnitudes {
public:
    explicit Magnitudes(const VectorPlanes &planes)
        : planes_(planes), horizontal_(planes.shape.cols), total_(planes.shape.cols),
          horizontal_variance_(planes.shape.cols), total_variance_(planes.shape.cols) {}

    void make(std::ptrdiff_t i) {
        const std::ptrdiff_t n = planes_.shape.cols, at = i * n;
        const VectorPlanes &p = planes_;
        magnitudes(p.west + at, p.south + at, p.up + at, n, horizontal_.row(i), total_.row(i));
        if (p.error_west != nullptr)
            magnitude_variances(p.west + at, p.south + at, p.up + at, p.error_west + at, p.error_south + at,
                                p.error_up + at, n, horizontal_variance_.row(i), total_variance_.row(i));
    }
    Rows horizontal(std::ptrdiff_t i) { return rows(horizontal_, horizontal_variance_, i); }
    Rows total(std::ptrdiff_t i) { return rows(total_, total_variance_, i); }
    double horizontal_at(std::ptrdiff_t i, std::ptrdiff_t j) { return horizontal_.row(i)[j]; }
    double horizontal_variance_at(std::ptrdiff_t i, std::ptrdiff_t j) {
        return horizontal_variance_.row(i)[j];
    }

private:
    Rows rows(Ring &values, Ring &variances, std::ptrdiff_t i) const {
        if (planes_.error_west == nullptr)
            return {values.row(i - 1), values.row(i), values.row(i + 1), nullptr, nullptr, nullptr};
        return {values.row(i - 1),    values.row(i),    values.row(i + 1),
                variances.row(i - 1), variances.row(i), variances.row(i + 1)};
    }

    const VectorPlanes &planes_;
    Ring horizontal_, total_, horizontal_variance_, total_variance_;
};

void add_inclination(VectorSums &sums, const VectorPlanes &p, std::ptrdiff_t k, double horizontal,
                     double horizontal_variance) {
    const double z = p.up[k];
    if (!(horizontal >= least_horizontal) || z != z)
        return;
    double variance = unknown;
    if (p.error_west != nullptr)
        variance = (z * z * horizontal_variance + square(horizontal * p.error_up[k])) /
                   square(horizontal * horizontal + z * z);
    add(sums.inclination, std::atan2(horizontal, std::fabs(z)), variance);
}

void add_current(VectorSums &sums, const VectorPlanes &p, std::ptrdiff_t k) {
    const std::ptrdiff_t n = p.shape.cols;
    const double jz = -0.5 * ((p.south[k + 1] - p.south[k - 1]) + (p.west[k + n] - p.west[k - n]));
    if (jz != jz || p.west[k] + p.south[k] != p.west[k] + p.south[k])
        return;
    double variance = unknown;
    if (p.error_west != nullptr)
        variance = 0.25 * (square(p.error_south[k + 1]) + square(p.error_south[k - 1]) +
                           square(p.error_west[k + n]) + square(p.error_west[k - n]));
    add(sums.current, jz, variance);
    sums.unsigned_current += std::fabs(jz);

    const double z = p.up[k];
    if (z != z)
        return;
    (z > 0.0 ? sums.current_up : sums.current_down) += jz;
    sums.variance_up_down += variance;
    const double helicity = z * jz;
    sums.unsigned_helicity += std::fabs(helicity);
    sums.vertical_square += z * z;
    const double vertical = p.error_up != nullptr ? square(p.error_up[k]) : unknown;
    const double of_jz = z * z * variance, of_z = jz * jz * vertical;
    sums.variance_of_current += of_jz;
    sums.variance_jz_jz += of_z;
    sums.variance_bz_jz += z * jz * vertical;
    sums.variance_bz_bz += z * z * vertical;
    add(sums.helicity, helicity, of_jz + of_z);
}

// B and the potential field P with the same z; the angle between them is that of atan2(|B x P|, B . P),
// which keeps its digits where they are parallel.
void add_potential(VectorSums &sums, const VectorPlanes &p, std::ptrdiff_t i, std::ptrdiff_t j) {
    const std::ptrdiff_t k = i * p.shape.cols + j;
    double px, py;
    if (p.scalar_potential != nullptr) {
        const double *here = p.scalar_potential + i * p.scalar_stride + j;
        px = 0.5 * (here[-1] - here[1]);
        py = 0.5 * (here[-p.scalar_stride] - here[p.scalar_stride]);
    } else {
        px = p.potential_west[k];
        py = p.potential_north[k];
    }
    const double x = p.west[k], y = -p.south[k], z = p.up[k];
    const double dx = x - px, dy = y - py;
    const double energy = (dx * dx + dy * dy) / (8.0 * pi);
    if (energy + z != energy + z)
        return;
    const bool errors = p.error_west != nullptr;
    const double vx = errors ? square(p.error_west[k]) : unknown,
                 vy = errors ? square(p.error_south[k]) : unknown,
                 vz = errors ? square(p.error_up[k]) : unknown;
    add(sums.free_energy, energy, (dx * dx * vx + dy * dy * vy) / square(4.0 * pi));

    const double b2 = x * x + y * y + z * z, p2 = px * px + py * py + z * z;
    if (b2 == 0.0 || p2 == 0.0)
        return; // no direction, no angle
    const double dot = x * px + y * py + z * z;
    const double cross = std::sqrt(square(y * z - z * py) + square(z * px - x * z) + square(x * py - y * px));
    const double angle = std::atan2(cross, dot);
    double variance = errors ? 0.0 : unknown;
    if (errors && cross > 0.0) {
        // Derivatives of the angle by the components of B, of which z is P's, too.
        const double by_x = (x * dot / b2 - px) / cross, by_y = (y * dot / b2 - py) / cross;
        const double by_z = z * (dot / b2 + dot / p2 - 2.0) / cross;
        variance = by_x * by_x * vx + by_y * by_y * vy + by_z * by_z * vz;
    }
    add(sums.shear, angle, variance);
    sums.sheared += angle > 0.25 * pi;
}

} // namespace

FieldSums field_sums(PlaneShape shape, const double *b, const double *error, const std::uint8_t *mask,
                     bool skip_level) {
    const std::ptrdiff_t n = shape.cols;
    FieldSums sums;
    Ring variances(error != nullptr ? n : 0);
    const auto make = [&](std::ptrdiff_t i) {
        if (error != nullptr && i < shape.rows)
            squares(error + i * n, n, variances.row(i));
    };
    make(0);
    for (std::ptrdiff_t i = 0; i < shape.rows; ++i) {
        make(i + 1);
        const double *row = b + i * n;
        const bool inner = i > 0 && i < shape.rows - 1;
        Rows rows{row - n, row, row + n, nullptr, nullptr, nullptr};
        if (error != nullptr && inner)
            rows = {row - n, row, row + n, variances.row(i - 1), variances.row(i), variances.row(i + 1)};
        for (std::ptrdiff_t j = 0; j < n; ++j) {
            if (mask[i * n + j] == 0)
                continue;
            if (row[j] == row[j])
                add(sums.magnitude, std::fabs(row[j]), error != nullptr ? variances.row(i)[j] : unknown);
            if (inner && j > 0 && j < n - 1)
                add_gradient(sums.gradient, rows, j, skip_level);
        }
    }
    return sums;
}

VectorSums vector_sums(const VectorPlanes &planes) {
    const std::ptrdiff_t rows = planes.shape.rows, n = planes.shape.cols;
    VectorSums sums;
    Magnitudes magnitudes(planes);
    magnitudes.make(0);
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
        if (i + 1 < rows)
            magnitudes.make(i + 1);
        const std::uint8_t *mask = planes.mask + i * n;
        if (std::none_of(mask, mask + n, [](std::uint8_t m) { return m != 0; }))
            continue;
        const bool inner = i > 0 && i < rows - 1;
        Rows horizontal{}, total{};
        if (inner) {
            horizontal = magnitudes.horizontal(i);
            total = magnitudes.total(i);
        }
        for (std::ptrdiff_t j = 0; j < n; ++j) {
            if (mask[j] == 0)
                continue;
            add_inclination(sums, planes, i * n + j, magnitudes.horizontal_at(i, j),
                            magnitudes.horizontal_variance_at(i, j));
            if (!inner || j == 0 || j == n - 1)
                continue;
            add_gradient(sums.total_gradient, total, j, true);
            add_gradient(sums.horizontal_gradient, horizontal, j, true);
            add_current(sums, planes, i * n + j);
            add_potential(sums, planes, i, j);
        }
    }
    return sums;
}

} // namespace solartrack
