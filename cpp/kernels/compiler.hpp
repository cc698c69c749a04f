// All that the kernels use beyond standard C++, each with a plain fallback; but for `__restrict`, which gcc,
// clang and MSVC share.
//
// Run-time choice of instruction set: SOLARTRACK_CLONES before a (non-template) function makes gcc emit one
// version per level and pick one when the module loads; elsewhere it is nothing, and the baseline version
// runs. Contraction is off, so all versions give the same bits.
#pragma once
#include <climits> // defines __GLIBC__ where that is the C library
#include <cstdint>

// The loader must know indirect functions (glibc does, musl does not), and gcc the levels (12).
#if defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__) && defined(__x86_64__) &&                     \
    defined(__GLIBC__) && !defined(SOLARTRACK_NO_CLONES)
#define SOLARTRACK_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define SOLARTRACK_CLONES
#endif

// For what such a function calls in its loops: only inlined it is compiled for the same processor.
#if defined(__GNUC__)
#define SOLARTRACK_INLINE inline __attribute__((always_inline))
#define SOLARTRACK_INLINE_LAMBDA __attribute__((always_inline))
#define SOLARTRACK_PREFETCH(address) __builtin_prefetch(address)
#else
#define SOLARTRACK_INLINE inline
#define SOLARTRACK_INLINE_LAMBDA
#define SOLARTRACK_PREFETCH(address) ((void)0)
#endif

// Functions written in AVX2's own instructions, for where has_avx2().
#if defined(__GNUC__) && defined(__x86_64__)
#define SOLARTRACK_AVX2 __attribute__((target("avx2")))
#include <immintrin.h>
#endif

namespace solartrack {

#ifdef SOLARTRACK_AVX2
inline bool has_avx2() {
    static const bool yes = __builtin_cpu_supports("avx2");
    return yes;
}
#endif

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
