// Zero contours by marching squares, low values connected through a saddle:
// the same contours, with the same points in the same order from the same
// start, as scikit-image's find_contours(level=0, fully_connected="low").
//
// The order comes from how segments are joined while the cells are visited row
// by row. Here the "contour that starts (ends) at this point" is a lookup in
// arrays over the two rows at hand instead of a hash table over all points,
// and joining two contours is one link; so the cost is that of the segments.
#pragma once
#include "window.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace solartrack {

class Contours {
public:
    struct Node {
        std::int32_t row, col; // rounded half to even
        std::int32_t next;     // index of the next point; -1 ends the contour
    };
    struct Position {
        double row, col;
    };

    // Starts a field of `cols` columns. `positions`: keep the unrounded points.
    void reset(std::ptrdiff_t cols, bool positions);

    // Cells between row i and row i + 1 of the smoothed field; call for i = 0, 1,
    // ... in turn. Both rows are within `error` of the definition, and exact
    // where not beyond it; `window` gives the definition where a point is too
    // close to half-way or to a pixel.
    void add_cells(const RowWindow &window, std::ptrdiff_t i, const double *top, const double *bottom,
                   double error);

    // Calls f(first node, number of the contour) for each contour, in order.
    template <class F> void each(F f) const {
        for (const Chain &chain : chains_)
            if (chain.first >= 0)
                f(chain.first);
    }
    const Node &node(std::int32_t index) const { return nodes_[static_cast<std::size_t>(index)]; }
    const Position &position(std::int32_t index) const { return positions_[static_cast<std::size_t>(index)]; }
    std::size_t points() const { return nodes_.size(); }
    std::size_t bytes() const;

private:
    // Contours that start and end at a point; -1: none.
    struct Slot {
        std::int32_t starts = -1, ends = -1;
    };
    // Which point: on row line `row`, 2 c for pixel c and 2 c + 1 for the edge to
    // its right; 2 cols + c for the edge from pixel c down to the next row.
    struct Key {
        std::int32_t row, place;
    };
    struct Point {
        Key key;
        std::int32_t row, col;
        Position position;
    };
    struct Chain {
        std::int32_t first, last; // nodes; first is -1 once joined to another
        Key head, tail;
    };

    Point cross(const RowWindow &window, std::ptrdiff_t row, std::ptrdiff_t col, bool down, double a, double b,
                double error) const;
    Slot *slot(Key key);
    std::int32_t append(const Point &point);
    void add_segment(const Point &from, const Point &to);

    std::int32_t cols_ = 0, row_ = 0;
    bool keep_positions_ = false;
    std::vector<Slot> line_[2]; // row lines i and i + 1, by parity
    std::vector<Slot> side_;
    std::vector<std::uint64_t> high_[2]; // bit c: pixel c is above zero
    std::vector<Node> nodes_;
    std::vector<Position> positions_;
    std::vector<Chain> chains_;
};

} // namespace solartrack
