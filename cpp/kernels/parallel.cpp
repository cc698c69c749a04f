#include "parallel.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#ifndef _WIN32
#include <pthread.h>
#endif

namespace solartrack {
namespace {

struct Job {
    std::size_t items = 0;
    const std::function<void(std::size_t)> *work = nullptr;
    std::atomic<std::size_t> next{0};
    std::atomic<int> helpers_wanted{0};
    std::mutex mutex;
    std::condition_variable idle;
    int running = 0; // threads inside run(), guarded by mutex
    std::exception_ptr error;

    void run() {
        for (;;) {
            const std::size_t i = next.fetch_add(1, std::memory_order_relaxed);
            if (i >= items)
                return;
            try {
                (*work)(i);
            } catch (...) {
                std::lock_guard<std::mutex> lock(mutex);
                if (!error)
                    error = std::current_exception();
                next.store(items, std::memory_order_relaxed);
            }
        }
    }
};

class Pool {
public:
    void submit(const std::shared_ptr<Job> &job, int helpers) {
        std::lock_guard<std::mutex> lock(mutex_);
        try {
            for (; workers_ < helpers; ++workers_)
                std::thread([this] { loop(); }).detach();
        } catch (const std::system_error &) {
            // The system has no more threads: those that are there do the work,
            // without any the caller alone.
        } catch (const std::bad_alloc &) {
        }
        helpers = std::min(helpers, workers_);
        if (helpers == 0)
            return;
        job->helpers_wanted = helpers;
        queue_.push_back(job);
        if (helpers == 1)
            wake_.notify_one();
        else
            wake_.notify_all();
    }

    void withdraw(const std::shared_ptr<Job> &job) {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto at = std::find(queue_.begin(), queue_.end(), job);
        if (at != queue_.end())
            queue_.erase(at);
    }

private:
    void loop() {
        for (;;) {
            std::shared_ptr<Job> job;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [this] { return !queue_.empty(); });
                job = queue_.front();
                if (--job->helpers_wanted <= 0)
                    queue_.pop_front();
                // Counted while the job is still known to be wanted: once the
                // caller has withdrawn it, no new helper can appear.
                std::lock_guard<std::mutex> counted(job->mutex);
                ++job->running;
            }
            job->run();
            std::lock_guard<std::mutex> lock(job->mutex);
            if (--job->running == 0)
                job->idle.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::shared_ptr<Job>> queue_;
    int workers_ = 0;
};

// Never destroyed: its threads may outlive static destruction. Threads do not
// survive fork(), so the child forgets the parent's pool and makes its own.
std::atomic<Pool *> current_pool{nullptr};

Pool &pool() {
#ifndef _WIN32
    static const int registered = pthread_atfork(nullptr, nullptr, [] { current_pool.store(nullptr); });
    (void)registered;
#endif
    Pool *p = current_pool.load();
    if (!p) {
        Pool *fresh = new Pool;
        if (current_pool.compare_exchange_strong(p, fresh))
            p = fresh;
        else
            delete fresh; // another thread was first; no worker was started yet
    }
    return *p;
}

} // namespace

void parallel_for(std::size_t items, int threads, const std::function<void(std::size_t)> &work) {
    const int helpers = static_cast<int>(std::min<std::size_t>(
        items > 0 ? items - 1 : 0, threads > 1 ? static_cast<std::size_t>(threads) - 1 : 0));
    if (helpers == 0) {
        for (std::size_t i = 0; i < items; ++i)
            work(i);
        return;
    }
    const auto job = std::make_shared<Job>();
    job->items = items;
    job->work = &work;
    Pool &workers = pool();
    workers.submit(job, helpers);
    job->run();
    workers.withdraw(job);
    std::unique_lock<std::mutex> lock(job->mutex);
    job->idle.wait(lock, [&] { return job->running == 0; });
    if (job->error)
        std::rethrow_exception(job->error);
}

} // namespace solartrack
