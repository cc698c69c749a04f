// The 29 features of one magnetogram patch (set `boucheron2023`): Boucheron et
// al. 2023, Scientific Data 10:825; tests/reference/complexity.py defines them.
#pragma once
#include "field.hpp"

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

namespace solartrack {

constexpr int complexity_features = 29;

using Patch = std::variant<Field<std::uint8_t>, Field<std::uint16_t>, Field<std::int16_t>,
                           Field<std::int32_t>, Field<float>, Field<double>>;

enum class PatchProblem { none, nan, infinite, too_large };

struct ComplexityOutcome {
    PatchProblem problem = PatchProblem::none; // if any, the features are not set
    std::size_t nan_pixels = 0;                // taken as 0
};

// Intermediate products, rows x cols each, and the points of all contours;
// contour k is points [offsets[k], offsets[k + 1]), (row, col) in turn.
struct ComplexityProducts {
    double *gradient = nullptr;
    double *smoothed = nullptr;
    std::uint8_t *neutral_line = nullptr;
    std::uint8_t *strong = nullptr;
    std::vector<double> points;
    std::vector<std::size_t> offsets;
};

// Sides of the largest patch: beyond, rounding of a contour point could exceed
// the doubt allowed for it (contour.cpp), and point numbers overflow.
constexpr std::ptrdiff_t longest_side = std::ptrdiff_t{1} << 22;
constexpr std::ptrdiff_t most_pixels = std::ptrdiff_t{1} << 28;
// Pixels beyond this overflow the fourth moment of the gradient.
constexpr double largest_pixel = 1e70;

// Features of `patch` after subtraction of `zero`. NaN pixels are taken as 0
// where `nan_as_zero`, otherwise a problem. With `products` the smoothed field
// and the contours are those of the definition bit for bit, not only as far as
// the features need them; that is slower. Scratch is kept per thread.
ComplexityOutcome complexity(const Patch &patch, double zero, bool nan_as_zero,
                             double out[complexity_features], ComplexityProducts *products = nullptr);

// One row of `out` per patch, on up to `threads` threads.
void complexity_batch(const std::vector<Patch> &patches, double zero, bool nan_as_zero, int threads,
                      double *out, ComplexityOutcome *outcomes);

} // namespace solartrack
