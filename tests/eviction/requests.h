// Requests for tests of the policies: conversations that go on, prompts that come again, pages that
// never do; and the seed of a random test.
#ifndef LAMINA_TESTS_EVICTION_REQUESTS_H_
#define LAMINA_TESTS_EVICTION_REQUESTS_H_

#include <cstdlib>
#include <deque>
#include <string>
#include <vector>

#include "tensorlog/eviction/random.h"

namespace lamina {

// LAMINA_TEST_SEED, or 1.
inline uint64_t TestSeed() {
  const char* given = std::getenv("LAMINA_TEST_SEED");
  return given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
}

// Paths whose keys name the whole prefix.
class RequestMaker {
 public:
  explicit RequestMaker(uint64_t seed) : random_(seed) {}

  std::vector<uint64_t> Next() {
    const uint32_t what = random_.Below(10);
    if (what < 5 && !sessions_.empty()) return GoOn();
    std::vector<uint64_t> path = {kRoot};
    if (what < 7) path.push_back(kPrompts + random_.Below(20));
    Extend(&path, 1 + random_.Below(12));
    sessions_.push_back(path);
    if (sessions_.size() > kSessions) sessions_.pop_front();
    return path;
  }

  uint64_t NewKey() { return next_key_++; }
  SplitMix& random() { return random_; }

 private:
  static constexpr uint64_t kRoot = 1;
  static constexpr uint64_t kPrompts = 100;
  static constexpr size_t kSessions = 30;

  // A session's last, partial page is replaced, and some are new.
  std::vector<uint64_t> GoOn() {
    std::vector<uint64_t>& session =
        sessions_[random_.Below(static_cast<uint32_t>(sessions_.size()))];
    if (session.size() > 2 && random_.Below(8) != 0) session.pop_back();
    Extend(&session, 1 + random_.Below(4));
    return session;
  }

  void Extend(std::vector<uint64_t>* path, uint32_t pages) {
    for (uint32_t i = 0; i < pages; ++i) path->push_back(NewKey());
  }

  SplitMix random_;
  uint64_t next_key_ = 1000;
  std::deque<std::vector<uint64_t>> sessions_;
};

// Pages that no request had before.
inline std::vector<uint64_t> NewPath(RequestMaker* maker, size_t pages) {
  std::vector<uint64_t> path;
  for (size_t i = 0; i < pages; ++i) path.push_back(maker->NewKey());
  return path;
}

}  // namespace lamina

#endif  // LAMINA_TESTS_EVICTION_REQUESTS_H_
