#include "gradient.hpp"
#include "dispatch.hpp"
#include "lanes.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace solartrack {
namespace {

constexpr std::size_t block = 4096; // partial sums per block keep the rounding of long sums down

struct Powers {
    double second = 0.0, third = 0.0, fourth = 0.0;
};

SOLARTRACK_CLONES Powers central_powers(const double *values, std::ptrdiff_t n, double mean) {
    Lanes second{}, third{}, fourth{};
    std::ptrdiff_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        Lanes d;
        load(d, values + i);
        d -= mean;
        const Lanes d2 = d * d;
        second += d2;
        third += d2 * d;
        fourth += d2 * d2;
    }
    Powers total{sum(second), sum(third), sum(fourth)};
    for (; i < n; ++i) {
        const double d = values[i] - mean, d2 = d * d;
        total.second += d2;
        total.third += d2 * d;
        total.fourth += d2 * d2;
    }
    return total;
}

// A range that should hold the middle of the values, from a sample of them.
// Its ends are counted apart from what lies between, because a value that many
// pixels share tends to be an end.
struct Bracket {
    double low, high;
    std::size_t below = 0, up_to_low = 0, up_to_high = 0; // values < low, <= low, <= high
    std::size_t kept = 0;                                 // values between
};

// Counts, and appends the values between to `kept`. Few are: whole groups are
// passed over, and within a group there is no branch, since nothing could
// predict it.
SOLARTRACK_CLONES void keep_between(const double *values, std::ptrdiff_t n, Bracket &bracket, double *kept) {
    const double low = bracket.low, high = bracket.high;
    const Lanes zero{}, one = zero + 1.0;
    double *end = kept + bracket.kept;
    const auto keep = [&end, low, high](double value) {
        *end = value;
        end += static_cast<int>(value > low) & static_cast<int>(value < high);
    };
    // Counts as doubles: comparisons that select are what compilers turn into vectors.
    Lanes below{}, up_to_low{}, up_to_high{};
    std::ptrdiff_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        Lanes v;
        load(v, values + i);
        below += v < low ? one : zero;
        const Lanes under = v <= low ? one : zero, outside = v >= high ? one : under;
        up_to_low += under;
        up_to_high += v <= high ? one : zero;
        if (sum(outside) < lanes)
            for (int l = 0; l < lanes; ++l)
                keep(values[i + l]);
    }
    bracket.below += static_cast<std::size_t>(sum(below));
    bracket.up_to_low += static_cast<std::size_t>(sum(up_to_low));
    bracket.up_to_high += static_cast<std::size_t>(sum(up_to_high));
    for (; i < n; ++i) {
        bracket.below += values[i] < low;
        bracket.up_to_low += values[i] <= low;
        bracket.up_to_high += values[i] <= high;
        keep(values[i]);
    }
    bracket.kept = static_cast<std::size_t>(end - kept);
}

// Mean of the values of rank `lower` and `upper`, which are the same or
// neighbours. Reorders the values.
double middle_of(double *values, std::size_t n, std::size_t lower, std::size_t upper) {
    std::nth_element(values, values + lower, values + n);
    const double first = values[lower];
    return upper == lower ? first : 0.5 * (first + *std::min_element(values + upper, values + n));
}

// One in 64, at multiples of the golden ratio within its stretch, so that it does
// not fall on the same columns in every row whatever the width. The bracket is
// three standard deviations of the rank of a sample's middle on either side.
Bracket bracket_middle(const double *values, std::size_t n, double *sample) {
    constexpr std::size_t step = 64;
    const std::size_t sampled = n / step;
    for (std::size_t s = 0; s < sampled; ++s)
        sample[s] = values[s * step + (static_cast<std::uint32_t>(s) * 2654435769u >> 26)];
    const auto reach = static_cast<std::size_t>(1.5 * std::sqrt(static_cast<double>(sampled)));
    double *end = sample + sampled, *first = sample + sampled / 2 - reach,
           *last = sample + sampled / 2 + reach;
    std::nth_element(sample, first, end);
    std::nth_element(first + 1, last, end);
    return {*first, *last};
}

} // namespace

SOLARTRACK_CLONES void sobel_row(const double *up, const double *here, const double *down,
                                 std::ptrdiff_t cols, double *__restrict out, GradientSums &sums) {
    for (std::ptrdiff_t j = 0; j < cols; ++j) {
        const double gx =
            ((((-down[j + 1] + down[j - 1]) - 2.0 * here[j + 1]) + 2.0 * here[j - 1]) - up[j + 1]) +
            up[j - 1];
        const double gy =
            ((((down[j + 1] + 2.0 * down[j]) + down[j - 1]) - up[j + 1]) - 2.0 * up[j]) - up[j - 1];
        out[j] = std::sqrt(gx * gx + gy * gy);
    }
    Lanes total{};
    Lanes low = total + out[0], high = low;
    std::ptrdiff_t j = 0;
    for (; j + lanes <= cols; j += lanes) {
        Lanes m;
        load(m, out + j);
        total += m;
        low = m < low ? m : low;
        high = m > high ? m : high;
    }
    double row_sum = sum(total), row_low = smallest(low), row_high = largest(high);
    for (; j < cols; ++j) {
        row_sum += out[j];
        row_low = std::min(row_low, out[j]);
        row_high = std::max(row_high, out[j]);
    }
    sums.sum += row_sum;
    sums.smallest = sums.any ? std::min(sums.smallest, row_low) : row_low;
    sums.largest = sums.any ? std::max(sums.largest, row_high) : row_high;
    sums.any = true;
}

void gradient_statistics(const double *magnitude, std::size_t n, const GradientSums &sums,
                         std::vector<double> &scratch, double out[7]) {
    const double count = static_cast<double>(n);
    const bool constant = sums.smallest == sums.largest;
    const double mean = constant ? sums.smallest : sums.sum / count;

    // Median after Floyd and Rivest: only what lies in the bracket is put in
    // order. The bracket may miss the middle, once in some hundred patches.
    bool sampled = n >= 16384;
    const std::size_t room = sampled ? n / 8 + block : n;
    if (scratch.size() < room)
        scratch.resize(room);
    Bracket bracket = sampled ? bracket_middle(magnitude, n, scratch.data()) : Bracket{};
    Powers total;
    for (std::size_t i = 0; i < n; i += block) {
        const auto size = static_cast<std::ptrdiff_t>(std::min(block, n - i));
        const Powers part = central_powers(magnitude + i, size, mean);
        total.second += part.second;
        total.third += part.third;
        total.fourth += part.fourth;
        sampled = sampled && bracket.kept + block <= room;
        if (sampled)
            keep_between(magnitude + i, size, bracket, scratch.data());
    }
    const std::size_t lower = (n - 1) / 2, upper = n / 2;
    const std::size_t up_to_kept = bracket.up_to_low + bracket.kept;
    double median;
    if (sampled && lower >= bracket.up_to_low && upper < up_to_kept) {
        median =
            middle_of(scratch.data(), bracket.kept, lower - bracket.up_to_low, upper - bracket.up_to_low);
    } else if (sampled && lower >= bracket.below && upper < bracket.up_to_low) {
        median = bracket.low;
    } else if (sampled && lower >= up_to_kept && upper < bracket.up_to_high) {
        median = bracket.high;
    } else {
        scratch.assign(magnitude, magnitude + n);
        median = middle_of(scratch.data(), n, lower, upper);
    }

    const double m2 = total.second / count;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    out[0] = mean;
    out[1] = std::sqrt(m2);
    out[2] = median;
    out[3] = sums.smallest;
    out[4] = sums.largest;
    out[5] = constant ? nan : (total.third / count) / (m2 * std::sqrt(m2));
    out[6] = constant ? nan : (total.fourth / count) / (m2 * m2) - 3.0;
}

} // namespace solartrack
