// An engine that keeps pages in memory and can be told to misbehave, to see what a replay makes of
// it.
#ifndef LAMINA_TESTS_BENCH_MEMORY_ENGINE_H_
#define LAMINA_TESTS_BENCH_MEMORY_ENGINE_H_

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "bench/engine.h"

namespace lamina::bench {

class MemoryEngine final : public Engine {
 public:
  explicit MemoryEngine(size_t page_bytes) : page_bytes_(page_bytes) {}

  std::unique_ptr<EngineRequest> Begin(std::span<const PageName> names) override;
  Status Flush() override {
    ++flushes;
    return Status::Ok();
  }

  // Called with a page that is handed back, before it is.
  std::function<void(const PageName&, std::span<std::byte>)> spoil;
  size_t capacity_pages = SIZE_MAX;
  Status put_error;
  int flushes = 0;

 private:
  friend class MemoryRequest;
  const size_t page_bytes_;
  std::mutex mutex_;
  std::unordered_map<PageName, std::vector<std::byte>, PageNameHash> pages_;
};

class MemoryRequest final : public EngineRequest {
 public:
  MemoryRequest(MemoryEngine* engine, std::span<const PageName> names)
      : engine_(*engine), names_(names) {}

  Result<size_t> Probe() override {
    const std::lock_guard lock(engine_.mutex_);
    size_t leading = 0;
    while (leading < names_.size() && engine_.pages_.contains(names_[leading])) ++leading;
    return leading;
  }

  Result<size_t> Get(size_t first_page, std::span<std::byte* const> pages) override {
    const std::lock_guard lock(engine_.mutex_);
    for (size_t i = 0; i < pages.size(); ++i) {
      const auto page = engine_.pages_.find(names_[first_page + i]);
      if (page == engine_.pages_.end()) return i;
      std::copy(page->second.begin(), page->second.end(), pages[i]);
      if (engine_.spoil) engine_.spoil(page->first, {pages[i], engine_.page_bytes_});
    }
    return pages.size();
  }

  Result<size_t> Put(size_t first_page, std::span<std::byte* const> pages) override {
    const std::lock_guard lock(engine_.mutex_);
    if (!engine_.put_error.ok()) return engine_.put_error;
    for (size_t i = 0; i < pages.size(); ++i) {
      if (engine_.pages_.size() >= engine_.capacity_pages) return i;
      engine_.pages_[names_[first_page + i]] = {pages[i], pages[i] + engine_.page_bytes_};
    }
    return pages.size();
  }

 private:
  MemoryEngine& engine_;
  const std::span<const PageName> names_;
};

inline std::unique_ptr<EngineRequest> MemoryEngine::Begin(std::span<const PageName> names) {
  return std::make_unique<MemoryRequest>(this, names);
}

}  // namespace lamina::bench

#endif  // LAMINA_TESTS_BENCH_MEMORY_ENGINE_H_
