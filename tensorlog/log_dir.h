// One directory of the tensor log, and the marker file that ties it to its store.
//
// A log directory may lie on a disk of its own, so it can be missing, empty (a mount point without
// its disk) or another store's. A marker file, written when the directory joins the store, tells
// these apart. A missing directory makes its pages misses, and so does one that cannot be read; a
// directory that belongs to something else is refused before anything in it is touched.
//
//  LAMINA_LOG, 64 bytes, little-endian, written once
//  +----------+-----------+---------+-------------+---------------+------------+
//  | magic  8 | version 4 | index 4 | store id 16 | zero       24 | checksum 8 |
//  +----------+-----------+---------+-------------+---------------+------------+
//  checksum: XXH3-64 of the 56 bytes before it. A marker of another size, magic or checksum is
//  kCorruption (the directory is not used, and the message says what to do); another version is
//  kNotSupported; another store id or index is kInvalidArgument.
#ifndef LAMINA_TENSORLOG_LOG_DIR_H_
#define LAMINA_TENSORLOG_LOG_DIR_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/io/file_system.h"

namespace lamina {

// 128 random bits that name a store.
struct StoreId {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const StoreId&, const StoreId&) = default;
};

inline constexpr char kLogDirMarkerName[] = "LAMINA_LOG";
inline constexpr uint32_t kLogDirFormatVersion = 1;

struct LogDirMarker {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t index;
  StoreId store_id;
  std::array<uint8_t, 24> zero;
  uint64_t checksum;
};
static_assert(sizeof(LogDirMarker) == 64);
static_assert(offsetof(LogDirMarker, version) == 8 && offsetof(LogDirMarker, index) == 12 &&
              offsetof(LogDirMarker, store_id) == 16 && offsetof(LogDirMarker, checksum) == 56);

// Thread-safe.
class LogDir {
 public:
  // How to meet a directory that is not there.
  enum class IfMissing : uint8_t {
    kCreate,  // it joins the store now: make it, or mark it if it exists and is empty
    kMiss,    // it joined before: present() is false, its pages are misses; also when it cannot be
              // told what is there, because something cannot be read
  };

  // Errors: kInvalidArgument when the directory belongs to another store or another index, or is
  // not empty and has no marker; kCorruption for a damaged marker; kIoError, with kCreate.
  static Result<std::unique_ptr<LogDir>> Open(FileSystem& fs, std::string path,
                                              const StoreId& store_id, uint32_t index,
                                              IfMissing if_missing) noexcept;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] uint32_t index() const noexcept { return index_; }
  [[nodiscard]] bool present() const noexcept { return absence_.ok(); }
  // Ok when it is present, or why not, naming it.
  [[nodiscard]] const Status& absence() const noexcept { return absence_; }
  // It is not present, and may be there all the same.
  [[nodiscard]] bool unreadable() const noexcept { return unreadable_; }

  // Present, and no write or sync in it has failed: new pages may go there.
  [[nodiscard]] bool writable() const noexcept {
    return present() && !latched_.load(std::memory_order_acquire);
  }
  // After a failed write or sync: reads go on, writes move to other directories. The first reason
  // stays until the store is opened again.
  enum class Failure : uint8_t { kWrite, kSync };
  void Latch(Failure failure, const Status& reason) noexcept;
  // What was written there since the last checkpoint may never have reached the device.
  [[nodiscard]] bool sync_failed() const noexcept {
    return sync_failed_.load(std::memory_order_acquire);
  }
  // Ok, or the reason.
  [[nodiscard]] Status latch_status() const noexcept;

  // `<path>/NNNNNNNNNN.segment`: made from ids only.
  [[nodiscard]] std::string SegmentPath(uint32_t segment) const noexcept;

 private:
  LogDir(std::string path, uint32_t index, Status absence, bool unreadable) noexcept;

  const std::string path_;
  const uint32_t index_;
  const Status absence_;
  const bool unreadable_;
  std::atomic<bool> latched_{false};
  std::atomic<bool> sync_failed_{false};
  mutable std::mutex mutex_;
  Status reason_;
};

// Whether `name` is `NNNNNNNNNN.segment`; then `segment` gets its id.
bool ParseSegmentFileName(std::string_view name, uint32_t* segment) noexcept;

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_LOG_DIR_H_
