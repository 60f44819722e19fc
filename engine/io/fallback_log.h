// What files and queues got that is weaker than asked for, for Stats.
#ifndef LAMINA_ENGINE_IO_FALLBACK_LOG_H_
#define LAMINA_ENGINE_IO_FALLBACK_LOG_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace lamina {

// Counts events by kind and keeps the first of each. Thread-safe. The kinds are few and fixed by
// the code, so it stays small.
class FallbackLog {
 public:
  // `kind`: "buffered I/O where O_DIRECT was refused"; `first`: on what and why.
  void Note(std::string_view kind, std::string_view first) noexcept {
    const std::lock_guard lock(mutex_);
    Kind& entry = kinds_[std::string(kind)];
    if (entry.count++ == 0) entry.first = first;
  }

  // "kind: 3 times (first: ...); ...". Empty when nothing was noted.
  [[nodiscard]] std::string Describe() const noexcept {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const auto& [kind, entry] : kinds_) {
      if (!text.empty()) text += "; ";
      text += kind + ": " + std::to_string(entry.count) +
              (entry.count == 1 ? " time (" : " times (first: ") + entry.first + ")";
    }
    return text;
  }

 private:
  struct Kind {
    uint64_t count = 0;
    std::string first;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Kind> kinds_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_FALLBACK_LOG_H_
