// Independent items over a small pool of threads.
#pragma once
#include <cstddef>
#include <functional>

namespace solartrack {

// Calls work(i) once for every i in [0, items), on at most `threads` threads, the
// calling one among them; returns when all are done. Items are handed out one
// at a time, so uneven ones balance; make an item worth some microseconds.
// Where the system starts no more threads, there are fewer, down to the caller alone.
// The first exception is rethrown in the caller after the rest has stopped.
// Safe to call from many threads at once, from inside `work`, and after fork().
void parallel_for(std::size_t items, int threads, const std::function<void(std::size_t)> &work);

} // namespace solartrack
