#include "engine/store/read_tries.h"

#include "engine/index/aligned_bytes.h"
#include "engine/index/table_format.h"

namespace lamina {
namespace {

// Whether the first, the middle or the last block can be read.
bool ReadsElsewhere(FileSystem& fs, const std::string& path) noexcept {
  const auto file = fs.Open(path, FileOpen{.direct = true});
  if (!file.ok()) return false;
  const auto bytes = (*file)->Size();
  if (!bytes.ok()) return false;
  const uint64_t blocks = *bytes / kTableBlockBytes;
  if (blocks == 0) return false;
  const AlignedBytes block = NewAlignedBytes(kTableBlockBytes);
  for (const uint64_t number : {uint64_t{0}, blocks / 2, blocks - 1}) {
    const std::span<std::byte> into(block.get(), kTableBlockBytes);
    if ((*file)->Read(number * kTableBlockBytes, into).ok()) return true;
  }
  return false;
}

}  // namespace

bool ReadTries::GiveUp(FileSystem& fs, uint64_t what, const std::string& path) noexcept {
  {
    std::lock_guard lock(mutex_);
    uint32_t& tries = tries_[what];
    if (tries < kTries) ++tries;
    if (tries < kTries) return false;
  }
  return ReadsElsewhere(fs, path);
}

void ReadTries::Forget(uint64_t what) noexcept {
  std::lock_guard lock(mutex_);
  tries_.erase(what);
}

}  // namespace lamina
