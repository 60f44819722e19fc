// What store tests share: a directory of their own, pages whose bytes follow from their identity,
// and calls with all the arguments filled in.
#ifndef LAMINA_TESTS_STORE_STORE_FIXTURE_H_
#define LAMINA_TESTS_STORE_STORE_FIXTURE_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/lamina.h"

namespace lamina::testing {

// A fresh directory, removed at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* base = std::getenv("TMPDIR");
    std::string pattern = std::string(base == nullptr ? "/tmp" : base) + "/lamina-test-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }

 private:
  std::string path_;
};

// Small segments and memtables, so that tests meet their ends; LAMINA_TEST_OPTIONS is appended, so
// that the same tests run with other backends.
inline Options TestOptions(const std::string& text = {}) {
  std::string all =
      "capacity_bytes=1G;min_free_bytes=0;memory_bytes=128M;memtable_bytes=64K;" + text;
  if (const char* more = std::getenv("LAMINA_TEST_OPTIONS")) all += std::string(";") + more;
  auto options = Options::Parse(all);
  if (!options.ok()) std::abort();
  return *options;
}

// A number that a variable of the environment may replace.
inline uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Histories that end in a crash or a failure at every operation in turn do so at every so many
// where LAMINA_CRASH_STEP says so.
inline uint64_t CrashStep() { return FromEnvironment("LAMINA_CRASH_STEP", 1); }

inline std::unique_ptr<Store> OpenStore(const std::string& directory,
                                        const Options& options = TestOptions()) {
  auto store = Store::Open(directory, options);
  if (!store.ok()) {
    throw std::runtime_error("open " + directory + ": " + store.status().ToString());
  }
  return std::move(*store);
}

// The bytes of a page that is known by `seed`. Tests make millions of words, under sanitizers as
// well, so each costs one multiplication: a Weyl sequence from a start that is the seed's own,
// mixed.
inline std::vector<std::byte> Payload(uint64_t seed, size_t bytes) {
  std::vector<std::byte> payload(bytes);
  uint64_t state = (seed ^ (seed >> 32)) * 0xD6E8FEB86659FD93u + bytes;
  state ^= state >> 32;
  for (size_t i = 0; i < bytes; i += 8) {
    state += 0x9E3779B97F4A7C15u;
    uint64_t word = (state ^ (state >> 32)) * 0xD6E8FEB86659FD93u;
    word ^= word >> 32;
    std::memcpy(payload.data() + i, &word, bytes - i < 8 ? bytes - i : 8);
  }
  return payload;
}

// Libraries compare vectors of std::byte one by one, at a call each under a sanitizer.
inline bool SameBytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

// A path of pages of one token each, and the seed of each page's payload: a hash of the tokens so
// far.
struct TestPath {
  std::unique_ptr<Path> path;
  std::vector<uint64_t> seeds;
};

inline TestPath MakePath(Store& store, std::string_view root, const std::vector<uint32_t>& tokens) {
  TestPath made;
  auto path = store.PathFromTokens(root, tokens, 1);
  if (!path.ok()) throw std::runtime_error(path.status().ToString());
  made.path = std::move(*path);
  uint64_t h = std::hash<std::string_view>()(root);
  for (const uint32_t token : tokens) {
    h = (h ^ token) * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
    made.seeds.push_back(h);
  }
  return made;
}

inline std::vector<PageState> PutPages(Store& store, TestPath& path, size_t first, size_t count,
                                       size_t page_bytes, uint64_t salt = 0) {
  std::vector<std::vector<std::byte>> payloads;
  std::vector<const void*> buffers;
  const std::vector<size_t> sizes(count, page_bytes);
  for (size_t i = 0; i < count; ++i) {
    payloads.push_back(Payload(path.seeds[first + i] + salt, page_bytes));
    buffers.push_back(payloads.back().data());
  }
  std::vector<PageState> states(count);
  auto put = store.Put(*path.path, first, count, {buffers, sizes, 1}, states);
  if (!put.ok()) throw std::runtime_error("put: " + put.status().ToString());
  return states;
}

struct GetOutcome {
  std::vector<PageState> states;
  size_t wrong = 0;  // pages that are kOk with other bytes
};

inline GetOutcome GetPages(Store& store, TestPath& path, size_t first, size_t count,
                           size_t page_bytes, uint64_t salt = 0) {
  std::vector<std::vector<std::byte>> payloads(count, std::vector<std::byte>(page_bytes));
  std::vector<void*> buffers;
  const std::vector<size_t> sizes(count, page_bytes);
  for (auto& payload : payloads) buffers.push_back(payload.data());
  GetOutcome outcome;
  outcome.states.resize(count);
  auto got = store.Get(*path.path, first, count, {buffers, sizes, 1}, outcome.states);
  if (!got.ok()) throw std::runtime_error("get: " + got.status().ToString());
  for (size_t i = 0; i < count; ++i) {
    if (outcome.states[i] == PageState::kOk &&
        !SameBytes(payloads[i], Payload(path.seeds[first + i] + salt, page_bytes)))
      ++outcome.wrong;
  }
  return outcome;
}

inline size_t CountOk(const std::vector<PageState>& states) {
  return static_cast<size_t>(std::count(states.begin(), states.end(), PageState::kOk));
}

inline std::vector<PageState> ProbePages(Store& store, TestPath& path, size_t first, size_t count) {
  std::vector<PageState> states(count);
  auto probed = store.Probe(*path.path, first, count, states);
  if (!probed.ok()) throw std::runtime_error("probe: " + probed.status().ToString());
  return states;
}

inline std::vector<uint32_t> Tokens(uint32_t first, size_t count) {
  std::vector<uint32_t> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = first + static_cast<uint32_t>(i);
  return tokens;
}

// The number behind "name": in a stats text; 0 when it is not there.
inline uint64_t StatOf(const std::string& json, const std::string& name) {
  const size_t at = json.find("\"" + name + "\":");
  return at == std::string::npos ? 0
                                 : std::strtoull(json.c_str() + at + name.size() + 3, nullptr, 10);
}

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_STORE_STORE_FIXTURE_H_
