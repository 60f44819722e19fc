#include "tensorlog/journal_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/base/coding.h"

namespace lamina {
namespace {

constexpr uint32_t kBlocksPerRead = 256;

// Parses the records of one valid block.
class RecordParser {
 public:
  RecordParser(JournalPosition at, JournalVisitor& visitor, JournalReplay* replay) noexcept
      : at_(at), visitor_(visitor), replay_(replay) {}

  void Parse(std::string_view records) noexcept {
    Decoder decoder(records);
    while (decoder.remaining() > 0) {
      const auto type = decoder.Fixed<uint8_t>();
      const auto length = decoder.Fixed<uint16_t>();
      const std::string_view body = decoder.Raw(length);
      if (!decoder.ok()) {
        ++replay_->damaged_records;
        return;
      }
      ParseOne(type, body);
    }
  }

 private:
  void ParseOne(uint8_t type, std::string_view body) noexcept {
    bool parsed = false;
    switch (static_cast<JournalRecordType>(type)) {
      case JournalRecordType::kPut:
        parsed = ParsePages(body, /*move=*/false);
        break;
      case JournalRecordType::kMove:
        parsed = ParsePages(body, /*move=*/true);
        break;
      case JournalRecordType::kSegmentStarted:
        parsed = ParseSegmentStarted(body);
        break;
    }
    ++(parsed ? replay_->records : replay_->damaged_records);
  }

  bool ParsePages(std::string_view body, bool move) noexcept {
    Decoder decoder(body);
    MoveRecord record;
    PutRecord& put = record.put;
    put.root_name = decoder.Digest();
    put.root_epoch = decoder.Fixed<uint64_t>();
    put.anchor = decoder.Digest();
    const uint64_t stem_pages = decoder.Varint();
    const uint64_t first_page = decoder.Varint();
    if (!decoder.ok() || stem_pages > kMaxStemPages || first_page >= stem_pages) return false;
    for (size_t i = 0; i < stem_pages; ++i) {
      fingerprints_[i] = decoder.Fixed<uint64_t>();
      if (fingerprints_[i] == 0) return false;
    }
    const auto pages = static_cast<size_t>(stem_pages - first_page);
    for (size_t i = 0; i < pages; ++i) {
      JournalPage& page = pages_[i];
      page.guard = decoder.Fixed<uint32_t>();
      page.checksum = decoder.Fixed<uint64_t>();
      page.length = decoder.Varint32();
      page.slot.segment = decoder.Varint32();
      page.slot.slot = decoder.Varint32();
      if (move) from_[i] = SlotRef{decoder.Varint32(), decoder.Varint32()};
      if (page.length == 0) return false;
    }
    if (!decoder.done()) return false;
    put.fingerprints = std::span(fingerprints_).first(static_cast<size_t>(stem_pages));
    put.first_page = static_cast<uint32_t>(first_page);
    put.pages = std::span(pages_).first(pages);
    if (move) {
      record.from = std::span(from_).first(pages);
      visitor_.OnMove(at_, record);
    } else {
      visitor_.OnPut(at_, put);
    }
    return true;
  }

  bool ParseSegmentStarted(std::string_view body) noexcept {
    Decoder decoder(body);
    SegmentInfo segment;
    segment.id = decoder.Varint32();
    segment.log_dir = decoder.Varint32();
    segment.slot_bytes = decoder.Varint32();
    segment.slot_count = decoder.Varint32();
    if (!decoder.done()) return false;
    visitor_.OnSegmentStarted(at_, segment);
    return true;
  }

  const JournalPosition at_;
  JournalVisitor& visitor_;
  JournalReplay* const replay_;
  std::array<Fingerprint, kMaxStemPages> fingerprints_;
  std::array<JournalPage, kMaxStemPages> pages_;
  std::array<SlotRef, kMaxStemPages> from_;
};

// One journal file, read block by block through a window.
class JournalFile {
 public:
  JournalFile(std::unique_ptr<File> file, uint64_t number, uint64_t bytes,
              const StoreId& store_id) noexcept
      : file_(std::move(file)),
        number_(number),
        blocks_(static_cast<uint32_t>(std::min<uint64_t>(bytes / kJournalBlockBytes, UINT32_MAX))),
        store_id_(store_id) {}

  [[nodiscard]] uint32_t blocks() const noexcept { return blocks_; }
  [[nodiscard]] uint64_t number() const noexcept { return number_; }
  [[nodiscard]] const std::string& path() const noexcept { return file_->path(); }
  // Known after Identify.
  [[nodiscard]] JournalPosition first() const noexcept { return first_; }

  // Finds the first valid block, which says the epoch of all and the sequence of the first. False
  // when there is none within reach.
  bool Identify(JournalReplay* replay) noexcept {
    const auto reach = std::min<uint32_t>(blocks_, kMaxInvalidJournalBlocks);
    for (uint32_t i = 0; i < reach; ++i) {
      const std::byte* block = Block(i, replay);
      if (block == nullptr || !IsJournalBlock(block, store_id_, number_, i)) continue;
      const JournalBlockHeader header = LoadHeader(block);
      version_ = header.version;
      first_ = {header.epoch, header.sequence - i};
      return true;
    }
    return false;
  }
  [[nodiscard]] uint32_t version() const noexcept { return version_; }

  // The block if it is valid and one of this file's, nullptr if not.
  const std::byte* Valid(uint32_t i, JournalReplay* replay) noexcept {
    const std::byte* block = Block(i, replay);
    if (block == nullptr || !IsJournalBlock(block, store_id_, number_, i)) return nullptr;
    const JournalBlockHeader header = LoadHeader(block);
    const bool ours = header.version == version_ && header.epoch == first_.epoch &&
                      header.sequence == first_.sequence + i;
    return ours ? block : nullptr;
  }

  static JournalBlockHeader LoadHeader(const std::byte* block) noexcept {
    JournalBlockHeader header;
    std::memcpy(&header, block, sizeof header);
    return header;
  }

  // Gives the memory back; the next Block reads again.
  void Close() noexcept {
    window_ = AlignedBuffer();
    window_blocks_ = 0;
  }

 private:
  const std::byte* Block(uint32_t i, JournalReplay* replay) noexcept {
    if (i < window_first_ || i >= window_first_ + window_blocks_) Load(i, replay);
    const uint32_t at = i - window_first_;
    return readable_[at] ? window_.data() + at * kJournalBlockBytes : nullptr;
  }

  // Reads the window that holds block i. Where the device fails, block by block, so that one bad
  // sector costs one block.
  void Load(uint32_t i, JournalReplay* replay) noexcept {
    if (window_.size() == 0)
      window_ = AlignedBuffer(std::min(kBlocksPerRead, blocks_) * kJournalBlockBytes);
    window_first_ = i / kBlocksPerRead * kBlocksPerRead;
    window_blocks_ = std::min(kBlocksPerRead, blocks_ - window_first_);
    const uint64_t offset = uint64_t{window_first_} * kJournalBlockBytes;
    const auto whole = window_.span().first(window_blocks_ * kJournalBlockBytes);
    readable_.fill(true);
    if (file_->Read(offset, whole).ok()) return;
    for (uint32_t block = 0; block < window_blocks_; ++block) {
      const uint64_t at = uint64_t{block} * kJournalBlockBytes;
      Status status = file_->Read(offset + at, whole.subspan(at, kJournalBlockBytes));
      readable_[block] = status.ok();
      if (status.ok()) continue;
      ++replay->unreadable_blocks;
      if (replay->first_problem.ok()) replay->first_problem = std::move(status);
    }
  }

  std::unique_ptr<File> file_;
  const uint64_t number_;
  const uint32_t blocks_;
  const StoreId store_id_;
  uint32_t version_ = 0;
  JournalPosition first_;
  AlignedBuffer window_;
  uint32_t window_first_ = 0;
  uint32_t window_blocks_ = 0;
  std::array<bool, kBlocksPerRead> readable_{};
};

Result<std::vector<std::unique_ptr<JournalFile>>> OpenFiles(FileSystem& fs,
                                                            const std::string& directory,
                                                            const StoreId& store_id,
                                                            JournalReplay* replay) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(directory));
  std::vector<std::unique_ptr<JournalFile>> files;
  for (const std::string& name : names) {
    uint64_t number = 0;
    if (!ParseJournalFileName(name, &number)) continue;
    auto file = fs.Open(directory + "/" + name, {});
    // A follower may meet a file that the writer has just deleted.
    auto size = file.ok() ? (*file)->Size() : Result<uint64_t>(file.status());
    if (!size.ok()) {
      if (replay->first_problem.ok()) replay->first_problem = size.status();
      continue;
    }
    auto opened = std::make_unique<JournalFile>(std::move(*file), number, *size, store_id);
    if (!opened->Identify(replay)) continue;
    if (opened->version() != kJournalVersion) {
      return Status::NotSupported("journal file " + opened->path() + " has format version " +
                                  std::to_string(opened->version()) + ", this is version " +
                                  std::to_string(kJournalVersion));
    }
    opened->Close();
    files.push_back(std::move(opened));
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    return std::pair(a->first(), a->number()) < std::pair(b->first(), b->number());
  });
  return files;
}

void ReplayFile(JournalFile& file, JournalPosition from, JournalVisitor& visitor,
                JournalReplay* replay) noexcept {
  const JournalPosition first = file.first();
  uint64_t start = 0;
  if (first.epoch < from.epoch) return;
  if (first.epoch == from.epoch && first.sequence < from.sequence) {
    start = from.sequence - first.sequence;
  }
  if (start >= file.blocks()) return;
  ++replay->files;
  uint64_t invalid = 0;
  for (auto i = static_cast<uint32_t>(start);
       i < file.blocks() && invalid < kMaxInvalidJournalBlocks; ++i) {
    const std::byte* block = file.Valid(i, replay);
    if (block == nullptr) {
      ++invalid;
      continue;
    }
    replay->invalid_blocks += invalid;
    invalid = 0;
    ++replay->blocks;
    const JournalPosition at{first.epoch, first.sequence + i};
    replay->next = std::max(replay->next, {at.epoch, at.sequence + 1});
    const uint32_t bytes = JournalFile::LoadHeader(block).record_bytes;
    RecordParser(at, visitor, replay)
        .Parse({reinterpret_cast<const char*>(block) + sizeof(JournalBlockHeader), bytes});
  }
  file.Close();
}

}  // namespace

Result<JournalReplay> ReplayJournal(FileSystem& fs, const std::string& directory,
                                    const StoreId& store_id, JournalPosition from,
                                    JournalVisitor& visitor) noexcept {
  JournalReplay replay;
  replay.next = from;
  LAMINA_ASSIGN_OR_RETURN(const auto files, OpenFiles(fs, directory, store_id, &replay));
  for (const auto& file : files) {
    replay.max_epoch = std::max(replay.max_epoch, file->first().epoch);
    ReplayFile(*file, from, visitor, &replay);
  }
  return replay;
}

}  // namespace lamina
