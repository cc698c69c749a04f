#include "gradient.hpp"
#include "dispatch.hpp"
#include "lanes.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace solartrack {
namespace {

constexpr std::size_t block = 4096; // values, in the search for the median

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

// A range that should hold the middle of the values, from a sample of them.
struct Bracket {
    double low, high;
    std::size_t up_to_low = 0; // values <= low
    std::size_t kept = 0;      // values between
};

// Counts, and appends the values between to `kept`. Few are: eight at a time are passed over.
SOLARTRACK_CLONES void keep_between(const double *values, std::ptrdiff_t n, Bracket &bracket, double *kept) {
    const double low = bracket.low, high = bracket.high;
    double *end = kept + bracket.kept;
    Lanes up_to_low{};
    const Lanes zero{}, one = zero + 1.0;
    std::ptrdiff_t i = 0;
    for (; i + 8 * lanes <= n; i += 8 * lanes) {
        std::uint8_t between[8 * lanes];
        for (std::ptrdiff_t j = 0; j < 8 * lanes; ++j)
            between[j] = (values[i + j] > low) & (values[i + j] < high);
        for (std::ptrdiff_t j = 0; j < 8 * lanes; j += lanes) {
            Lanes v;
            load(v, values + i + j);
            // As doubles: comparisons that select are what compilers turn into vectors.
            up_to_low += v <= low ? one : zero;
            std::uint64_t word;
            std::memcpy(&word, between + j, sizeof word);
            for (; word != 0; word &= word - 1)
                *end++ = values[i + j + lowest_bit(word) / 8];
        }
    }
    bracket.up_to_low += static_cast<std::size_t>(sum(up_to_low));
    for (; i < n; ++i) {
        bracket.up_to_low += values[i] <= low;
        if (values[i] > low && values[i] < high)
            *end++ = values[i];
    }
    bracket.kept = static_cast<std::size_t>(end - kept);
}

// One in 64, at multiples of the golden ratio within its stretch, so that it does
// not fall on the same columns in every row whatever the width. The bracket is
// three standard deviations of the rank in a sample on either side.
Bracket bracket_rank(const double *values, std::size_t n, std::size_t rank, double *sample) {
    constexpr std::size_t step = 64;
    const std::size_t sampled = n / step, middle = rank / step;
    for (std::size_t s = 0; s < sampled; ++s)
        sample[s] = values[s * step + (static_cast<std::uint32_t>(s) * 2654435769u >> 26)];
    const auto reach = static_cast<std::size_t>(1.5 * std::sqrt(static_cast<double>(sampled)));
    double *end = sample + sampled, *first = sample + middle - std::min(middle, reach),
           *last = sample + std::min(middle + reach, sampled - 1);
    std::nth_element(sample, first, end);
    if (last != first)
        std::nth_element(first + 1, last, end);
    return {*first, *last};
}

// Mean of the values of rank `lower` and `upper`, which are the same or
// neighbours. Reorders the values, or n others in `room` where that is given.
double middle_of(double *values, std::size_t n, std::size_t lower, std::size_t upper,
                 double *room = nullptr) {
    if (room != nullptr && n >= block) {
        Bracket bracket = bracket_rank(values, n, lower, room);
        keep_between(values, static_cast<std::ptrdiff_t>(n), bracket, room);
        if (lower >= bracket.up_to_low && upper < bracket.up_to_low + bracket.kept) {
            values = room;
            n = bracket.kept;
            lower -= bracket.up_to_low;
            upper -= bracket.up_to_low;
        }
    }
    std::nth_element(values, values + lower, values + n);
    const double first = values[lower];
    return upper == lower ? first : 0.5 * (first + *std::min_element(values + upper, values + n));
}

} // namespace

// The moments are taken about the mean of the rows before, so that little cancels, while the processor is
// busy with square roots.
SOLARTRACK_CLONES void sobel_row(const double *up, const double *here, const double *down,
                                 std::ptrdiff_t cols, double *__restrict out, GradientSums &sums) {
    const auto magnitude = [=](std::ptrdiff_t j) {
        const double gx =
            ((((-down[j + 1] + down[j - 1]) - 2.0 * here[j + 1]) + 2.0 * here[j - 1]) - up[j + 1]) +
            up[j - 1];
        const double gy =
            ((((down[j + 1] + 2.0 * down[j]) + down[j - 1]) - up[j + 1]) - 2.0 * up[j]) - up[j - 1];
        return std::sqrt(gx * gx + gy * gy);
    };
    const double about = sums.count > 0.0 ? sums.mean : magnitude(0);
    Lanes first{}, second{}, third{}, fourth{};
    Lanes low = first + HUGE_VAL, high = -low;
    std::ptrdiff_t j = 0;
    for (; j + lanes <= cols; j += lanes) {
        for (std::ptrdiff_t l = 0; l < lanes; ++l)
            out[j + l] = magnitude(j + l);
        Lanes m;
        load(m, out + j);
        low = m < low ? m : low;
        high = m > high ? m : high;
        const Lanes d = m - about, d2 = d * d;
        first += d;
        second += d2;
        third += d2 * d;
        fourth += d2 * d2;
    }
    double s1 = sum(first), s2 = sum(second), s3 = sum(third), s4 = sum(fourth);
    double row_low = smallest(low), row_high = largest(high);
    for (; j < cols; ++j) {
        out[j] = magnitude(j);
        row_low = std::min(row_low, out[j]);
        row_high = std::max(row_high, out[j]);
        const double d = out[j] - about, d2 = d * d;
        s1 += d;
        s2 += d2;
        s3 += d2 * d;
        s4 += d2 * d2;
    }
    sums.smallest = sums.count > 0.0 ? std::min(sums.smallest, row_low) : row_low;
    sums.largest = sums.count > 0.0 ? std::max(sums.largest, row_high) : row_high;
    const double n = static_cast<double>(cols), c = s1 / n;
    merge(sums, n, about + c, s2 - c * s1, s3 - 3.0 * c * s2 + 2.0 * c * c * s1,
          s4 - 4.0 * c * s3 + 6.0 * c * c * s2 - 3.0 * c * c * c * s1);
}

void gradient_statistics(const double *magnitude, std::size_t n, const GradientSums &sums,
                         std::vector<double> &scratch, double out[7]) {
    const double count = static_cast<double>(n);
    const bool constant = sums.smallest == sums.largest;

    // Median after Floyd and Rivest: only what lies in the bracket is put in
    // order. The bracket may miss the middle, once in some hundred patches.
    bool sampled = n >= 16384;
    const std::size_t room = sampled ? n / 8 + block : n;
    if (scratch.size() < 2 * room)
        scratch.resize(2 * room);
    Bracket bracket = sampled ? bracket_rank(magnitude, n, n / 2, scratch.data()) : Bracket{};
    for (std::size_t i = 0; sampled && i < n; i += block) {
        keep_between(magnitude + i, static_cast<std::ptrdiff_t>(std::min(block, n - i)), bracket,
                     scratch.data());
        sampled = bracket.kept + block <= room;
    }
    const std::size_t lower = (n - 1) / 2, upper = n / 2;
    // A value that many pixels share tends to be an end of the bracket.
    const auto shared_by = [&](double value) {
        return static_cast<std::size_t>(std::count(magnitude, magnitude + n, value));
    };
    const std::size_t up_to_kept = bracket.up_to_low + bracket.kept;
    double median;
    if (sampled && lower >= bracket.up_to_low && upper < up_to_kept) {
        median = middle_of(scratch.data(), bracket.kept, lower - bracket.up_to_low, upper - bracket.up_to_low,
                           scratch.data() + room);
    } else if (sampled && upper < bracket.up_to_low && lower + shared_by(bracket.low) >= bracket.up_to_low) {
        median = bracket.low;
    } else if (sampled && lower >= up_to_kept && upper < up_to_kept + shared_by(bracket.high)) {
        median = bracket.high;
    } else {
        scratch.assign(magnitude, magnitude + n);
        median = middle_of(scratch.data(), n, lower, upper);
    }

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
