// A store in a known state, for what vlog-gc says of it.
#ifndef LAMINA_TESTS_TOOLS_VLOG_GC_FIXTURE_H_
#define LAMINA_TESTS_TOOLS_VLOG_GC_FIXTURE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/store/store_fixture.h"
#include "tests/tools/sst_dump_fixture.h"

namespace lamina::testing {

// In this process; `stop` as if a signal had come before.
DumpResult Gc(const std::vector<std::string>& arguments, bool stop = false);

// `paths` paths of `pages` pages of `page_bytes` each, put four pages at a time in turns. The same
// in every run: what is random in the store comes from a seed.
class GcStore {
 public:
  GcStore(uint32_t paths, size_t pages, size_t page_bytes, const std::string& options = "");

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string SegmentFile(uint32_t id) const;
  // As `du` counts what is in the log.
  [[nodiscard]] uint64_t LogBytes() const;

  // The store, opened when it is not.
  Store& store();
  // Closes it, and sets the times of its files to the future, so that their age is none.
  void Close();
  TestPath& path(uint32_t i) { return paths_[i]; }
  [[nodiscard]] uint32_t path_count() const { return path_count_; }
  [[nodiscard]] size_t pages() const { return pages_; }
  [[nodiscard]] size_t page_bytes() const { return page_bytes_; }

  struct Place {
    SlotRef slot;
    uint64_t tag = 0;
    std::string key;  // in hex
  };
  // Of a page of path `p`; segment 0 where it is not there.
  Place PlaceOf(uint32_t p, size_t page);
  // Leaves a random `live` per cent live: half of the rest is condemned, the other half freed.
  // Returns which are live, path by path.
  std::vector<std::vector<bool>> Thin(uint64_t seed, uint64_t live);

 private:
  TemporaryDirectory temporary_;
  const std::string directory_;
  const std::string options_;
  const uint32_t path_count_;
  const size_t pages_;
  const size_t page_bytes_;
  std::unique_ptr<Store> store_;
  std::vector<TestPath> paths_;
};

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_TOOLS_VLOG_GC_FIXTURE_H_
