#include "neutral_line.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace solartrack {
namespace {

constexpr double pi = 3.14159265358979323846;

// Orientations that a step to a neighbouring pixel can have.
enum Orientation : std::uint8_t { falling, level, rising, resting, backward, none };
constexpr double angles[] = {-pi / 4, 0.0, pi / 4, pi / 2, 3 * pi / 2};
constexpr int kinds = 5;

// [dr + 1][dc + 1]
constexpr Orientation neighbour[3][3] = {
    {rising, level, falling}, {backward, resting, resting}, {falling, level, rising}};

struct Square {
    double of[kinds + 1][kinds]; // the last row stays 0: before the first step
};
constexpr Square squared_differences() {
    Square square{};
    for (int a = 0; a < kinds; ++a)
        for (int b = 0; b < kinds; ++b)
            square.of[a][b] = (angles[a] - angles[b]) * (angles[a] - angles[b]);
    return square;
}
constexpr Square difference2 = squared_differences();

// How often each orientation occurs. All but the step that leads from the end
// of an open contour back to its start are between neighbours.
struct Curvature {
    std::size_t count[kinds] = {};
    std::vector<double> &jumps;
};

double square(double x) {
    return x * x;
}

// Walks one contour: its angles go into `curvature`; returns the bending energy.
double follow(const Contours &contours, std::int32_t first, Curvature &curvature) {
    const Contours::Node *start = &contours.node(first), *here = start;
    double total = 0.0;
    std::size_t points = 1;
    Orientation opening = none, current = none;
    while (here->next >= 0) {
        const Contours::Node *next = &contours.node(here->next);
        const Orientation step = neighbour[next->row - here->row + 1][next->col - here->col + 1];
        ++curvature.count[step];
        total += difference2.of[current][step];
        opening = points == 1 ? step : opening;
        current = step;
        here = next;
        ++points;
    }
    const std::int32_t dr = start->row - here->row, dc = start->col - here->col;
    double closing;
    if (std::abs(dr) <= 1 && std::abs(dc) <= 1) {
        const Orientation step = neighbour[dr + 1][dc + 1];
        ++curvature.count[step];
        closing = angles[step];
    } else {
        closing = dr != 0 ? std::atan(static_cast<double>(dc) / dr) : dc < 0 ? 3 * pi / 2 : pi / 2;
        curvature.jumps.push_back(closing);
    }
    total += square(angles[current] - closing) + square(closing - angles[opening]);
    return total / static_cast<double>(points);
}

// mean, population std, median, min, max of counted values.
void five_numbers(const Curvature &curvature, double out[5]) {
    std::vector<std::pair<double, std::size_t>> values;
    for (int k = 0; k < kinds; ++k)
        if (curvature.count[k] > 0)
            values.emplace_back(angles[k], curvature.count[k]);
    for (double jump : curvature.jumps)
        values.emplace_back(jump, 1);
    std::sort(values.begin(), values.end());
    std::size_t n = 0;
    double sum = 0.0, spread = 0.0;
    for (const auto &[value, count] : values) {
        sum += value * static_cast<double>(count);
        n += count;
    }
    const double mean = sum / static_cast<double>(n);
    for (const auto &[value, count] : values)
        spread += square(value - mean) * static_cast<double>(count);
    const auto ranked = [&values](std::size_t rank) {
        for (const auto &[value, count] : values) {
            if (rank < count)
                return value;
            rank -= count;
        }
        return values.back().first;
    };
    out[0] = mean;
    out[1] = std::sqrt(spread / static_cast<double>(n));
    out[2] = 0.5 * (ranked((n - 1) / 2) + ranked(n / 2));
    out[3] = values.front().first;
    out[4] = values.back().first;
}

void five_numbers(std::vector<double> &values, double out[5]) {
    const std::size_t n = values.size();
    double sum = 0.0, spread = 0.0;
    for (double value : values)
        sum += value;
    const double mean = sum / static_cast<double>(n);
    for (double value : values)
        spread += square(value - mean);
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(n / 2);
    std::nth_element(values.begin(), middle, values.end());
    out[0] = mean;
    out[1] = std::sqrt(spread / static_cast<double>(n));
    out[2] = n % 2 != 0 ? *middle : 0.5 * (*std::max_element(values.begin(), middle) + *middle);
    out[3] = *std::min_element(values.begin(), values.end());
    out[4] = *std::max_element(values.begin(), values.end());
}

// 8-connected groups of strong pixels; each is marked when first met.
std::size_t count_fragments(std::ptrdiff_t rows, std::ptrdiff_t cols, NeutralLineScratch &scratch) {
    constexpr std::uint8_t unvisited = 2;
    std::vector<std::uint8_t> &mask = scratch.mask;
    std::size_t fragments = 0;
    for (std::size_t seed : scratch.pixels) {
        if (mask[seed] != unvisited)
            continue;
        ++fragments;
        mask[seed] = on_strong_line;
        scratch.stack.assign(1, seed);
        while (!scratch.stack.empty()) {
            const auto at = static_cast<std::ptrdiff_t>(scratch.stack.back());
            scratch.stack.pop_back();
            const std::ptrdiff_t r = at / cols, c = at % cols;
            for (std::ptrdiff_t i = std::max<std::ptrdiff_t>(r - 1, 0); i <= std::min(r + 1, rows - 1); ++i)
                for (std::ptrdiff_t j = std::max<std::ptrdiff_t>(c - 1, 0); j <= std::min(c + 1, cols - 1);
                     ++j) {
                    const auto k = static_cast<std::size_t>(i * cols + j);
                    if (mask[k] == unvisited) {
                        mask[k] = on_strong_line;
                        scratch.stack.push_back(k);
                    }
                }
        }
    }
    return fragments;
}

} // namespace

std::size_t NeutralLineScratch::bytes() const {
    return mask.capacity() + (pixels.capacity() + stack.capacity()) * sizeof(std::size_t) +
           (energies.capacity() + jumps.capacity()) * sizeof(double);
}

void neutral_line_features(const Contours &contours, const GradientMap &gradient, NeutralLineScratch &scratch,
                           double out[13], bool &everywhere_strong) {
    const std::ptrdiff_t rows = gradient.rows, cols = gradient.cols;
    const auto n = static_cast<std::size_t>(rows * cols);
    scratch.mask.assign(n, 0);
    scratch.pixels.clear();
    scratch.energies.clear();
    scratch.jumps.clear();
    everywhere_strong = false;
    std::fill_n(out, 13, 0.0);

    // The line's pixels in the order of the rows, not along the contours: memory is read from front to back.
    scratch.pixels.resize(contours.points() + 1);
    std::size_t *pixels = scratch.pixels.data(), count = 0;
    std::uint8_t *mask = scratch.mask.data();
    for (const Contours::Node &node : contours.nodes()) {
        const auto at = static_cast<std::size_t>(node.row * cols + node.col);
        pixels[count] = at; // stays only if it is new; a branch would be guesswork
        count += mask[at] == 0;
        mask[at] = on_line;
    }
    scratch.pixels.resize(count);
    Curvature curvature{{}, scratch.jumps};
    contours.each(
        [&](std::int32_t first) { scratch.energies.push_back(follow(contours, first, curvature)); });
    if (scratch.energies.empty())
        return;

    const auto exact = [&](std::size_t at) {
        const auto k = static_cast<std::ptrdiff_t>(at);
        return gradient.at(k / cols, k % cols);
    };
    GradientKey highest = 0;
    for (std::size_t at : scratch.pixels)
        highest = std::max(highest, gradient.keys[at]);
    double strongest = 0.0;
    for (std::size_t at : scratch.pixels)
        if (gradient.keys[at] == highest)
            strongest = std::max(strongest, exact(at));
    const double threshold = 0.2 * strongest;
    if (threshold > 0.0) {
        const GradientKey open = gradient_key(threshold); // only here the key does not decide
        std::size_t strong = 0;
        for (std::size_t at : scratch.pixels)
            if (gradient.keys[at] > open || (gradient.keys[at] == open && exact(at) >= threshold)) {
                scratch.mask[at] = 2;
                ++strong;
            }
        out[0] = static_cast<double>(strong);
        out[1] = static_cast<double>(count_fragments(rows, cols, scratch));
    } else { // every product of magnitude and mask, also off the line, is >= 0
        everywhere_strong = true;
        out[0] = static_cast<double>(n);
        out[1] = 1.0;
    }
    out[2] = static_cast<double>(scratch.pixels.size());
    five_numbers(curvature, out + 3);
    five_numbers(scratch.energies, out + 8);
}

} // namespace solartrack
