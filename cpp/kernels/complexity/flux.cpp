#include "flux.hpp"
#include "compiler.hpp"
#include "strips.hpp"

namespace solartrack {

SOLARTRACK_CLONES double add_flux(const double *row, std::ptrdiff_t cols, Flux &flux) {
    Strip<32> positive = all<32>(0.0), negative = all<32>(0.0), high = all<32>(0.0);
    each_strip<32>(cols, [&](std::ptrdiff_t first, std::ptrdiff_t count) SOLARTRACK_INLINE_LAMBDA {
        for (std::ptrdiff_t l = 0; l < count; ++l) {
            const double value = row[first + l], magnitude = std::fabs(value);
            positive[l] += value > 0.0 ? value : 0.0;
            negative[l] += value < 0.0 ? value : 0.0;
            high[l] = magnitude > high[l] ? magnitude : high[l];
        }
    });
    flux.positive += sum(positive);
    flux.negative += sum(negative);
    return largest(high);
}

} // namespace solartrack
