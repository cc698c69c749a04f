// Context crops: the surroundings of a box, centred on it, black where they
// reach beyond the image, resampled to a fixed size and normalised for a
// network, in one pass. tests/reference/crop.py says with a padded canvas and
// cv2.resize what the result means; here the canvas never exists.
#pragma once
#include "field.hpp"

#include <cstddef>

namespace solartrack {

struct CropFormat {
    std::ptrdiff_t width, height, channels;
    double context;    // side of the window in box sides
    const float *mean; // one per channel; result = (pixel - mean) * scale
    float scale;
    float fill;         // pixel value beyond the image, and of pixels that are not finite
    bool channels_last; // (height, width, channels), else (channels, height, width)
};

// Crop i is cut around the i-th box (x0, y0, x1, y1) from images[i], or from
// images[0] if there is only one. Every image has at least one pixel; any
// finite box is fine. `out` holds n * width * height * channels floats. Boxes
// are shared among up to `threads` threads.
void context_crops(const PixelField *images, std::size_t image_count, const double *boxes, std::size_t n,
                   const CropFormat &format, int threads, float *out);

} // namespace solartrack
