// What of a path's pages is in the segment files of a simulated disk, sector by sector.
#ifndef LAMINA_TESTS_STORE_SECTORS_H_
#define LAMINA_TESTS_STORE_SECTORS_H_

#include <sys/uio.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/store/simulated_store.h"

namespace lamina::testing {

inline constexpr size_t kSector = 512;

// The sectors of pages, known by their bytes.
class PageSectors {
 public:
  PageSectors(const TestPath& path, size_t page_bytes) : pages_(path.seeds.size()) {
    for (size_t page = 0; page < pages_; ++page) {
      const auto payload = Payload(path.seeds[page], page_bytes);
      for (size_t at = 0; at + kSector <= page_bytes; at += kSector)
        page_of_[{reinterpret_cast<const char*>(payload.data() + at), kSector}] = page;
    }
  }
  // How many sectors of each page these bytes hold.
  void Count(std::string_view bytes, std::vector<size_t>* found) const {
    for (size_t at = 0; at + kSector <= bytes.size(); at += kSector) {
      const auto page = page_of_.find(std::string(bytes.substr(at, kSector)));
      if (page != page_of_.end()) ++(*found)[page->second];
    }
  }
  [[nodiscard]] std::vector<size_t> In(std::span<const iovec> buffers) const {
    std::vector<size_t> found(pages_, 0);
    for (const iovec& buffer : buffers)
      Count({static_cast<const char*>(buffer.iov_base), buffer.iov_len}, &found);
    return found;
  }
  [[nodiscard]] std::vector<size_t> OnDisk(const SimulatedDisk& disk, FileSystem& fs) const {
    std::vector<size_t> found(pages_, 0);
    for (const std::string& name : disk.Files())
      if (name.ends_with(".segment")) Count(SimulatedBytes(fs, name), &found);
    return found;
  }

 private:
  const size_t pages_;
  std::unordered_map<std::string, size_t> page_of_;
};

// Pages [first, end) are nowhere in any part; of all others there is one copy.
inline void CheckGone(const std::vector<size_t>& sectors, size_t page_bytes, size_t first,
                      size_t end) {
  for (size_t page = 0; page < sectors.size(); ++page) {
    CAPTURE(page);
    CHECK(sectors[page] == (page >= first && page < end ? 0 : page_bytes / kSector));
  }
}

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_STORE_SECTORS_H_
