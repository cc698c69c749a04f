#include "contour.hpp"
#include "compiler.hpp"
#include "smooth.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace solartrack {
namespace {

enum Edge : std::uint8_t { top_edge, right_edge, bottom_edge, left_edge };

// By corners above zero (1 upper left, 2 upper right, 4 lower left, 8 lower
// right): segments from edge to edge, low values on their left.
struct Cell {
    std::uint8_t segments;
    Edge from0, to0, from1, to1;
};
constexpr Cell cells[16] = {
    {0, top_edge, top_edge, top_edge, top_edge},       {1, top_edge, left_edge, top_edge, top_edge},
    {1, right_edge, top_edge, top_edge, top_edge},     {1, right_edge, left_edge, top_edge, top_edge},
    {1, left_edge, bottom_edge, top_edge, top_edge},   {1, top_edge, bottom_edge, top_edge, top_edge},
    {2, right_edge, top_edge, left_edge, bottom_edge}, {1, right_edge, bottom_edge, top_edge, top_edge},
    {1, bottom_edge, right_edge, top_edge, top_edge},  {2, top_edge, left_edge, bottom_edge, right_edge},
    {1, bottom_edge, top_edge, top_edge, top_edge},    {1, bottom_edge, left_edge, top_edge, top_edge},
    {1, left_edge, right_edge, top_edge, top_edge},    {1, top_edge, right_edge, top_edge, top_edge},
    {1, left_edge, top_edge, top_edge, top_edge},      {0, top_edge, top_edge, top_edge, top_edge},
};

// One byte per pixel, then eight bytes to eight bits by a multiplication.
SOLARTRACK_CLONES void signs(const double *values, std::ptrdiff_t count, std::uint8_t *out) {
    for (std::ptrdiff_t j = 0; j < count; ++j)
        out[j] = values[j] > 0.0;
}

void above_zero(const double *values, std::ptrdiff_t cols, std::vector<std::uint64_t> &bits) {
    for (std::ptrdiff_t first = 0; first < cols; first += 64) {
        std::uint8_t bytes[64] = {};
        signs(values + first, std::min<std::ptrdiff_t>(64, cols - first), bytes);
        std::uint64_t word = 0;
        for (int k = 0; k < 8; ++k) {
            std::uint64_t eight;
            std::memcpy(&eight, bytes + 8 * k, 8);
            word |= ((eight * 0x0102040810204080u) >> 56) << (8 * k);
        }
        bits[static_cast<std::size_t>(first / 64)] = word;
    }
}

// Calls f(c) for each set bit c below `count`; `word(k)` gives bits 64 k and on.
template <class Word, class F> void each_bit(std::ptrdiff_t count, Word word, F f) {
    for (std::ptrdiff_t first = 0; first < count; first += 64) {
        std::uint64_t bits = word(static_cast<std::size_t>(first / 64));
        if (count - first < 64)
            bits &= (std::uint64_t{1} << (count - first)) - 1;
        for (; bits != 0; bits &= bits - 1)
            f(static_cast<std::int32_t>(first) + lowest_bit(bits));
    }
}

// The bits of the pixels one to the right.
std::uint64_t right_of(const std::vector<std::uint64_t> &bits, std::size_t k) {
    return bits[k] >> 1 | bits[k + 1] << 63;
}

} // namespace

void Contours::reset(std::ptrdiff_t cols, bool positions) {
    cols_ = static_cast<std::int32_t>(cols);
    keep_positions_ = positions;
    const auto n = static_cast<std::size_t>(cols);
    slots_.assign(5 * n, Slot{-1, -1});
    for (int k = 0; k < 2; ++k) {
        high_[k].assign(n / 64 + 2, 0); // one word more than pixels, for right_of
        on_line_[k].resize(n);
    }
    on_side_.resize(n);
    nodes_.clear();
    positions_.clear();
    chains_.clear();
}

std::size_t Contours::bytes() const {
    return nodes_.capacity() * sizeof(Node) + positions_.capacity() * sizeof(Position) +
           chains_.capacity() * sizeof(Chain) + slots_.capacity() * sizeof(Slot) +
           (high_[0].capacity() + high_[1].capacity()) * sizeof(std::uint64_t) +
           (on_line_[0].capacity() + on_line_[1].capacity() + on_side_.capacity()) * sizeof(Point);
}

// Where the field passes zero between pixel (row, col), value a, and the next
// one to the right or below, value b; one of them is above zero, the other not.
inline Contours::Point Contours::cross(Doubt doubt, std::int32_t row, std::int32_t col, bool down, double a,
                                       double b) const {
    const std::int32_t here = down ? row : col;
    const double fa = std::fabs(a), fb = std::fabs(b);
    // Rounding of the position itself moves it by less than 2^-31 (sides are at
    // most 2^22 pixels), the errors of a and b by less than their share of a - b.
    const double margin = 0x1p-28 * (fa + fb) + 2.0 * doubt.error;
    std::int32_t rounded = here + (fa > fb);
    int pixel = -1; // 0 or 1 where the point falls on one of the two
    double at = 0.0;
    if (keep_positions_ || std::min(fa, fb) <= margin || std::fabs(fa - fb) <= margin) {
        if (!keep_positions_) { // otherwise the whole field is exact
            a = box_mean_at(doubt.window, row, col);
            b = box_mean_at(doubt.window, row + down, col + !down);
        }
        at = here + (0.0 - a) / (b - a);
        rounded = static_cast<std::int32_t>(std::nearbyint(at));
        pixel = at == here ? 0 : at == here + 1 ? 1 : -1;
    }
    if (down) {
        const Key key =
            pixel < 0 ? Key{4 * cols_ + col, row} : Key{((row + pixel) & 1) * cols_ + col, row + pixel};
        return {key, rounded, col, {at, static_cast<double>(col)}};
    }
    const std::int32_t line = (row & 1) * cols_;
    const std::int32_t slot = pixel < 0 ? 2 * cols_ + line + col : line + col + pixel;
    return {{slot, row}, row, rounded, {static_cast<double>(row), at}};
}

void Contours::cross_line(Doubt doubt, std::int32_t row, const double *values) {
    const std::vector<std::uint64_t> &high = high_[row & 1];
    Point *points = on_line_[row & 1].data();
    each_bit(
        cols_ - 1, [&](std::size_t k) { return high[k] ^ right_of(high, k); },
        [&](std::int32_t c) {
            points[c] = cross(doubt, row, c, false, values[c], values[c + 1]);
            empty_edge(points[c].key);
        });
}

void Contours::cross_sides(Doubt doubt, std::int32_t row, const double *top, const double *bottom) {
    each_bit(
        cols_, [&](std::size_t k) { return high_[0][k] ^ high_[1][k]; },
        [&](std::int32_t c) {
            Point &point = on_side_[static_cast<std::size_t>(c)];
            point = cross(doubt, row, c, true, top[c], bottom[c]);
            empty_edge(point.key);
        });
}

// Whether a later cell may touch the point; if not, nobody will look it up and
// its slot belongs to another row by now.
bool Contours::alive(Key key) const {
    return key.row == row_ || (key.row == row_ + 1 && key.slot < 4 * cols_);
}

// The joining rules of scikit-image, one by one, because the order and the
// start of a contour follow from them. A point may start (end) more than one
// contour, where pixels are exactly zero; the latest to say so is the one found.
void Contours::add_segment(const Point &from, const Point &to) {
    if (from.key.slot == to.key.slot)
        return; // a corner exactly at zero
    Slot *slots = slots_.data();
    const std::int32_t tail = slots[to.key.slot].starts, head = slots[from.key.slot].ends;
    slots[to.key.slot].starts = -1;
    slots[from.key.slot].ends = -1;
    Chain *chains = chains_.data();

    if (tail < 0 && head < 0) {
        const std::int32_t first = append(from), last = append(to);
        nodes_[static_cast<std::size_t>(first)].next = last;
        slots[from.key.slot].starts = slots[to.key.slot].ends = static_cast<std::int32_t>(chains_.size());
        chains_.push_back({first, last, from.key, to.key});
    } else if (tail < 0) {
        const std::int32_t added = append(to);
        nodes_[static_cast<std::size_t>(chains[head].last)].next = added;
        chains[head].last = added;
        chains[head].tail = to.key;
        slots[to.key.slot].ends = head;
    } else if (head < 0) {
        const std::int32_t added = append(from);
        nodes_[static_cast<std::size_t>(added)].next = chains[tail].first;
        chains[tail].first = added;
        chains[tail].head = from.key;
        slots[from.key.slot].starts = tail;
    } else if (tail == head) { // closed; its first point again
        const std::int32_t added = append(to);
        nodes_[static_cast<std::size_t>(chains[head].last)].next = added;
        chains[head].last = added;
    } else { // two contours become one, under the number of the older
        nodes_[static_cast<std::size_t>(chains[head].last)].next = chains[tail].first;
        const Chain joined{chains[head].first, chains[tail].last, chains[head].head, chains[tail].tail};
        const std::int32_t kept = std::min(head, tail);
        chains[std::max(head, tail)].first = -1;
        chains[kept] = joined;
        if (alive(joined.head))
            slots[joined.head.slot].starts = kept;
        if (alive(joined.tail))
            slots[joined.tail.slot].ends = kept;
    }
}

void Contours::add_cells(const RowWindow &window, std::ptrdiff_t i, const double *top, const double *bottom,
                         double error) {
    const Doubt doubt{window, error};
    row_ = static_cast<std::int32_t>(i);
    if (i == 0) {
        above_zero(top, cols_, high_[0]);
        cross_line(doubt, 0, top);
    }
    above_zero(bottom, cols_, high_[(i + 1) & 1]);
    cross_line(doubt, row_ + 1, bottom);
    cross_sides(doubt, row_, top, bottom);
    // The pixels of line i + 1 take the slots of line i - 1. All ones is -1.
    const auto n = static_cast<std::size_t>(cols_);
    std::memset(&slots_[static_cast<std::size_t>((row_ + 1) & 1) * n], 0xff, n * sizeof(Slot));

    const std::vector<std::uint64_t> &upper = high_[i & 1], &lower = high_[(i + 1) & 1];
    const Point *edges[4] = {};
    edges[top_edge] = on_line_[i & 1].data();
    edges[right_edge] = on_side_.data() + 1;
    edges[bottom_edge] = on_line_[(i + 1) & 1].data();
    edges[left_edge] = on_side_.data();
    std::uint64_t ul = 0, ur = 0, ll = 0, lr = 0;
    each_bit(
        cols_ - 1,
        [&](std::size_t k) {
            ul = upper[k];
            ll = lower[k];
            ur = right_of(upper, k);
            lr = right_of(lower, k);
            return (ul ^ ur) | (ll ^ lr) | (ul ^ ll);
        },
        [&](std::int32_t c) {
            const int k = c & 63;
            const Cell &cell =
                cells[(ul >> k & 1) | (ur >> k & 1) << 1 | (ll >> k & 1) << 2 | (lr >> k & 1) << 3];
            add_segment(edges[cell.from0][c], edges[cell.to0][c]);
            if (cell.segments == 2)
                add_segment(edges[cell.from1][c], edges[cell.to1][c]);
        });
}

} // namespace solartrack
