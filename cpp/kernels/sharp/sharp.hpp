// Sums behind the SHARP and SMARP keywords (Bobra et al. 2014, Solar Physics
// 289, 3549, table 3): tests/reference/sharp.py defines them. Lengths are in
// pixels and fields in gauss; what units a keyword has is the caller's matter.
//
// Derivatives are central differences per pixel, and the outermost pixels have
// none. A pixel enters a sum if all that the sum needs there is a number: NaN
// pixels and their neighbours drop out one by one.
//
// Variances are those of first-order propagation with independent errors of
// the pixels, added up pixel by pixel as JSOC does: that two derivatives share
// a pixel is left out of account. Without errors they are NaN.
#pragma once
#include <cstddef>
#include <cstdint>

namespace solartrack {

// All planes are rows x cols in C order.
struct PlaneShape {
    std::ptrdiff_t rows = 0, cols = 0;
};

// A sum over pixels, how many entered it, and the sum of their variances.
struct PixelSum {
    double sum = 0.0, variance = 0.0;
    std::size_t pixels = 0;
};

// One component of the field, such as Br or the line-of-sight field.
struct FieldSums {
    PixelSum magnitude; // |b|
    PixelSum gradient;  // |grad b|
};

// `error` may be null. With `skip_level`, pixels whose two derivatives add up
// to exactly 0 are left out of the gradient.
FieldSums field_sums(PlaneShape shape, const double *b, const double *error, const std::uint8_t *mask,
                     bool skip_level);

// The field to the west, to the south and outwards, as JSOC has it; the potential
// field, by its own components or as minus the gradient of a scalar potential, whose
// rows may lie further apart; and the errors, all three or none.
struct VectorPlanes {
    PlaneShape shape;
    const double *west = nullptr, *south = nullptr, *up = nullptr;
    const double *potential_west = nullptr, *potential_north = nullptr;
    const double *scalar_potential = nullptr;
    std::ptrdiff_t scalar_stride = 0;
    const double *error_west = nullptr, *error_south = nullptr, *error_up = nullptr;
    const std::uint8_t *mask = nullptr;
};

struct VectorSums {
    PixelSum inclination;         // atan(Bh / |Bz|), radians; pixels with Bh of at least 100 G
    PixelSum total_gradient;      // |grad |B||
    PixelSum horizontal_gradient; // |grad Bh|
    PixelSum current;             // Jz = dBy/dx - dBx/dy
    double unsigned_current = 0.0;
    double current_up = 0.0, current_down = 0.0; // where Bz > 0, and where not
    double variance_up_down = 0.0;
    PixelSum helicity; // Bz Jz
    double unsigned_helicity = 0.0;
    double vertical_square = 0.0; // Bz^2 over the pixels of `helicity`
    // Parts of the variance of sum(Bz Jz) / sum(Bz^2), see features/_sharp.py.
    double variance_bz_jz = 0.0, variance_bz_bz = 0.0, variance_jz_jz = 0.0, variance_of_current = 0.0;
    PixelSum free_energy;    // |B - Bp|^2 / 8 pi
    PixelSum shear;          // angle between B and the potential field with B's own Bz, radians
    std::size_t sheared = 0; // pixels of `shear` beyond 45 degrees
};

VectorSums vector_sums(const VectorPlanes &planes);

} // namespace solartrack
