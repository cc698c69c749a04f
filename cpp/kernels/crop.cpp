#include "crop.hpp"
#include "compiler.hpp"
#include "parallel.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

namespace solartrack {
namespace {

// Where the canvas of the reference lies along one axis. Doubles throughout:
// a box may be far larger than any integer that could index its canvas.
struct Window {
    double origin; // canvas pixel c is frame pixel c + origin
    double canvas; // pixels of the canvas
    double first;  // frame pixels [first, last) are on the canvas, the rest of it is fill
    double last;
};

Window window(double low, double high, std::ptrdiff_t pixels, double context) {
    const double n = static_cast<double>(pixels);
    const double size = std::max(1.0, context * (high - low));
    const double half = 0.5 * size;
    const double centre = 0.5 * (low + high);
    // Region start minus edge spacing, each truncated: only one is not zero.
    Window w{std::trunc(centre - half), std::ceil(size), 0.0, 0.0};
    // A window beside the image shows none of it; the region's minimal size
    // of one pixel would otherwise paste the nearest edge pixel.
    if (centre + half > 0.0 && centre - half < n) {
        const double width = std::max(1.0, std::min(half, centre) + std::min(half, n - centre));
        w.first = std::trunc(std::max(0.0, centre - half));
        w.last = std::min({n, w.first + std::ceil(width), w.origin + w.canvas});
    }
    return w;
}

// The two neighbours of each output pixel along one axis: frame pixels at and
// at + 1, their weights side by side, and what the fill contributes. Weights are
// zero where a neighbour is not on the canvas, so the loops over pixels need no
// branches; `at` can always be read (at + 1 too, if there are two pixels).
struct Taps {
    explicit Taps(std::ptrdiff_t count) : at(count), weights(2 * count), pad(count) {}
    std::vector<std::ptrdiff_t> at;
    std::vector<float> weights, pad;
};

SOLARTRACK_CLONES void set_taps(const Window &w, std::ptrdiff_t count, std::ptrdiff_t pixels, double fill,
                                std::ptrdiff_t *at, float *weights, float *pad) {
    const double step = w.canvas / static_cast<double>(count);
    const double last_pair = static_cast<double>(std::max<std::ptrdiff_t>(0, pixels - 2));
    for (std::ptrdiff_t i = 0; i < count; ++i) {
        // Half-pixel centres; beyond the outermost canvas pixels their value holds.
        const double position =
            std::min(std::max(0.0, (static_cast<double>(i) + 0.5) * step - 0.5), w.canvas - 1.0);
        const double whole = std::floor(position);
        const double fraction = position - whole;
        const double pixel = whole + w.origin;
        const bool inside = pixel >= w.first && pixel < w.last;
        const bool next_inside = pixel + 1.0 >= w.first && pixel + 1.0 < w.last;
        const double weight = inside ? 1.0 - fraction : 0.0;
        const double next_weight = next_inside ? fraction : 0.0;
        const double base = std::min(std::max(0.0, pixel), last_pair);
        at[i] = static_cast<std::ptrdiff_t>(base);
        // base is `pixel`, or one more at the first image pixel, or one less at the last.
        weights[2 * i] =
            static_cast<float>((pixel == base ? weight : 0.0) + (pixel + 1.0 == base ? next_weight : 0.0));
        weights[2 * i + 1] =
            static_cast<float>((pixel == base ? next_weight : 0.0) + (pixel > base ? weight : 0.0));
        pad[i] = static_cast<float>(fill * (1.0 - weight - next_weight));
    }
}

Taps taps(double low, double high, std::ptrdiff_t pixels, double context, std::ptrdiff_t count, double fill) {
    Taps t(count);
    set_taps(window(low, high, pixels, context), count, pixels, fill, t.at.data(), t.weights.data(),
             t.pad.data());
    return t;
}

template <class T> SOLARTRACK_INLINE float value(T pixel, float) {
    return static_cast<float>(pixel);
}
template <> SOLARTRACK_INLINE float value(float pixel, float fill) {
    return std::fabs(pixel) <= std::numeric_limits<float>::max() ? pixel : fill;
}
template <> SOLARTRACK_INLINE float value(double pixel, float fill) {
    return value(static_cast<float>(pixel), fill);
}

// The neighbours of each output pixel in two source rows, side by side. Scalar
// loads whatever one does, and half of the time goes here: both rows share the
// offsets, and the next rows, too far apart for the hardware to foresee, are
// requested a few at a time, as more would wait for each other.
template <class T>
void fetch(const T *first, const T *second, std::ptrdiff_t step, std::ptrdiff_t to_next,
           const std::ptrdiff_t *at, std::ptrdiff_t n, T *__restrict one, T *__restrict two) {
    std::ptrdiff_t i = 0;
    if (step == 1) {
        constexpr std::ptrdiff_t strip = 8;
        for (; i + strip <= n; i += strip) {
            SOLARTRACK_PREFETCH(first + at[i] + to_next);
            SOLARTRACK_PREFETCH(second + at[i] + to_next);
            for (std::ptrdiff_t k = 0; k < strip; ++k) {
                std::memcpy(one + 2 * (i + k), first + at[i + k], 2 * sizeof(T));
                std::memcpy(two + 2 * (i + k), second + at[i + k], 2 * sizeof(T));
            }
        }
    }
    for (; i < n; ++i) {
        one[2 * i] = first[at[i]];
        one[2 * i + 1] = first[at[i] + step];
        two[2 * i] = second[at[i]];
        two[2 * i + 1] = second[at[i] + step];
    }
}

// Between two source rows first, while neighbours still lie side by side: that
// loop is straight, and only its sums have to be sorted out.
template <class T>
SOLARTRACK_INLINE void blend(const T *first, const T *second, const float *row_weights, float row_pad,
                             const float *weights, const float *pad, std::ptrdiff_t n, float fill,
                             float *__restrict terms, float *__restrict grey) {
    const float w0 = row_weights[0], w1 = row_weights[1];
    for (std::ptrdiff_t i = 0; i < 2 * n; ++i)
        terms[i] = (value(first[i], fill) * w0 + value(second[i], fill) * w1) * weights[i];
    for (std::ptrdiff_t i = 0; i < n; ++i)
        grey[i] = terms[2 * i] + terms[2 * i + 1] + (pad[i] * (w0 + w1) + row_pad);
}

// target_clones needs plain functions: one overload per pixel type.
#define SOLARTRACK_BLEND(T)                                                                                  \
    SOLARTRACK_CLONES void blend_rows(const T *first, const T *second, const float *row_weights,             \
                                      float row_pad, const float *weights, const float *pad,                 \
                                      std::ptrdiff_t n, float fill, float *terms, float *grey) {             \
        blend(first, second, row_weights, row_pad, weights, pad, n, fill, terms, grey);                      \
    }
SOLARTRACK_BLEND(std::uint8_t)
SOLARTRACK_BLEND(std::uint16_t)
SOLARTRACK_BLEND(std::int16_t)
SOLARTRACK_BLEND(std::int32_t)
SOLARTRACK_BLEND(float)
SOLARTRACK_BLEND(double)
#undef SOLARTRACK_BLEND

void write_three(const float *grey, const float *mean, float scale, std::ptrdiff_t n, float *__restrict out) {
    for (std::ptrdiff_t i = 0; i < n; ++i)
        for (std::ptrdiff_t c = 0; c < 3; ++c)
            out[3 * i + c] = (grey[i] - mean[c]) * scale;
}

#ifdef SOLARTRACK_AVX2
// Each grey value three times: a compiler makes far more shuffles of the loop above.
SOLARTRACK_AVX2 void write_three_avx2(const float *grey, const float *mean, float scale, std::ptrdiff_t n,
                                      float *__restrict out) {
    const __m256i order[3] = {_mm256_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2),
                              _mm256_setr_epi32(2, 3, 3, 3, 4, 4, 4, 5),
                              _mm256_setr_epi32(5, 5, 6, 6, 6, 7, 7, 7)};
    const float m0 = mean[0], m1 = mean[1], m2 = mean[2];
    const __m256 means[3] = {_mm256_setr_ps(m0, m1, m2, m0, m1, m2, m0, m1),
                             _mm256_setr_ps(m2, m0, m1, m2, m0, m1, m2, m0),
                             _mm256_setr_ps(m1, m2, m0, m1, m2, m0, m1, m2)};
    const __m256 factor = _mm256_set1_ps(scale);
    std::ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 g = _mm256_loadu_ps(grey + i);
        for (int k = 0; k < 3; ++k)
            _mm256_storeu_ps(out + 3 * i + 8 * k,
                             (_mm256_permutevar8x32_ps(g, order[k]) - means[k]) * factor);
    }
    write_three(grey + i, mean, scale, n - i, out + 3 * i);
}

#endif

SOLARTRACK_CLONES void write_one(const float *grey, float mean, float scale, std::ptrdiff_t n,
                                 std::ptrdiff_t step, float *__restrict out) {
    if (step == 1) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            out[i] = (grey[i] - mean) * scale;
    } else {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            out[i * step] = (grey[i] - mean) * scale;
    }
}

void write(const float *grey, const CropFormat &f, std::ptrdiff_t y, float *out) {
    if (f.channels_last && f.channels == 3) {
        float *const row = out + 3 * y * f.width;
#ifdef SOLARTRACK_AVX2
        if (has_avx2())
            return write_three_avx2(grey, f.mean, f.scale, f.width, row);
#endif
        return write_three(grey, f.mean, f.scale, f.width, row);
    }
    for (std::ptrdiff_t c = 0; c < f.channels; ++c) {
        if (f.channels_last)
            write_one(grey, f.mean[c], f.scale, f.width, f.channels, out + y * f.width * f.channels + c);
        else
            write_one(grey, f.mean[c], f.scale, f.width, 1, out + (c * f.height + y) * f.width);
    }
}

#ifdef SOLARTRACK_AVX2
// 8-bit images with their pixels side by side are what most archives hold. Their
// neighbours are fetched sixteen bytes at a time and shuffled into place, eight
// output pixels to a block, instead of one by one through memory. The arithmetic
// is that of blend(), step by step, and gives the same bits.
struct ByteColumns {
    static constexpr std::ptrdiff_t bytes = 16, block = 8;
    struct Load {
        std::ptrdiff_t start;
        std::uint8_t order[bytes]; // position in the load, 0x80 for a byte of another load
    };

    // `x.at` must not decrease and `pixels` be at least 16: no load leaves the row.
    ByteColumns(const Taps &x, std::ptrdiff_t count, std::ptrdiff_t pixels) {
        const std::ptrdiff_t blocks = (count + block - 1) / block;
        low.resize(blocks * block);
        high.resize(blocks * block);
        pad.resize(blocks * block);
        for (std::ptrdiff_t i = 0; i < count; ++i) {
            low[i] = x.weights[2 * i];
            high[i] = x.weights[2 * i + 1];
            pad[i] = x.pad[i];
            const std::ptrdiff_t lane = i % block;
            if (lane == 0)
                stops.push_back(loads.size());
            if (lane == 0 || x.at[i] + 1 >= loads.back().start + bytes) {
                loads.emplace_back();
                loads.back().start = std::min(x.at[i], pixels - bytes);
                std::memset(loads.back().order, 0x80, bytes);
                ++stops.back();
            }
            const auto position = static_cast<std::uint8_t>(x.at[i] - loads.back().start);
            loads.back().order[2 * lane] = position;
            loads.back().order[2 * lane + 1] = static_cast<std::uint8_t>(position + 1);
        }
        even_out();
    }

    // The same small number of loads for every block, empty ones where fewer are needed, so
    // that the loop over them can be unrolled; 0 where that would be more than four.
    void even_out() {
        std::size_t most = 0;
        for (std::size_t b = 0, from = 0; b < stops.size(); from = stops[b++])
            most = std::max(most, stops[b] - from);
        if (most > 4)
            return;
        each = static_cast<int>(most);
        std::vector<Load> even;
        even.reserve(most * stops.size());
        for (std::size_t b = 0, from = 0; b < stops.size(); from = stops[b++]) {
            even.insert(even.end(), loads.begin() + from, loads.begin() + stops[b]);
            Load empty = loads[from];
            std::memset(empty.order, 0x80, bytes);
            even.resize(most * (b + 1), empty);
        }
        loads = std::move(even);
    }

    int each = 0; // loads of each block, if all have as many
    std::vector<Load> loads;
    std::vector<std::size_t> stops; // one past the last load of each block, if `each` is 0
    std::vector<float> low, high, pad;
};

// Padded is false for a crop that lies within the image, as most do.
template <bool Padded, int Each>
SOLARTRACK_AVX2 void blend_bytes(const std::uint8_t *first, const std::uint8_t *second,
                                 std::ptrdiff_t to_next, const float *row_weights, float row_pad,
                                 const ByteColumns &x, float *grey) {
    const __m256 w0 = _mm256_set1_ps(row_weights[0]), w1 = _mm256_set1_ps(row_weights[1]);
    const __m256 sum = _mm256_set1_ps(row_weights[0] + row_weights[1]), rest = _mm256_set1_ps(row_pad);
    const __m256i left = _mm256_set1_epi32(255);
    const ByteColumns::Load *const loads = x.loads.data(), *load = loads;
    const std::size_t *const stops = x.stops.data();
    const float *const low = x.low.data(), *const high = x.high.data(), *const pad = x.pad.data();
    const std::size_t blocks = x.stops.size();
    for (std::size_t b = 0, i = 0; b < blocks; ++b, i += ByteColumns::block) {
        SOLARTRACK_PREFETCH(first + load->start + to_next);
        SOLARTRACK_PREFETCH(second + load->start + to_next);
        __m128i one = _mm_setzero_si128(), two = one;
        const ByteColumns::Load *const stop = Each > 0 ? load + Each : loads + stops[b];
        for (; load != stop; ++load) {
            const __m128i order = _mm_loadu_si128(reinterpret_cast<const __m128i *>(load->order));
            const auto *from = reinterpret_cast<const __m128i *>(first + load->start);
            const auto *more = reinterpret_cast<const __m128i *>(second + load->start);
            one = _mm_or_si128(one, _mm_shuffle_epi8(_mm_loadu_si128(from), order));
            two = _mm_or_si128(two, _mm_shuffle_epi8(_mm_loadu_si128(more), order));
        }
        const __m256i p = _mm256_cvtepu16_epi32(one), q = _mm256_cvtepu16_epi32(two);
        const __m256 l = _mm256_cvtepi32_ps(_mm256_and_si256(p, left)) * w0 +
                         _mm256_cvtepi32_ps(_mm256_and_si256(q, left)) * w1;
        const __m256 h = _mm256_cvtepi32_ps(_mm256_srli_epi32(p, 8)) * w0 +
                         _mm256_cvtepi32_ps(_mm256_srli_epi32(q, 8)) * w1;
        __m256 result = l * _mm256_loadu_ps(low + i) + h * _mm256_loadu_ps(high + i);
        if constexpr (Padded)
            result += _mm256_loadu_ps(pad + i) * sum + rest;
        _mm256_storeu_ps(grey + i, result);
    }
}

template <bool Padded> auto row_blender(int each) {
    switch (each) {
    case 1:
        return blend_bytes<Padded, 1>;
    case 2:
        return blend_bytes<Padded, 2>;
    case 3:
        return blend_bytes<Padded, 3>;
    case 4:
        return blend_bytes<Padded, 4>;
    default:
        return blend_bytes<Padded, 0>;
    }
}

bool crop_bytes(const Field<std::uint8_t> &image, const Taps &x, const Taps &y, const CropFormat &f,
                float *out) {
    if (!has_avx2() || image.col_stride != 1 || image.cols < ByteColumns::bytes)
        return false;
    const ByteColumns columns(x, f.width, image.cols);
    std::vector<float> grey(columns.pad.size());
    const std::ptrdiff_t row_step = image.rows > 1 ? image.row_stride : 0;
    const auto is_zero = [](float v) { return v == 0.0f; };
    const bool padded = !std::all_of(x.pad.begin(), x.pad.end(), is_zero) ||
                        !std::all_of(y.pad.begin(), y.pad.end(), is_zero);
    const auto blend_row = padded ? row_blender<true>(columns.each) : row_blender<false>(columns.each);
    for (std::ptrdiff_t i = 0; i < f.height; ++i) {
        const std::uint8_t *source = image.row(y.at[i]);
        const std::ptrdiff_t to_next = i + 1 < f.height ? (y.at[i + 1] - y.at[i]) * image.row_stride : 0;
        blend_row(source, source + row_step, to_next, y.weights.data() + 2 * i, y.pad[i], columns,
                  grey.data());
        write(grey.data(), f, i, out);
    }
    return true;
}
#endif

template <class T> void crop(const Field<T> &image, const double *box, const CropFormat &f, float *out) {
    Taps x = taps(box[0], box[2], image.cols, f.context, f.width, f.fill);
    const Taps y = taps(box[1], box[3], image.rows, f.context, f.height, f.fill);
#ifdef SOLARTRACK_AVX2
    if constexpr (std::is_same_v<T, std::uint8_t>) {
        if (crop_bytes(image, x, y, f, out))
            return;
    }
#endif
    for (std::ptrdiff_t &column : x.at)
        column *= image.col_stride;
    const std::ptrdiff_t step = image.cols > 1 ? image.col_stride : 0;
    const std::ptrdiff_t row_step = image.rows > 1 ? image.row_stride : 0;

    std::vector<T> pairs(4 * f.width);
    std::vector<float> scratch(3 * f.width);
    T *const first = pairs.data(), *const second = first + 2 * f.width;
    float *const grey = scratch.data(), *const terms = grey + f.width;
    std::ptrdiff_t held = -1; // source rows held and held + 1 are fetched: enlarged crops reuse them
    for (std::ptrdiff_t i = 0; i < f.height; ++i) {
        const float *weights = y.weights.data() + 2 * i;
        if (y.at[i] != held && (weights[0] != 0.0f || weights[1] != 0.0f)) {
            held = y.at[i];
            const T *source = image.row(held);
            const std::ptrdiff_t to_next = i + 1 < f.height ? (y.at[i + 1] - held) * image.row_stride : 0;
            fetch(source, source + row_step, step, to_next, x.at.data(), f.width, first, second);
        }
        blend_rows(first, second, weights, y.pad[i], x.weights.data(), x.pad.data(), f.width, f.fill, terms,
                   grey);
        write(grey, f, i, out);
    }
}

} // namespace

void context_crops(const PixelField *images, std::size_t image_count, const double *boxes, std::size_t n,
                   const CropFormat &format, int threads, float *out) {
    const std::size_t crop_size =
        static_cast<std::size_t>(format.width) * static_cast<std::size_t>(format.height * format.channels);
    parallel_for(n, threads, [&](std::size_t i) {
        std::visit([&](const auto &image) { crop(image, boxes + 4 * i, format, out + i * crop_size); },
                   images[image_count == 1 ? 0 : i]);
    });
}

} // namespace solartrack
