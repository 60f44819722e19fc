// Stores on a simulated disk, driven by the test's thread alone, so that a history is the same each
// time.
#ifndef LAMINA_TESTS_STORE_SIMULATED_STORE_H_
#define LAMINA_TESTS_STORE_SIMULATED_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "engine/io/simulated_file_system.h"
#include "engine/store/store_impl.h"
#include "tests/store/store_fixture.h"

namespace lamina::testing {

// Changes what a store is opened with.
using ArrangeStore = std::function<void(StoreEnvironment*)>;

// The store "/store". Background work runs where a call waits for it, and through the scheduler.
// `capacity_bytes` may be less than the option allows; 0: the option.
inline Result<std::unique_ptr<Store>> OpenSimulatedStore(std::unique_ptr<FileSystem> fs,
                                                         const std::string& options = {},
                                                         uint64_t capacity_bytes = 0,
                                                         std::function<void()> put_is_over = {},
                                                         const ArrangeStore& arrange = {}) {
  StoreEnvironment environment;
  environment.file_system = std::move(fs);
  environment.seed = 5;
  environment.capacity_bytes = capacity_bytes;
  environment.background_threads = 0;
  environment.retry_after = std::chrono::milliseconds(0);
  environment.put_is_over = std::move(put_is_over);
  if (arrange) arrange(&environment);
  auto parsed = Options::Parse(
      "capacity_bytes=64M;min_free_bytes=0;memory_bytes=64M;memtable_bytes=64K;"
      "checkpoint_seconds=0;" +
      options);
  if (!parsed.ok()) return parsed.status();
  auto impl = Store::Impl::Open("/store", *parsed, std::move(environment));
  if (!impl.ok()) return impl.status();
  return std::make_unique<Store>(std::move(*impl));
}

// The bytes of the file, as the process sees them.
inline std::string SimulatedBytes(FileSystem& fs, const std::string& path) {
  auto file = fs.Open(path, {});
  if (!file.ok()) return {};
  std::string bytes(*(*file)->Size(), '\0');
  if (!(*file)->Read(0, std::as_writable_bytes(std::span(bytes))).ok()) return {};
  return bytes;
}

// The text behind "name": in a stats text, up to the next quote.
inline std::string TextOf(const std::string& json, const std::string& name) {
  const std::string key = "\"" + name + "\":\"";
  const size_t at = json.find(key);
  if (at == std::string::npos) return {};
  return json.substr(at + key.size(), json.find('"', at + key.size()) - at - key.size());
}

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_STORE_SIMULATED_STORE_H_
