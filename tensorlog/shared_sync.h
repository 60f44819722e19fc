// One fdatasync for many waiters.
//
// A sync covers only writes that were complete before it was issued. So a caller whose write is
// complete waits for the first sync that *starts* after its call; all who call while one runs share
// the next. A failed sync is never repeated: the kernel may have dropped the dirty pages, and a
// later success would say nothing about them. The failure stays.
#ifndef LAMINA_TENSORLOG_SHARED_SYNC_H_
#define LAMINA_TENSORLOG_SHARED_SYNC_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "engine/base/status.h"
#include "engine/io/file_system.h"

namespace lamina {

// Thread-safe.
class SharedSync {
 public:
  // Everything written to `file` before this call is on stable storage when it returns Ok. `file`
  // is the same at every call.
  Status Sync(File& file) noexcept;
  // Syncs that were issued.
  [[nodiscard]] uint64_t issued() const noexcept;

 private:
  mutable std::mutex mutex_;
  std::condition_variable done_;
  uint64_t started_ = 0;    // number of the latest sync issued
  uint64_t completed_ = 0;  // all up to this one have returned
  bool running_ = false;
  Status failure_;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_SHARED_SYNC_H_
