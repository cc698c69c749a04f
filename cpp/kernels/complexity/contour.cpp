#include "contour.hpp"
#include "dispatch.hpp"
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
    for (std::size_t w = 0; w < bits.size(); ++w) {
        const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(64 * w);
        std::uint8_t bytes[64] = {};
        if (first < cols)
            signs(values + first, std::min<std::ptrdiff_t>(64, cols - first), bytes);
        std::uint64_t word = 0;
        for (int k = 0; k < 8; ++k) {
            std::uint64_t eight;
            std::memcpy(&eight, bytes + 8 * k, 8);
            word |= ((eight * 0x0102040810204080u) >> 56) << (8 * k);
        }
        bits[w] = word;
    }
}

int lowest_bit(std::uint64_t word) {
#if defined(__GNUC__)
    return __builtin_ctzll(word);
#else
    int k = 0;
    for (; (word & 1) == 0; word >>= 1)
        ++k;
    return k;
#endif
}

} // namespace

void Contours::reset(std::ptrdiff_t cols, bool positions) {
    cols_ = static_cast<std::int32_t>(cols);
    row_ = -1;
    keep_positions_ = positions;
    const auto n = static_cast<std::size_t>(cols);
    for (int k = 0; k < 2; ++k) {
        line_[k].assign(2 * n, Slot{});
        high_[k].assign(n / 64 + 2, 0); // the last word stays 0: the cells' right neighbours
    }
    side_.assign(n, Slot{});
    nodes_.clear();
    positions_.clear();
    chains_.clear();
}

std::size_t Contours::bytes() const {
    return nodes_.capacity() * sizeof(Node) + positions_.capacity() * sizeof(Position) +
           chains_.capacity() * sizeof(Chain) + 5 * static_cast<std::size_t>(cols_) * sizeof(Slot);
}

// Where the field passes zero between pixel (row, col), value a, and the next
// one to the right or below, value b; one of them is above zero, the other not.
Contours::Point Contours::cross(const RowWindow &window, std::ptrdiff_t row, std::ptrdiff_t col, bool down,
                                double a, double b, double error) const {
    const std::ptrdiff_t here = down ? row : col;
    const double fa = std::fabs(a), fb = std::fabs(b);
    Point point;
    // Rounding of the position itself moves it by less than 2^-31 (sides are at
    // most 2^22 pixels), the errors of a and b by less than their share of a - b.
    const double doubt = 0x1p-28 * (fa + fb) + 2.0 * error;
    double at;
    int vertex = -1;
    if (!keep_positions_ && std::min(fa, fb) > doubt && std::fabs(fa - fb) > doubt) {
        at = static_cast<double>(here + (fa > fb));
    } else {
        if (!keep_positions_) { // otherwise the whole field is exact
            a = box_mean_at(window, row, col);
            b = down ? box_mean_at(window, row + 1, col) : box_mean_at(window, row, col + 1);
        }
        at = static_cast<double>(here) + (0.0 - a) / (b - a);
        vertex = at == static_cast<double>(here) ? 0 : at == static_cast<double>(here + 1) ? 1 : -1;
    }
    const auto r = static_cast<std::int32_t>(row), c = static_cast<std::int32_t>(col);
    const auto rounded = static_cast<std::int32_t>(std::nearbyint(at));
    if (down) {
        point.key = vertex < 0 ? Key{r, 2 * cols_ + c} : Key{r + vertex, 2 * c};
        point.row = rounded;
        point.col = c;
        point.position = {at, static_cast<double>(col)};
    } else {
        point.key = Key{r, vertex < 0 ? 2 * c + 1 : 2 * (c + vertex)};
        point.row = r;
        point.col = rounded;
        point.position = {static_cast<double>(row), at};
    }
    return point;
}

// Null where no later cell touches the point: nobody will look it up.
Contours::Slot *Contours::slot(Key key) {
    if (key.row < row_ || key.row > row_ + 1)
        return nullptr;
    if (key.place < 2 * cols_)
        return &line_[key.row & 1][static_cast<std::size_t>(key.place)];
    return key.row == row_ ? &side_[static_cast<std::size_t>(key.place - 2 * cols_)] : nullptr;
}

std::int32_t Contours::append(const Point &point) {
    nodes_.push_back({point.row, point.col, -1});
    if (keep_positions_)
        positions_.push_back(point.position);
    return static_cast<std::int32_t>(nodes_.size() - 1);
}

// The joining rules of scikit-image, one by one, because the order and the
// start of a contour follow from them. A point may start (end) more than one
// contour, where pixels are exactly zero; the latest to say so is the one found.
void Contours::add_segment(const Point &from, const Point &to) {
    if (from.key.row == to.key.row && from.key.place == to.key.place)
        return; // a corner exactly at zero
    Slot &to_slot = *slot(to.key);
    Slot &from_slot = *slot(from.key);
    const std::int32_t tail = to_slot.starts, head = from_slot.ends;
    to_slot.starts = -1;
    from_slot.ends = -1;
    const auto chain = [this](std::int32_t k) -> Chain & { return chains_[static_cast<std::size_t>(k)]; };
    const auto link = [this](std::int32_t a, std::int32_t b) { nodes_[static_cast<std::size_t>(a)].next = b; };

    if (tail >= 0 && head >= 0) {
        if (tail == head) { // closed; its first point again
            Chain &closed = chain(head);
            const std::int32_t last = append(to);
            link(closed.last, last);
            closed.last = last;
            return;
        }
        // Two contours become one, under the number of the older.
        Chain &first = chain(head), &second = chain(tail);
        link(first.last, second.first);
        const std::int32_t kept = std::min(head, tail);
        const Chain joined{first.first, second.last, first.head, second.tail};
        (kept == head ? second : first).first = -1;
        chain(kept) = joined;
        if (Slot *s = slot(joined.head))
            s->starts = kept;
        if (Slot *s = slot(joined.tail))
            s->ends = kept;
    } else if (tail >= 0) {
        Chain &longer = chain(tail);
        const std::int32_t added = append(from);
        link(added, longer.first);
        longer.first = added;
        longer.head = from.key;
        from_slot.starts = tail;
    } else if (head >= 0) {
        Chain &longer = chain(head);
        const std::int32_t added = append(to);
        link(longer.last, added);
        longer.last = added;
        longer.tail = to.key;
        to_slot.ends = head;
    } else {
        const std::int32_t first = append(from), last = append(to);
        link(first, last);
        from_slot.starts = to_slot.ends = static_cast<std::int32_t>(chains_.size());
        chains_.push_back({first, last, from.key, to.key});
    }
}

void Contours::add_cells(const RowWindow &window, std::ptrdiff_t i, const double *top, const double *bottom,
                         double error) {
    if (i == 0)
        above_zero(top, cols_, high_[0]);
    row_ = static_cast<std::int32_t>(i);
    std::vector<std::uint64_t> &upper = high_[i & 1], &lower = high_[(i + 1) & 1];
    above_zero(bottom, cols_, lower);
    std::fill(line_[(i + 1) & 1].begin(), line_[(i + 1) & 1].end(), Slot{});
    std::fill(side_.begin(), side_.end(), Slot{});

    for (std::size_t w = 0; 64 * w + 1 < static_cast<std::size_t>(cols_); ++w) {
        const std::uint64_t ul = upper[w], ur = ul >> 1 | upper[w + 1] << 63;
        const std::uint64_t ll = lower[w], lr = ll >> 1 | lower[w + 1] << 63;
        std::uint64_t mixed = (ul ^ ur) | (ll ^ lr) | (ul ^ ll);
        const std::size_t inside = static_cast<std::size_t>(cols_) - 1 - 64 * w; // cells from this word on
        if (inside < 64)
            mixed &= (std::uint64_t{1} << inside) - 1;
        for (; mixed != 0; mixed &= mixed - 1) {
            const int k = lowest_bit(mixed);
            const auto c = static_cast<std::ptrdiff_t>(64 * w) + k;
            const Cell &cell =
                cells[(ul >> k & 1) | (ur >> k & 1) << 1 | (ll >> k & 1) << 2 | (lr >> k & 1) << 3];
            const auto point = [&](Edge edge) {
                switch (edge) {
                case top_edge:
                    return cross(window, i, c, false, top[c], top[c + 1], error);
                case bottom_edge:
                    return cross(window, i + 1, c, false, bottom[c], bottom[c + 1], error);
                case left_edge:
                    return cross(window, i, c, true, top[c], bottom[c], error);
                default:
                    return cross(window, i, c + 1, true, top[c + 1], bottom[c + 1], error);
                }
            };
            add_segment(point(cell.from0), point(cell.to0));
            if (cell.segments == 2)
                add_segment(point(cell.from1), point(cell.to1));
        }
    }
}

} // namespace solartrack
