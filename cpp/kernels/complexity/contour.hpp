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

    // Calls f(first node) for each contour, in order.
    template <class F> void each(F f) const {
        for (const Chain &chain : chains_)
            if (chain.first >= 0)
                f(chain.first);
    }
    const Node &node(std::int32_t index) const { return nodes_[static_cast<std::size_t>(index)]; }
    const std::vector<Node> &nodes() const { return nodes_; } // of all contours, from top to bottom
    const Position &position(std::int32_t index) const { return positions_[static_cast<std::size_t>(index)]; }
    std::size_t points() const { return nodes_.size(); }
    std::size_t bytes() const;

private:
    // Contours that start and end at a point; -1: none.
    struct Slot {
        std::int32_t starts, ends;
    };
    // Where a point is kept: its slot, and the row line it lies on or hangs
    // from, which tells how long the slot is its own.
    struct Key {
        std::int32_t slot, row;
    };
    struct Point {
        Key key;
        std::int32_t row, col; // rounded
        Position position;     // where positions are kept
    };
    struct Chain {
        std::int32_t first, last; // nodes; first is -1 once joined to another
        Key head, tail;
    };

    // What decides where the cheap values cannot.
    struct Doubt {
        const RowWindow &window;
        double error;
    };

    Point cross(Doubt doubt, std::int32_t row, std::int32_t col, bool down, double a, double b) const;
    void cross_line(Doubt doubt, std::int32_t row, const double *values);
    void cross_sides(Doubt doubt, std::int32_t row, const double *top, const double *bottom);
    bool alive(Key key) const;
    // A new point on an edge takes the slot of an older one. A pixel's slot is that of
    // all points on it, and is emptied with its row.
    void empty_edge(Key key) {
        if (key.slot >= 2 * cols_)
            slots_[static_cast<std::size_t>(key.slot)] = {-1, -1};
    }
    std::int32_t append(const Point &point) {
        nodes_.push_back({point.row, point.col, -1});
        if (keep_positions_)
            positions_.push_back(point.position);
        return static_cast<std::int32_t>(nodes_.size() - 1);
    }
    void add_segment(const Point &from, const Point &to);

    std::int32_t cols_ = 0, row_ = 0;
    bool keep_positions_ = false;
    // c for pixel c of each of the two row lines at hand, by parity; then so for
    // the edges to the right of the pixels; then for the edges down from the upper line.
    std::vector<Slot> slots_;
    std::vector<std::uint64_t> high_[2]; // bit c: pixel c of a row line is above zero
    std::vector<Point> on_line_[2];      // the crossing right of pixel c, by parity of the row
    std::vector<Point> on_side_;         // the crossing below pixel c
    std::vector<Node> nodes_;
    std::vector<Position> positions_;
    std::vector<Chain> chains_;
};

} // namespace solartrack
