// The 29 features of one magnetogram patch (set `boucheron2023`): Boucheron et
// al. 2023, Scientific Data 10:825; tests/reference/complexity.py defines them.
#pragma once
#include "field.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace solartrack {

// The published order: enumerators and names are one list.
// clang-format off
#define SOLARTRACK_COMPLEXITY_FEATURES(feature) \
    feature(gradient_mean) \
    feature(gradient_std) \
    feature(gradient_median) \
    feature(gradient_min) \
    feature(gradient_max) \
    feature(gradient_skewness) \
    feature(gradient_kurtosis) \
    feature(nl_length) \
    feature(nl_fragments) \
    feature(nl_gradient_weighted_length) \
    feature(nl_curvature_mean) \
    feature(nl_curvature_std) \
    feature(nl_curvature_median) \
    feature(nl_curvature_min) \
    feature(nl_curvature_max) \
    feature(nl_bending_energy_mean) \
    feature(nl_bending_energy_std) \
    feature(nl_bending_energy_median) \
    feature(nl_bending_energy_min) \
    feature(nl_bending_energy_max) \
    feature(wavelet_energy_l1) \
    feature(wavelet_energy_l2) \
    feature(wavelet_energy_l3) \
    feature(wavelet_energy_l4) \
    feature(wavelet_energy_l5) \
    feature(flux_positive) \
    feature(flux_negative) \
    feature(flux_signed) \
    feature(flux_unsigned)
// clang-format on

enum ComplexityFeature : int {
#define SOLARTRACK_ENUMERATOR(name) name,
    SOLARTRACK_COMPLEXITY_FEATURES(SOLARTRACK_ENUMERATOR)
#undef SOLARTRACK_ENUMERATOR
        complexity_features
};

constexpr const char *complexity_names[] = {
#define SOLARTRACK_NAME(name) #name,
    SOLARTRACK_COMPLEXITY_FEATURES(SOLARTRACK_NAME)
#undef SOLARTRACK_NAME
};

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
ComplexityOutcome complexity(const PixelField &patch, double zero, bool nan_as_zero,
                             double out[complexity_features], ComplexityProducts *products = nullptr);

// One row of `out` per patch, on up to `threads` threads.
void complexity_batch(const std::vector<PixelField> &patches, double zero, bool nan_as_zero, int threads,
                      double *out, ComplexityOutcome *outcomes);

} // namespace solartrack
