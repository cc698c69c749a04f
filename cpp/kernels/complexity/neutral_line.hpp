// The 13 neutral-line features from the contours and the gradient magnitude.
#pragma once
#include "contour.hpp"
#include "gradient.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace solartrack {

struct NeutralLineScratch {
    std::vector<std::uint8_t> mask;  // 0 off the line, line or strong on it
    std::vector<std::size_t> pixels; // of the line, each once
    std::vector<std::size_t> stack;
    std::vector<double> energies;
    std::vector<double> jumps;
    std::size_t bytes() const;
};

constexpr std::uint8_t on_line = 1;
constexpr std::uint8_t on_strong_line = 3; // bit 0: on the line

// Leaves the mask in `scratch.mask`. Without any contour all features are 0. `everywhere_strong` is set where
// the definition's threshold is 0, so that every pixel of the patch reaches it.
void neutral_line_features(const Contours &contours, const GradientMap &gradient, NeutralLineScratch &scratch,
                           double out[13], bool &everywhere_strong);

} // namespace solartrack
