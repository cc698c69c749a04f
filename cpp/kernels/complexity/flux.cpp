#include "flux.hpp"
#include "dispatch.hpp"

#include <algorithm>
#include <cmath>

namespace solartrack {

SOLARTRACK_CLONES RowSummary add_flux(double *row, std::ptrdiff_t cols, Flux &flux) {
    constexpr std::ptrdiff_t lanes = 16; // independent sums, so that the loop can use vectors
    double positive[lanes] = {}, negative[lanes] = {}, largest[lanes] = {}, missing[lanes] = {};
    std::ptrdiff_t j = 0;
    for (; j + lanes <= cols; j += lanes)
        for (std::ptrdiff_t l = 0; l < lanes; ++l) {
            const double raw = row[j + l];
            const double value = raw == raw ? raw : 0.0;
            row[j + l] = value;
            missing[l] += raw == raw ? 0.0 : 1.0;
            positive[l] += value > 0.0 ? value : 0.0;
            negative[l] += value < 0.0 ? value : 0.0;
            const double magnitude = std::fabs(value);
            largest[l] = magnitude > largest[l] ? magnitude : largest[l];
        }
    for (; j < cols; ++j) {
        const std::ptrdiff_t l = j % lanes;
        if (row[j] != row[j]) {
            row[j] = 0.0;
            missing[l] += 1.0;
        }
        (row[j] > 0.0 ? positive : negative)[l] += row[j];
        largest[l] = std::max(largest[l], std::fabs(row[j]));
    }
    RowSummary summary;
    double up = 0.0, down = 0.0, nans = 0.0;
    for (std::ptrdiff_t l = 0; l < lanes; ++l) {
        up += positive[l];
        down += negative[l];
        nans += missing[l];
        summary.largest = std::max(summary.largest, largest[l]);
    }
    flux.positive += up;
    flux.negative += down;
    summary.nan_pixels = static_cast<std::size_t>(nans);
    return summary;
}

} // namespace solartrack
