#include "complexity.hpp"
#include "compiler.hpp"
#include "contour.hpp"
#include "flux.hpp"
#include "gradient.hpp"
#include "neutral_line.hpp"
#include "parallel.hpp"
#include "smooth.hpp"
#include "wavelet.hpp"
#include "window.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace solartrack {
namespace {

struct Scratch {
    RowWindow window;
    std::vector<GradientKey> keys;
    std::vector<double> magnitude; // of one row
    std::vector<double> ranked;    // for the median
    std::vector<double> approximation;
    std::vector<double> smoothed[2];
    BoxMean box;
    Contours contours;
    NeutralLineScratch line;

    std::size_t bytes() const {
        std::size_t doubles = 0;
        for (const auto *values : {&magnitude, &ranked, &approximation, &smoothed[0], &smoothed[1]})
            doubles += values->capacity();
        return doubles * sizeof(double) + keys.capacity() * sizeof(GradientKey) + window.bytes() +
               box.bytes() + contours.bytes() + line.bytes();
    }
};

// Scratch stays with its thread, because fresh pages would cost as much as the
// work on them; up to what a patch needs, not a 4096 x 4096 image, since the
// threads of the pool live as long as the process.
constexpr std::size_t scratch_worth_keeping = std::size_t{64} << 20;

struct Trim {
    Scratch &scratch;
    ~Trim() {
        if (scratch.bytes() > scratch_worth_keeping)
            scratch = Scratch{};
    }
};

void grow(std::vector<double> &values, std::ptrdiff_t count) {
    if (values.size() < static_cast<std::size_t>(count))
        values.resize(static_cast<std::size_t>(count));
}

// Pixels less `zero`, and 0 where they are NaN; returns how many are. In wide vectors the processor asks for
// more of the memory ahead; a function for each type, because templates have no clones.
#define SOLARTRACK_PIXELS(T)                                                                                 \
    SOLARTRACK_CLONES std::int64_t pixels(const T *row, std::ptrdiff_t cols, double zero,                    \
                                          double *__restrict out) {                                          \
        std::int64_t missing = 0;                                                                            \
        for (std::ptrdiff_t j = 0; j < cols; ++j) {                                                          \
            const double value = static_cast<double>(row[j]) - zero;                                         \
            missing += value != value;                                                                       \
            out[j] = value != value ? 0.0 : value;                                                           \
        }                                                                                                    \
        return missing;                                                                                      \
    }
SOLARTRACK_PIXELS(std::uint8_t)
SOLARTRACK_PIXELS(std::uint16_t)
SOLARTRACK_PIXELS(std::int16_t)
SOLARTRACK_PIXELS(std::int32_t)
SOLARTRACK_PIXELS(float)
SOLARTRACK_PIXELS(double)
#undef SOLARTRACK_PIXELS

template <class T> std::int64_t load_row(const Field<T> &patch, std::ptrdiff_t i, double zero, double *out) {
    const T *row = patch.row(i);
    if (patch.col_stride == 1)
        return pixels(row, patch.cols, zero, out);
    std::int64_t missing = 0;
    for (std::ptrdiff_t j = 0; j < patch.cols; ++j) {
        const double value = static_cast<double>(row[j * patch.col_stride]) - zero;
        missing += value != value;
        out[j] = value != value ? 0.0 : value;
    }
    return missing;
}

// The gradient of one pixel, beyond the patch all is 0.
template <class T>
double gradient_at(const Field<T> &patch, double zero, std::ptrdiff_t row, std::ptrdiff_t col) {
    double around[3][3];
    for (std::ptrdiff_t r = 0; r < 3; ++r)
        for (std::ptrdiff_t c = 0; c < 3; ++c) {
            const std::ptrdiff_t i = row - 1 + r, j = col - 1 + c;
            const bool inside = i >= 0 && i < patch.rows && j >= 0 && j < patch.cols;
            const double value = inside ? static_cast<double>(patch(i, j)) - zero : 0.0;
            around[r][c] = value == value ? value : 0.0;
        }
    return sobel_at(around[0] + 1, around[1] + 1, around[2] + 1);
}

void export_contours(const Contours &contours, ComplexityProducts &products) {
    products.points.reserve(2 * contours.points());
    products.offsets.push_back(0);
    contours.each([&](std::int32_t first) {
        for (std::int32_t k = first; k >= 0; k = contours.node(k).next) {
            products.points.push_back(contours.position(k).row);
            products.points.push_back(contours.position(k).col);
        }
        products.offsets.push_back(products.points.size() / 2);
    });
}

// One pass over the rows, longer than a screen on purpose: all features read a row while it is in the cache,
// and what they share between rows are the locals of this function.
template <class T>
ComplexityOutcome measure(const Field<T> &patch, double zero, bool nan_as_zero, double *out,
                          ComplexityProducts *products, Scratch &scratch) {
    const std::ptrdiff_t rows = patch.rows, cols = patch.cols;
    ComplexityOutcome outcome;
    if (rows > longest_side || cols > longest_side || rows > most_pixels / cols) {
        outcome.problem = PatchProblem::too_large;
        return outcome;
    }
    const bool exact = products != nullptr;
    RowWindow &window = scratch.window;
    window.reset(cols);
    grow(scratch.magnitude, cols);
    if (scratch.keys.size() < static_cast<std::size_t>(rows * cols))
        scratch.keys.resize(static_cast<std::size_t>(rows * cols));
    double *magnitude = scratch.magnitude.data();
    const std::ptrdiff_t half_rows = (rows + 1) / 2, half_cols = (cols + 1) / 2;
    grow(scratch.approximation, half_rows * half_cols);
    scratch.box.reset(cols);
    for (auto &row : scratch.smoothed)
        grow(row, cols + 32);
    scratch.contours.reset(cols, exact);

    Flux flux;
    GradientSums gradient;
    double *wavelet = out + wavelet_energy_l1;
    double energy = 0.0;
    double largest = 0.0; // of the pixels so far

    // Row i comes in; what it completes goes out: the gradient of row i - 1, a
    // pair of rows of the wavelet, the box mean of row i - 4 and the cells above.
    for (std::ptrdiff_t i = 0; i < rows + 4; ++i) {
        if (i < rows) {
            double *row = window.slot(i);
            outcome.nan_pixels += static_cast<std::size_t>(load_row(patch, i, zero, row));
            largest = std::max(largest, add_flux(row, cols, flux));
            if (outcome.nan_pixels > 0 && !nan_as_zero)
                outcome.problem = PatchProblem::nan;
            else if (std::isinf(largest))
                outcome.problem = PatchProblem::infinite;
            else if (largest > largest_pixel)
                outcome.problem = PatchProblem::too_large;
            if (outcome.problem != PatchProblem::none)
                return outcome;
            if (i % 2 != 0 || i == rows - 1)
                energy += haar_rows(window.row(i - i % 2), row, cols,
                                    scratch.approximation.data() + (i / 2) * half_cols);
        } else {
            window.push_zero(i);
        }
        if (i >= 1 && i <= rows) {
            sobel_row(window.row(i - 2), window.row(i - 1), window.row(i), cols, magnitude, gradient);
            gradient_keys(magnitude, cols, scratch.keys.data() + (i - 1) * cols);
            if (products)
                std::copy_n(magnitude, cols, products->gradient + (i - 1) * cols);
        }
        const std::ptrdiff_t o = i - 4;
        if (o < 0)
            continue;
        const double error = box_mean_error(largest);
        double *here = scratch.smoothed[o & 1].data(), *above = scratch.smoothed[(o + 1) & 1].data();
        scratch.box.row(window, o, error, exact, here);
        if (exact)
            std::copy_n(here, cols, products->smoothed + o * cols);
        if (o > 0)
            scratch.contours.add_cells(window, o - 1, above, here, error);
    }

    GradientMap map{rows, cols, scratch.keys.data(), {}, {}};
    map.at = [&](std::ptrdiff_t row, std::ptrdiff_t col) { return gradient_at(patch, zero, row, col); };
    map.each_row = [&](const auto &visit) {
        window.reset(cols); // its rows are not needed any more
        GradientSums no_sums;
        for (std::ptrdiff_t i = 0; i <= rows; ++i) {
            if (i < rows)
                load_row(patch, i, zero, window.slot(i));
            else
                window.push_zero(i);
            if (i >= 1) {
                sobel_row(window.row(i - 2), window.row(i - 1), window.row(i), cols, magnitude, no_sums);
                visit(i - 1, magnitude);
            }
        }
    };
    gradient_statistics(map, gradient, scratch.ranked, out + gradient_mean);
    bool everywhere_strong = false;
    neutral_line_features(scratch.contours, map, scratch.line, out + nl_length, everywhere_strong);
    wavelet[0] = energy;
    haar_levels(scratch.approximation.data(), half_rows, half_cols, 4, wavelet + 1);
    out[flux_positive] = flux.positive;
    out[flux_negative] = flux.negative;
    out[flux_signed] = flux.positive + flux.negative;
    out[flux_unsigned] = flux.positive - flux.negative;

    if (products) {
        export_contours(scratch.contours, *products);
        for (std::size_t k = 0; k < static_cast<std::size_t>(rows * cols); ++k) {
            products->neutral_line[k] = scratch.line.mask[k] != 0;
            products->strong[k] = everywhere_strong || scratch.line.mask[k] == on_strong_line;
        }
    }
    return outcome;
}

} // namespace

ComplexityOutcome complexity(const PixelField &patch, double zero, bool nan_as_zero,
                             double out[complexity_features], ComplexityProducts *products) {
    thread_local Scratch scratch;
    const Trim trim{scratch}; // also where memory runs out
    return std::visit(
        [&](const auto &field) { return measure(field, zero, nan_as_zero, out, products, scratch); }, patch);
}

void complexity_batch(const std::vector<PixelField> &patches, double zero, bool nan_as_zero, int threads,
                      double *out, ComplexityOutcome *outcomes) {
    parallel_for(patches.size(), threads, [&](std::size_t k) {
        outcomes[k] = complexity(patches[k], zero, nan_as_zero, out + k * complexity_features);
    });
}

} // namespace solartrack
