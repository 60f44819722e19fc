// When a table, or a page that is to be moved, is given up because it cannot be read.
//
// A sector that the device cannot read stays that way more often than not. The merge that needs it
// would be tried for ever, and with it all compaction; the segment that it lies in could never be
// given up, however far the store is above its capacity. So after some tries what cannot be read is
// damage: it is left out, and its pages are misses. But a whole device that fails for a while (a
// path that is down, a controller that resets) must not cost the index, nor pages: what cannot be
// read is given up only while other parts of its file can be, as is not the case then, nor when
// there are no file descriptors left.
#ifndef LAMINA_ENGINE_STORE_READ_TRIES_H_
#define LAMINA_ENGINE_STORE_READ_TRIES_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "engine/io/file_system.h"

namespace lamina {

// Thread-safe.
class ReadTries {
 public:
  static constexpr uint32_t kTries = 3;

  // Notes that a job has met something in the file that cannot be read, a table (by its number), in
  // whole or in part, or a page (by its tag), and says whether it is given up. A job asks for each
  // such block of a table until it is told no.
  bool GiveUp(FileSystem& fs, uint64_t what, const std::string& path) noexcept;
  // It is gone.
  void Forget(uint64_t what) noexcept;

 private:
  std::mutex mutex_;
  std::map<uint64_t, uint32_t> tries_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_READ_TRIES_H_
