#include "flux.hpp"
#include "dispatch.hpp"
#include "lanes.hpp"

#include <algorithm>
#include <cmath>

namespace solartrack {

SOLARTRACK_CLONES RowSummary add_flux(double *row, std::ptrdiff_t cols, Flux &flux) {
    const Lanes zero{};
    Lanes positive{}, negative{}, high{}, low{};
    LaneInts missing{};
    std::ptrdiff_t j = 0;
    for (; j + lanes <= cols; j += lanes) {
        Lanes raw;
        load(raw, row + j);
        missing -= raw != raw; // true is -1
        const Lanes value = raw == raw ? raw : zero;
        store(row + j, value);
        const Lanes up = value > zero ? value : zero, down = value < zero ? value : zero;
        positive += up;
        negative += down;
        high = up > high ? up : high;
        low = down < low ? down : low;
    }
    RowSummary summary;
    Flux rest;
    summary.largest = std::max(largest(high), -smallest(low));
    for (int l = 0; l < lanes; ++l)
        summary.nan_pixels += static_cast<std::size_t>(missing[l]);
    for (; j < cols; ++j) {
        if (row[j] != row[j]) {
            row[j] = 0.0;
            ++summary.nan_pixels;
        }
        (row[j] > 0.0 ? rest.positive : rest.negative) += row[j];
        summary.largest = std::max(summary.largest, std::fabs(row[j]));
    }
    flux.positive += sum(positive) + rest.positive;
    flux.negative += sum(negative) + rest.negative;
    return summary;
}

} // namespace solartrack
