#include "tensorlog/log_dir.h"

#include <xxhash.h>

#include <bit>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "tensorlog/numbered_file.h"

namespace lamina {
namespace {

constexpr std::array<char, 8> kMarkerMagic = {'L', 'A', 'M', 'L', 'O', 'G', 'D', 'R'};
constexpr std::string_view kSegmentSuffix = ".segment";

uint64_t ChecksumOf(const LogDirMarker& marker) noexcept {
  return XXH3_64bits(&marker, offsetof(LogDirMarker, checksum));
}

std::string Hex(const StoreId& id) {
  char text[40];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(id.high),
                static_cast<unsigned long long>(id.low));
  return text;
}

Status WriteMarker(FileSystem& fs, const std::string& path, const StoreId& store_id,
                   uint32_t index) noexcept {
  LogDirMarker marker{};
  marker.magic = kMarkerMagic;
  marker.version = kLogDirFormatVersion;
  marker.index = index;
  marker.store_id = store_id;
  marker.checksum = ChecksumOf(marker);
  // By rename, so that a crash leaves no marker rather than half of one.
  const std::string final_path = path + "/" + kLogDirMarkerName;
  const std::string temporary = final_path + ".new";
  {
    LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                            fs.Open(temporary, {.write = true, .create = true, .truncate = true}));
    LAMINA_RETURN_IF_ERROR(file->Write(0, std::as_bytes(std::span(&marker, 1))));
    LAMINA_RETURN_IF_ERROR(file->Sync());
  }
  LAMINA_RETURN_IF_ERROR(fs.Rename(temporary, final_path));
  return fs.SyncDirectory(path);
}

Status CheckMarker(FileSystem& fs, const std::string& path, const StoreId& store_id,
                   uint32_t index) noexcept {
  const std::string marker_path = path + "/" + kLogDirMarkerName;
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(marker_path, {}));
  LAMINA_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  std::array<std::byte, sizeof(LogDirMarker)> bytes{};
  if (size == bytes.size()) LAMINA_RETURN_IF_ERROR(file->Read(0, bytes));
  const auto marker = std::bit_cast<LogDirMarker>(bytes);
  if (size != bytes.size() || marker.magic != kMarkerMagic ||
      marker.checksum != ChecksumOf(marker)) {
    return Status::Corruption(marker_path +
                              " is damaged, so it cannot be told whose directory this is; move the "
                              "directory away to go on without its pages");
  }
  if (marker.version != kLogDirFormatVersion) {
    return Status::NotSupported(marker_path + " has format version " +
                                std::to_string(marker.version) + ", this is version " +
                                std::to_string(kLogDirFormatVersion));
  }
  if (marker.store_id != store_id) {
    return Status::InvalidArgument("log directory " + path + " belongs to store " +
                                   Hex(marker.store_id) + ", not to this one, " + Hex(store_id));
  }
  if (marker.index != index) {
    return Status::InvalidArgument("log directory " + path + " is number " +
                                   std::to_string(marker.index) + " of this store, not number " +
                                   std::to_string(index) +
                                   ": give log_dirs in the order in which they were added");
  }
  return Status::Ok();
}

// Whether the directory is there, as one of this store; it is from here on with kCreate.
Result<bool> Join(FileSystem& fs, const std::string& path, const StoreId& store_id, uint32_t index,
                  bool create) noexcept {
  LAMINA_ASSIGN_OR_RETURN(bool exists, fs.Exists(path));
  if (!exists) {
    if (!create) return false;
    LAMINA_RETURN_IF_ERROR(fs.MakeDirectory(path));
  }
  LAMINA_ASSIGN_OR_RETURN(exists, fs.Exists(path + "/" + kLogDirMarkerName));
  if (exists) {
    LAMINA_RETURN_IF_ERROR(CheckMarker(fs, path, store_id, index));
    // One that the store does not know yet was made by a process that died: its names may not be
    // durable, and the store is about to rely on them.
    if (create) {
      LAMINA_RETURN_IF_ERROR(fs.MakeDirectory(path));
      LAMINA_RETURN_IF_ERROR(fs.SyncDirectory(path));
    }
    return true;
  }
  LAMINA_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(path));
  for (const std::string& name : names) {
    // A file system of its own has one of these at its root; a marker may be half made.
    if (name == "lost+found" || name == std::string(kLogDirMarkerName) + ".new") continue;
    return Status::InvalidArgument("log directory " + path + " holds " + name + " but no " +
                                   kLogDirMarkerName +
                                   ": it is not a log directory of a store; give an empty one");
  }
  // A mount point whose disk is not mounted looks like this.
  if (!create) return false;
  // Whoever made it may have failed, or died, before its name was durable.
  LAMINA_RETURN_IF_ERROR(fs.MakeDirectory(path));
  LAMINA_RETURN_IF_ERROR(WriteMarker(fs, path, store_id, index));
  return true;
}

}  // namespace

LogDir::LogDir(std::string path, uint32_t index, Status absence, bool unreadable) noexcept
    : path_(std::move(path)),
      index_(index),
      absence_(std::move(absence)),
      unreadable_(unreadable) {}

Result<std::unique_ptr<LogDir>> LogDir::Open(FileSystem& fs, std::string path,
                                             const StoreId& store_id, uint32_t index,
                                             IfMissing if_missing) noexcept {
  const bool create = if_missing == IfMissing::kCreate;
  const auto joined = Join(fs, path, store_id, index, create);
  // One ill disk does not keep the others from being used.
  const bool unreadable = joined.status().code() == StatusCode::kIoError && !create;
  Status absence;
  if (unreadable) {
    absence = Status::IoError("log directory " + path +
                              " cannot be used: " + std::string(joined.status().message()));
  } else {
    LAMINA_RETURN_IF_ERROR(joined.status());
    if (!*joined) absence = Status::IoError("log directory " + path + " is not there");
  }
  return std::unique_ptr<LogDir>(
      new LogDir(std::move(path), index, std::move(absence), unreadable));
}

void LogDir::Latch(Failure failure, const Status& reason) noexcept {
  const std::lock_guard lock(mutex_);
  if (reason_.ok()) reason_ = reason;
  if (failure == Failure::kSync) sync_failed_.store(true, std::memory_order_release);
  latched_.store(true, std::memory_order_release);
}

Status LogDir::latch_status() const noexcept {
  const std::lock_guard lock(mutex_);
  return reason_;
}

std::string LogDir::SegmentPath(uint32_t segment) const noexcept {
  return path_ + "/" + TenDigits(segment) + std::string(kSegmentSuffix);
}

bool ParseSegmentFileName(std::string_view name, uint32_t* segment) noexcept {
  uint64_t number = 0;
  if (!ParseNumberedFile(name, kSegmentSuffix, &number) || number > UINT32_MAX) return false;
  *segment = static_cast<uint32_t>(number);
  return true;
}

}  // namespace lamina
