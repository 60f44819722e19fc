#include "tools/sst_dump_journal_file.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "engine/base/coding.h"
#include "tensorlog/journal_format.h"
#include "tools/common_text.h"

namespace lamina::sst_dump {
namespace {

constexpr size_t kSectorBytes = 512;
constexpr uint32_t kBlocksPerRead = 256;
using Block = std::span<const std::byte>;

JournalBlockHeader HeaderOf(Block block) {
  JournalBlockHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  return header;
}

bool AllZero(Block bytes) {
  return bytes[0] == std::byte{0} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

// Whether some sector that the block's content reaches is still as it was reserved: the header's,
// those of the records, the checksum's.
bool HasUnwrittenSector(Block block) {
  const JournalBlockHeader header = HeaderOf(block);
  const size_t end = sizeof header + std::min<size_t>(header.record_bytes, kJournalRecordSpace);
  for (size_t at = 0; at < kJournalBlockBytes; at += kSectorBytes) {
    const bool reached = at < end || at + kSectorBytes == kJournalBlockBytes;
    if (reached && AllZero(block.subspan(at, kSectorBytes))) return true;
  }
  return false;
}

class JournalBlocks {
 public:
  JournalBlocks(File& file, std::optional<StoreId> store_id) : file_(file), wanted_(store_id) {}

  Result<JournalFileInfo> Run() {
    LAMINA_ASSIGN_OR_RETURN(info_.file_bytes, file_.Size());
    const uint64_t count = std::min<uint64_t>(info_.file_bytes / kJournalBlockBytes, UINT32_MAX);
    info_.blocks.assign(count, BlockState::kUnwritten);
    LAMINA_RETURN_IF_ERROR(
        ForEachBlock([this](uint32_t i, Block block) { return !Identify(i, block); }));
    if (info_.identified && info_.version > kJournalVersion) {
      return Status::NotSupported(file_.path() + ": journal format version " +
                                  std::to_string(info_.version) + "; this build reads version " +
                                  std::to_string(kJournalVersion));
    }
    LAMINA_RETURN_IF_ERROR(ForEachBlock([this](uint32_t i, Block block) {
      Judge(i, block);
      return true;
    }));
    LAMINA_RETURN_IF_ERROR(JudgeTail());
    return std::move(info_);
  }

 private:
  // Until `visit` returns false.
  template <class Visit>
  Status ForEachBlock(Visit visit) {
    std::vector<std::byte> window(kBlocksPerRead * kJournalBlockBytes);
    const auto count = static_cast<uint32_t>(info_.blocks.size());
    for (uint32_t first = 0; first < count; first += kBlocksPerRead) {
      const uint32_t now = std::min(kBlocksPerRead, count - first);
      const auto bytes = std::span(window).first(now * kJournalBlockBytes);
      LAMINA_RETURN_IF_ERROR(file_.Read(uint64_t{first} * kJournalBlockBytes, bytes));
      for (uint32_t i = 0; i < now; ++i) {
        if (!visit(first + i, Block(bytes.subspan(i * kJournalBlockBytes, kJournalBlockBytes))))
          return Status::Ok();
      }
    }
    return Status::Ok();
  }

  // The first block that is whole by itself says what file this is. False if this is none.
  bool Identify(uint32_t i, Block block) {
    const JournalBlockHeader header = HeaderOf(block);
    if (!IsJournalBlock(block.data(), wanted_.value_or(header.store_id), header.file, i))
      return false;
    info_.identified = true;
    info_.version = header.version;
    info_.store_id = header.store_id;
    info_.number = header.file;
    info_.epoch = header.epoch;
    info_.first_sequence = header.sequence - i;
    return true;
  }

  [[nodiscard]] bool Whole(uint32_t i, Block block) const {
    if (!info_.identified) return false;
    const JournalBlockHeader header = HeaderOf(block);
    return IsJournalBlock(block.data(), info_.store_id, info_.number, i) &&
           header.version == info_.version && header.epoch == info_.epoch &&
           header.sequence == info_.first_sequence + i;
  }

  void Judge(uint32_t i, Block block) {
    if (Whole(i, block)) {
      info_.blocks[i] = BlockState::kWhole;
      last_whole_ = i;
    } else if (!AllZero(block)) {
      info_.blocks[i] = HasUnwrittenSector(block) ? BlockState::kTorn : BlockState::kDamaged;
    }
  }

  // What was in flight lies within kMaxJournalBlocksInFlight of the first block that is not whole:
  // torn or unwritten blocks that are farther from the last whole one are damage. A writer may have
  // been at work meanwhile, so each is read again before it is called that.
  Status JudgeTail() {
    const uint64_t whole_end = last_whole_ ? uint64_t{*last_whole_} + 1 : 0;
    const uint64_t tail =
        whole_end > kMaxJournalBlocksInFlight ? whole_end - kMaxJournalBlocksInFlight : 0;
    std::vector<std::byte> block(kJournalBlockBytes);
    for (uint32_t i = 0; i < info_.blocks.size(); ++i) {
      BlockState& state = info_.blocks[i];
      if (state == BlockState::kWhole) continue;
      if (state == BlockState::kUnwritten && i >= whole_end) continue;
      const bool legal = i >= tail && i < whole_end + kMaxJournalBlocksInFlight;
      if (state != BlockState::kDamaged && legal) {
        state = BlockState::kTorn;
        continue;
      }
      LAMINA_RETURN_IF_ERROR(file_.Read(uint64_t{i} * kJournalBlockBytes, block));
      if (Whole(i, block)) {
        state = BlockState::kWhole;
        continue;
      }
      state = BlockState::kDamaged;
      info_.reasons.push_back(Reason(i, block));
    }
    return Status::Ok();
  }

  [[nodiscard]] std::string Reason(uint32_t i, Block block) const {
    if (AllZero(block)) return "zeros";
    const JournalBlockHeader header = HeaderOf(block);
    const auto stored = LoadFixed<uint64_t>(block.data() + kJournalBlockBytes - sizeof(uint64_t));
    const uint64_t sum = XXH3_64bits(block.data(), kJournalBlockBytes - sizeof(uint64_t));
    if (stored != sum) {
      return fmt::format("checksum {}, the block's is {}", tools::HexOf64(stored),
                         tools::HexOf64(sum));
    }
    return fmt::format(
        "block {} of file {}, epoch {}, sequence {}, of store {}{} (this is block {})",
        header.index, header.file, header.epoch, header.sequence,
        tools::HexOf64(header.store_id.high), tools::HexOf64(header.store_id.low), i);
  }

  File& file_;
  const std::optional<StoreId> wanted_;
  JournalFileInfo info_;
  std::optional<uint32_t> last_whole_;
};

}  // namespace

const char* BlockStateName(BlockState state) {
  switch (state) {
    case BlockState::kWhole:
      return "whole";
    case BlockState::kUnwritten:
      return "unwritten";
    case BlockState::kTorn:
      return "torn";
    case BlockState::kDamaged:
      return "damaged";
  }
  return "unknown";
}

uint64_t JournalFileInfo::Count(BlockState state) const {
  return static_cast<uint64_t>(std::count(blocks.begin(), blocks.end(), state));
}

Result<JournalFileInfo> ReadJournalFile(FileSystem& fs, const std::string& path,
                                        std::optional<StoreId> store_id) {
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, {}));
  return JournalBlocks(*file, store_id).Run();
}

}  // namespace lamina::sst_dump
