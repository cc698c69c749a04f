#include "gradient.hpp"
#include "dispatch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace solartrack {
namespace {

constexpr std::size_t lanes = 16;
constexpr std::size_t block = 4096; // partial sums per block keep the rounding of long sums down

struct Powers {
    double second = 0.0, third = 0.0, fourth = 0.0;
};

SOLARTRACK_CLONES Powers central_powers(const double *values, std::size_t n, double mean) {
    double second[lanes] = {}, third[lanes] = {}, fourth[lanes] = {};
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (std::size_t l = 0; l < lanes; ++l) {
            const double d = values[i + l] - mean, d2 = d * d;
            second[l] += d2;
            third[l] += d2 * d;
            fourth[l] += d2 * d2;
        }
    for (; i < n; ++i) {
        const double d = values[i] - mean, d2 = d * d;
        second[0] += d2;
        third[0] += d2 * d;
        fourth[0] += d2 * d2;
    }
    Powers total;
    for (std::size_t l = 0; l < lanes; ++l) {
        total.second += second[l];
        total.third += third[l];
        total.fourth += fourth[l];
    }
    return total;
}

// Values in [low, high], in order, to `out`; returns how many. No branch: the
// values come in no order that a predictor could learn.
std::size_t gather_between(const double *values, std::size_t n, double low, double high, double *out) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < n; ++i) {
        out[kept] = values[i];
        kept += static_cast<std::size_t>(values[i] >= low) & static_cast<std::size_t>(values[i] <= high);
    }
    return kept;
}

SOLARTRACK_CLONES std::size_t count_below(const double *values, std::size_t n, double limit) {
    std::size_t below = 0;
    for (std::size_t i = 0; i < n; ++i)
        below += values[i] < limit;
    return below;
}

double middle_of(double *values, std::size_t n, std::size_t lower, bool even) {
    (void)n;
    std::nth_element(values, values + lower, values + n);
    if (!even)
        return values[lower];
    return 0.5 * (values[lower] + *std::min_element(values + lower + 1, values + n));
}

// Median after Floyd and Rivest: a sample brackets the middle, one pass keeps
// what lies in the bracket, and only that is partitioned.
double median(const double *values, std::size_t n, std::vector<double> &scratch) {
    const std::size_t lower = (n - 1) / 2;
    const bool even = n % 2 == 0;
    if (scratch.size() < n + 1)
        scratch.resize(n + 1);
    if (n >= 16384) {
        const std::size_t sampled = n / 64, step = n / sampled;
        // Spread inside each step, so that no period of the image matters.
        for (std::size_t s = 0; s < sampled; ++s)
            scratch[s] = values[s * step + (s * 40503u) % step];
        const auto reach = static_cast<std::size_t>(2.0 * std::sqrt(static_cast<double>(sampled)));
        const auto begin = scratch.begin(), end = begin + static_cast<std::ptrdiff_t>(sampled);
        const auto first = begin + static_cast<std::ptrdiff_t>(sampled / 2 - reach);
        const auto last = begin + static_cast<std::ptrdiff_t>(sampled / 2 + reach);
        std::nth_element(begin, first, end);
        std::nth_element(first, last, end);
        const double low = *first, high = *last;
        const std::size_t below = count_below(values, n, low);
        const std::size_t kept = gather_between(values, n, low, high, scratch.data());
        if (below <= lower && lower + 1 < below + kept)
            return middle_of(scratch.data(), kept, lower - below, even);
    }
    std::copy(values, values + n, scratch.begin());
    return middle_of(scratch.data(), n, lower, even);
}

} // namespace

SOLARTRACK_CLONES void sobel_row(const double *up, const double *here, const double *down,
                                 std::ptrdiff_t cols, double *out, GradientSums &sums) {
    for (std::ptrdiff_t j = 0; j < cols; ++j) {
        const double gx = ((((-down[j + 1] + down[j - 1]) - 2.0 * here[j + 1]) + 2.0 * here[j - 1]) -
                           up[j + 1]) +
                          up[j - 1];
        const double gy = ((((down[j + 1] + 2.0 * down[j]) + down[j - 1]) - up[j + 1]) - 2.0 * up[j]) -
                          up[j - 1];
        out[j] = std::sqrt(gx * gx + gy * gy);
    }
    constexpr std::ptrdiff_t width = lanes;
    double sum[lanes] = {}, smallest[lanes], largest[lanes];
    std::fill_n(smallest, lanes, out[0]);
    std::fill_n(largest, lanes, out[0]);
    std::ptrdiff_t j = 0;
    for (; j + width <= cols; j += width)
        for (std::ptrdiff_t l = 0; l < width; ++l) {
            const double m = out[j + l];
            sum[l] += m;
            smallest[l] = m < smallest[l] ? m : smallest[l];
            largest[l] = m > largest[l] ? m : largest[l];
        }
    for (; j < cols; ++j) {
        sum[0] += out[j];
        smallest[0] = std::min(smallest[0], out[j]);
        largest[0] = std::max(largest[0], out[j]);
    }
    double total = 0.0;
    for (double s : sum)
        total += s;
    const double low = *std::min_element(smallest, smallest + lanes);
    const double high = *std::max_element(largest, largest + lanes);
    sums.sum += total;
    sums.smallest = sums.any ? std::min(sums.smallest, low) : low;
    sums.largest = sums.any ? std::max(sums.largest, high) : high;
    sums.any = true;
}

void gradient_statistics(const double *magnitude, std::size_t n, const GradientSums &sums,
                         std::vector<double> &scratch, double out[7]) {
    const double count = static_cast<double>(n);
    const double mean = sums.sum / count;
    Powers total;
    for (std::size_t i = 0; i < n; i += block) {
        const Powers part = central_powers(magnitude + i, std::min(block, n - i), mean);
        total.second += part.second;
        total.third += part.third;
        total.fourth += part.fourth;
    }
    const double m2 = total.second / count;
    const bool constant = sums.smallest == sums.largest;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    out[0] = mean;
    out[1] = std::sqrt(m2);
    out[2] = median(magnitude, n, scratch);
    out[3] = sums.smallest;
    out[4] = sums.largest;
    out[5] = constant ? nan : (total.third / count) / (m2 * std::sqrt(m2));
    out[6] = constant ? nan : (total.fourth / count) / (m2 * m2) - 3.0;
}

} // namespace solartrack
