// Run-time choice of instruction set. SOLARTRACK_CLONES before a (non-template)
// function makes gcc emit one version per level and pick one when the module
// loads; elsewhere it is nothing, and the baseline version runs. Contraction
// is off, so all versions give the same bits.
#pragma once
#include <climits> // defines __GLIBC__ where that is the C library

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
#else
#define SOLARTRACK_INLINE inline
#define SOLARTRACK_INLINE_LAMBDA
#endif
