#include "gradient.hpp"
#include "compiler.hpp"
#include "strips.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace solartrack {
namespace {

constexpr std::size_t block = 8192; // keys that are counted in 16 bits

// Moments of one row, added to those of the rows before: Pebay 2008, Sandia report SAND2008-6212.
void merge(GradientSums &sums, double count, double mean, double second, double third, double fourth) {
    const double n = sums.count + count, d = mean - sums.mean, step = d / n;
    const double a = sums.count, b = count;
    sums.fourth += fourth + step * step * step * d * a * b * (a * a - a * b + b * b) +
                   6.0 * step * step * (a * a * second + b * b * sums.second) +
                   4.0 * step * (a * third - b * sums.third);
    sums.third += third + step * step * d * a * b * (a - b) + 3.0 * step * (a * second - b * sums.second);
    sums.second += second + step * d * a * b;
    sums.mean += step * b;
    sums.count = n;
}

SOLARTRACK_INLINE double magnitude(const double *up, const double *here, const double *down) {
    const double gx = ((((-down[1] + down[-1]) - 2.0 * here[1]) + 2.0 * here[-1]) - up[1]) + up[-1];
    const double gy = ((((down[1] + 2.0 * down[0]) + down[-1]) - up[1]) - 2.0 * up[0]) - up[-1];
    return std::sqrt(gx * gx + gy * gy);
}

// How many keys are at most `key`.
SOLARTRACK_CLONES std::size_t count_up_to(const GradientKey *keys, std::size_t n, GradientKey key) {
    std::size_t total = 0;
    for (std::size_t i = 0; i < n; i += block) {
        std::uint16_t count = 0;
        const std::size_t end = std::min(n, i + block);
        for (std::size_t k = i; k < end; ++k)
            count = static_cast<std::uint16_t>(count + (keys[k] <= key));
        total += count;
    }
    return total;
}

// The smallest key above `key`, of which there is one.
SOLARTRACK_CLONES GradientKey next_key(const GradientKey *keys, std::size_t n, GradientKey key) {
    GradientKey next = std::numeric_limits<GradientKey>::max();
    for (std::size_t k = 0; k < n; ++k) {
        const GradientKey above = keys[k] > key ? keys[k] : std::numeric_limits<GradientKey>::max();
        next = above < next ? above : next;
    }
    return next;
}

SOLARTRACK_CLONES bool any_between(const GradientKey *keys, std::size_t n, GradientKey low,
                                   GradientKey high) {
    std::uint16_t found = 0;
    for (std::size_t k = 0; k < n; ++k)
        found |= static_cast<std::uint16_t>((keys[k] >= low) & (keys[k] <= high));
    return found != 0;
}

// The key of a rank, and how many keys are below it.
struct Ranked {
    GradientKey key;
    std::size_t below;
};

// From the middle of a sample on, in steps that double, then by halves. The sample is one in 64, at multiples
// of the golden ratio within its stretch, so that it does not fall on the same columns in every row whatever
// the width.
Ranked key_of_rank(const GradientKey *keys, std::size_t n, std::size_t rank, std::vector<double> &sample) {
    constexpr std::size_t stretch = 64;
    sample.clear();
    for (std::size_t s = 0; s < n / stretch; ++s)
        sample.push_back(keys[s * stretch + (static_cast<std::uint32_t>(s) * 2654435769u >> 26)]);
    if (sample.empty())
        sample.push_back(keys[0]);
    const auto middle = sample.begin() + static_cast<std::ptrdiff_t>(sample.size() / 2);
    std::nth_element(sample.begin(), middle, sample.end());

    constexpr int none = -1, most = std::numeric_limits<GradientKey>::max();
    int low = none, high = most; // the key lies above `low` and is at most `high`
    std::size_t up_to_low = 0;
    const auto look = [&](int key) {
        const std::size_t count = count_up_to(keys, n, static_cast<GradientKey>(key));
        if (count > rank) {
            high = key;
        } else {
            low = key;
            up_to_low = count;
        }
    };
    const int guess = static_cast<int>(*middle);
    look(guess);
    int step = 1;
    while (low == none && high > 0) {
        look(std::max(0, guess - step));
        step *= 2;
    }
    step = 1;
    while (high == most && low < most - 1) {
        look(std::min(most - 1, guess + step));
        step *= 2;
    }
    while (high - low > 1)
        look(low + (high - low) / 2);
    return {static_cast<GradientKey>(high), up_to_low};
}

// The magnitudes whose keys lie between two.
void magnitudes_between(const GradientMap &map, GradientKey low, GradientKey high, std::size_t count,
                        std::vector<double> &values) {
    constexpr std::ptrdiff_t few = 64;
    values.clear();
    const auto in_row = [&](std::ptrdiff_t row, auto value) {
        const GradientKey *keys = map.keys + row * map.cols;
        for (std::ptrdiff_t first = 0; first < map.cols; first += few) {
            const std::ptrdiff_t end = std::min(first + few, map.cols);
            if (!any_between(keys + first, static_cast<std::size_t>(end - first), low, high))
                continue;
            for (std::ptrdiff_t col = first; col < end; ++col)
                if (keys[col] >= low && keys[col] <= high)
                    values.push_back(value(col));
        }
    };
    if (count > static_cast<std::size_t>(map.rows * map.cols) / 32) {
        map.each_row([&](std::ptrdiff_t row, const double *magnitude) {
            in_row(row, [&](std::ptrdiff_t col) { return magnitude[col]; });
        });
    } else {
        for (std::ptrdiff_t row = 0; row < map.rows; ++row)
            in_row(row, [&](std::ptrdiff_t col) { return map.at(row, col); });
    }
}

double median_of(const GradientMap &map, std::vector<double> &scratch) {
    const auto n = static_cast<std::size_t>(map.rows * map.cols);
    const std::size_t lower = (n - 1) / 2, upper = n / 2;
    const Ranked low = key_of_rank(map.keys, n, lower, scratch);
    const std::size_t up_to_low = count_up_to(map.keys, n, low.key);
    const GradientKey high = upper < up_to_low ? low.key : next_key(map.keys, n, low.key);
    magnitudes_between(map, low.key, high, up_to_low - low.below, scratch);
    const auto first = scratch.begin() + static_cast<std::ptrdiff_t>(lower - low.below);
    std::nth_element(scratch.begin(), first, scratch.end());
    return upper == lower ? *first : 0.5 * (*first + *std::min_element(first + 1, scratch.end()));
}

} // namespace

double sobel_at(const double *up, const double *here, const double *down) {
    return magnitude(up, here, down);
}

GradientKey gradient_key(double magnitude) {
    const auto single = static_cast<float>(magnitude);
    std::uint32_t bits;
    std::memcpy(&bits, &single, sizeof bits);
    return static_cast<GradientKey>(bits >> 15); // the sign, always 0, goes out at the top
}

SOLARTRACK_CLONES void gradient_keys(const double *magnitude, std::ptrdiff_t cols,
                                     GradientKey *__restrict keys) {
    for (std::ptrdiff_t j = 0; j < cols; ++j) {
        const auto single = static_cast<float>(magnitude[j]);
        std::uint32_t bits;
        std::memcpy(&bits, &single, sizeof bits);
        keys[j] = static_cast<GradientKey>(bits >> 15);
    }
}

// The moments are taken about the mean of the rows before, so that little cancels, while the processor is
// busy with square roots.
SOLARTRACK_CLONES void sobel_row(const double *up, const double *here, const double *down,
                                 std::ptrdiff_t cols, double *__restrict out, GradientSums &sums) {
    const double about = sums.count > 0.0 ? sums.mean : magnitude(up, here, down);
    // Few places, so that their six values stay in registers.
    Strip<8> first = all<8>(0.0), second = first, third = first, fourth = first;
    Strip<8> low = all<8>(HUGE_VAL), high = all<8>(0.0);
    each_strip<8>(cols, [&](std::ptrdiff_t start, std::ptrdiff_t count) SOLARTRACK_INLINE_LAMBDA {
        for (std::ptrdiff_t l = 0; l < count; ++l) {
            const std::ptrdiff_t j = start + l;
            const double m = magnitude(up + j, here + j, down + j);
            out[j] = m;
            low[l] = m < low[l] ? m : low[l];
            high[l] = m > high[l] ? m : high[l];
            const double d = m - about, d2 = d * d;
            first[l] += d;
            second[l] += d2;
            third[l] += d2 * d;
            fourth[l] += d2 * d2;
        }
    });
    const double s1 = sum(first), s2 = sum(second), s3 = sum(third), s4 = sum(fourth);
    const double row_low = smallest(low), row_high = largest(high);
    sums.smallest = sums.count > 0.0 ? std::min(sums.smallest, row_low) : row_low;
    sums.largest = sums.count > 0.0 ? std::max(sums.largest, row_high) : row_high;
    const double n = static_cast<double>(cols), c = s1 / n;
    merge(sums, n, about + c, s2 - c * s1, s3 - 3.0 * c * s2 + 2.0 * c * c * s1,
          s4 - 4.0 * c * s3 + 6.0 * c * c * s2 - 3.0 * c * c * c * s1);
}

void gradient_statistics(const GradientMap &map, const GradientSums &sums, std::vector<double> &scratch,
                         double out[7]) {
    const double count = static_cast<double>(map.rows * map.cols);
    const bool constant = sums.smallest == sums.largest;
    const double median = constant ? sums.smallest : median_of(map, scratch);
    const double m2 = sums.second / count;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    out[0] = constant ? sums.smallest : sums.mean;
    out[1] = constant ? 0.0 : std::sqrt(m2);
    out[2] = median;
    out[3] = sums.smallest;
    out[4] = sums.largest;
    out[5] = constant ? nan : (sums.third / count) / (m2 * std::sqrt(m2));
    out[6] = constant ? nan : (sums.fourth / count) / (m2 * m2) - 3.0;
}

} // namespace solartrack
