// Eight doubles at a time (gcc and clang vector types): sums over pixels as
// eight independent ones. Written out because the compiler may not reorder a
// plain sum and does not turn a loop over eight into one vector by itself.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace solartrack {

constexpr std::ptrdiff_t lanes = 8;
typedef double Lanes __attribute__((vector_size(64)));
typedef std::int64_t LaneInts __attribute__((vector_size(64)));

// By reference: passing such vectors by value would depend on the instruction set.
inline void load(Lanes &to, const double *from) {
    std::memcpy(&to, from, sizeof to);
}
inline void store(double *to, const Lanes &from) {
    std::memcpy(to, &from, sizeof from);
}

// Sixteen consecutive values as eight pairs: the first and the second of each.
inline void load_pairs(Lanes &first, Lanes &second, const double *from) {
    Lanes a, b;
    load(a, from);
    load(b, from + lanes);
    first = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    second = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
}

inline double sum(const Lanes &v) {
    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}
inline double smallest(const Lanes &v) {
    double least = v[0];
    for (int l = 1; l < lanes; ++l)
        least = v[l] < least ? v[l] : least;
    return least;
}
inline double largest(const Lanes &v) {
    double most = v[0];
    for (int l = 1; l < lanes; ++l)
        most = v[l] > most ? v[l] : most;
    return most;
}

// Place of the lowest bit that is set, of one that is not 0.
inline int lowest_bit(std::uint64_t word) {
#if defined(__GNUC__)
    return __builtin_ctzll(word);
#else
    int k = 0;
    for (; (word & 1) == 0; word >>= 1)
        ++k;
    return k;
#endif
}

} // namespace solartrack
