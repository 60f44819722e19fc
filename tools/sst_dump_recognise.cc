#include "tools/sst_dump_recognise.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/index/table_format.h"
#include "engine/io/ballast.h"
#include "engine/store/manifest.h"
#include "engine/store/manifest_format.h"
#include "engine/store/policy_file.h"
#include "engine/store/view.h"
#include "tensorlog/journal_format.h"
#include "tensorlog/log_dir.h"
#include "tensorlog/slot_table.h"
#include "tensorlog/slot_table_format.h"
#include "tuner/journal_format.h"

namespace lamina::sst_dump {
namespace {

constexpr size_t kProbeBytes = kTableBlockBytes;
using Probe = std::array<std::byte, kProbeBytes>;

template <class T>
T Load(const Probe& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

Kind KindOfName(const std::string& name) {
  uint64_t number = 0;
  uint32_t segment = 0;
  if (ParseTableFileName(name, &number)) return Kind::kTable;
  if (ParseManifestFileName(name, &number)) return Kind::kManifest;
  if (ParseJournalFileName(name, &number)) return Kind::kJournal;
  if (ParseSlotTableFileName(name, &segment, &number)) return Kind::kSlotTable;
  const bool housekeeping = name == kCurrentFileName || name == "LOCK" || name == "CURRENT.tmp" ||
                            name == kBallastFileName || name == kLogDirMarkerName ||
                            ParseSegmentFileName(name, &segment) ||
                            ParsePolicyFileName(name, &number);
  return housekeeping ? Kind::kHousekeeping : Kind::kUnknown;
}

// Of the first bytes of a file, the rest of `head` being zero.
Kind KindOfHead(const Probe& head, bool whole_block) {
  if (Load<uint64_t>(head, 0) == kManifestMagic) return Kind::kManifest;
  if (std::memcmp(head.data(), kJournalMagic.data(), kJournalMagic.size()) == 0)
    return Kind::kJournal;
  if (std::memcmp(head.data(), kSlotTableMagic.data(), kSlotTableMagic.size()) == 0)
    return Kind::kSlotTable;
  if (Load<uint32_t>(head, 0) == tuner::kJournalMagic) return Kind::kTunerJournal;
  // A table whose footer is gone still begins with a data block that is whole.
  const auto header = Load<DataBlockHeader>(head, 0);
  if (whole_block && header.kind == static_cast<uint16_t>(BlockKind::kData) && header.block == 0 &&
      BlockChecksum(head) == header.checksum)
    return Kind::kTable;
  return Kind::kUnknown;
}

Result<Kind> KindOfFile(FileSystem& fs, const std::string& path) {
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, {}));
  LAMINA_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  // Names that are the store's own and whose files hold anything, tensors among them.
  const Kind by_name = KindOfName(FileNameOf(path));
  if (by_name == Kind::kHousekeeping) return by_name;
  Probe block{};
  const auto head = std::span(block).first(std::min<uint64_t>(size, kProbeBytes));
  LAMINA_RETURN_IF_ERROR(file->Read(0, head));
  const Kind by_head = KindOfHead(block, head.size() == kProbeBytes);
  if (by_head != Kind::kUnknown) return by_head;
  if (size >= kTableBlockBytes) {
    LAMINA_RETURN_IF_ERROR(
        file->Read(size / kTableBlockBytes * kTableBlockBytes - kTableBlockBytes, block));
    if (Load<uint64_t>(block, offsetof(TableFooter, magic)) == kTableMagic) return Kind::kTable;
  }
  return by_name;
}

Kind KindOfDirectory(const std::vector<std::string>& names) {
  bool manifest = false;
  for (const std::string& name : names) {
    if (name == kCurrentFileName) return Kind::kStore;
    manifest |= KindOfName(name) == Kind::kManifest;
  }
  return manifest ? Kind::kStore : Kind::kDirectory;
}

}  // namespace

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kUnknown:
      return "unknown";
    case Kind::kStore:
      return "store";
    case Kind::kDirectory:
      return "directory";
    case Kind::kTable:
      return "table";
    case Kind::kManifest:
      return "manifest";
    case Kind::kJournal:
      return "journal";
    case Kind::kSlotTable:
      return "slot table";
    case Kind::kTunerJournal:
      return "tuner journal";
    case Kind::kHousekeeping:
      return "store housekeeping";
  }
  return "unknown";
}

Result<Kind> Recognise(FileSystem& fs, const std::string& path) {
  LAMINA_ASSIGN_OR_RETURN(const bool exists, fs.Exists(path));
  if (!exists) return Status::IoError(path + ": there is no such file or directory");
  if (const auto names = fs.List(path); names.ok()) return KindOfDirectory(*names);
  return KindOfFile(fs, path);
}

std::string FileNameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Result<std::string> ReadWhole(FileSystem& fs, const std::string& path, uint64_t max_bytes) {
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, {}));
  LAMINA_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > max_bytes) {
    return Status::NotSupported(path + ": has " + std::to_string(size) +
                                " bytes; nothing that a store writes of its kind has more than " +
                                std::to_string(max_bytes));
  }
  std::string bytes(size, '\0');
  LAMINA_RETURN_IF_ERROR(file->Read(0, std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

}  // namespace lamina::sst_dump
