#include <cstring>
#include <memory>
#include <span>

#include "engine/index/aligned_bytes.h"
#include "engine/index/data_block.h"
#include "tools/common_text.h"
#include "tools/sst_dump_table.h"

namespace lamina::sst_dump {
namespace {

using tools::Record;

using Block = std::span<const std::byte, kTableBlockBytes>;

// A block or section: where, and whether it is what it says.
struct Place {
  BlockKind kind;
  uint64_t offset;
  uint64_t length;
  bool whole;
};

// Walks a table from its first byte to its last.
class Layout {
 public:
  Layout(File& file, uint64_t size, Report& report) : file_(file), size_(size), report_(report) {}

  Status Run() {
    const uint64_t whole = size_ / kTableBlockBytes * kTableBlockBytes;
    const AlignedBytes storage = NewAlignedBytes(kTableBlockBytes);
    const std::span<std::byte, kTableBlockBytes> block(storage.get(), kTableBlockBytes);
    if (whole > 0) {
      LAMINA_RETURN_IF_ERROR(file_.Read(whole - kTableBlockBytes, block));
      LAMINA_RETURN_IF_ERROR(LookAtFooter(block, whole));
    }
    for (uint64_t offset = 0; offset < whole && !report_.done();) {
      LAMINA_RETURN_IF_ERROR(file_.Read(offset, block));
      LAMINA_ASSIGN_OR_RETURN(const uint64_t bytes, Walk(offset, block, whole));
      offset += bytes;
    }
    if (whole != size_ || whole == 0) {
      Damaged("file", whole, size_ - whole,
              {"size", "whole blocks of 4096, at least one", std::to_string(size_)});
    }
    return Status::Ok();
  }

 private:
  // Learns the table's number. A damaged footer is reported when the walk comes to it.
  Status LookAtFooter(Block block, uint64_t whole) {
    TableFooter footer;
    switch (ReadFooter(block, whole, 0, &footer, &footer_mismatch_)) {
      case FooterState::kWhole:
        footer_whole_ = true;
        table_ = footer.table;
        break;
      case FooterState::kLaterVersion:
        return ParseFooter(file_.path(), block, whole, 0).status();
      case FooterState::kDamaged:
        break;
    }
    return Status::Ok();
  }

  // Returns how many bytes it accounted for.
  Result<uint64_t> Walk(uint64_t offset, Block block, uint64_t whole) {
    SectionHeader header;
    std::memcpy(&header, block.data(), sizeof header);
    const auto kind = static_cast<BlockKind>(header.kind);
    if (offset + kTableBlockBytes == whole) {
      if (!footer_whole_) Damaged("footer", offset, kTableBlockBytes, footer_mismatch_);
      const Place place = {BlockKind::kFooter, offset, kTableBlockBytes, footer_whole_};
      Print(place, RecordOf(place), {});
      return kTableBlockBytes;
    }
    const bool section = kind == BlockKind::kTopIndex || kind == BlockKind::kFilter ||
                         kind == BlockKind::kProperties;
    // What comes before the footer; a size that cannot be is taken for a block's.
    const uint64_t room = whole - kTableBlockBytes - offset;
    const bool fits = header.payload_bytes <= room && SectionBytes(header.payload_bytes) <= room;
    const uint64_t bytes = section && fits ? SectionBytes(header.payload_bytes) : kTableBlockBytes;
    const AlignedBytes storage = NewAlignedBytes(bytes);
    const std::span<std::byte> all(storage.get(), bytes);
    LAMINA_RETURN_IF_ERROR(file_.Read(offset, all));
    if (table_ == 0 && BlockChecksum(all) == header.checksum) table_ = header.table;
    Mismatch mismatch;
    if (!CheckIdentity(all, table_, offset, kind, &mismatch)) {
      Damaged(BlockKindName(kind), offset, kTableBlockBytes, mismatch);
      const Place place = {kind, offset, kTableBlockBytes, false};
      Print(place, RecordOf(place), {});
      return kTableBlockBytes;
    }
    const Place place = {kind, offset, bytes, true};
    if (kind == BlockKind::kData) {
      Data(place, block);
    } else if (kind == BlockKind::kIndex) {
      IndexBlockHeader index;
      std::memcpy(&index, block.data(), sizeof index);
      Print(place, RecordOf(place).Number("separators", uint64_t{index.count}),
            tools::Counted(index.count, "separator"));
    } else {
      Print(place, RecordOf(place).Number("payload_bytes", header.payload_bytes),
            tools::Counted(header.payload_bytes, "byte") + " of payload");
    }
    return bytes;
  }

  void Data(const Place& place, Block block) {
    DataBlockHeader header;
    std::memcpy(&header, block.data(), sizeof header);
    DataBlockCursor cursor;
    std::string first_key;
    if (cursor.Open(block) && cursor.Next()) first_key = KeyHex(cursor.key());
    Print(place,
          RecordOf(place)
              .Number("entries", uint64_t{header.entry_count})
              .Number("restarts", uint64_t{header.restart_count})
              .Number("entries_end", uint64_t{header.entries_end})
              .Text("first_key", first_key),
          fmt::format("{}, {}, from {}", tools::Counted(header.entry_count, "entry", "entries"),
                      tools::Counted(header.restart_count, "restart"), first_key));
    if (report_.options().verbose) {
      Entries(place.offset, block);
    } else if (*cursor.error() != '\0') {
      StructureDamage(place.offset, cursor);
    }
  }

  void Entries(uint64_t offset, Block block) {
    DataBlockCursor cursor;
    cursor.Open(block);
    for (uint32_t at = cursor.position(); cursor.Next(); at = cursor.position()) {
      Record record("block_entry");
      record.Text("file", file_.path()).Number("offset", offset + at);
      AddEntry(&record, cursor.key(), cursor.entry());
      report_.Print(record, report_.json() ? std::string()
                                           : fmt::format("{:>12}    {}\n", offset + at,
                                                         EntryText(cursor.key(), cursor.entry())));
    }
    if (*cursor.error() != '\0') StructureDamage(offset, cursor);
  }

  void StructureDamage(uint64_t offset, const DataBlockCursor& cursor) {
    Damaged("data block", offset, kTableBlockBytes,
            {"structure", "well-formed entries", cursor.error()});
  }

  [[nodiscard]] Record RecordOf(const Place& place) const {
    Record record("region");
    record.Text("file", file_.path())
        .Text("region", BlockKindName(place.kind))
        .Number("block", place.offset / kTableBlockBytes)
        .Number("offset", place.offset)
        .Number("length", place.length)
        .Flag("whole", place.whole);
    return record;
  }

  void Print(const Place& place, const Record& record, const std::string& text) {
    report_.Print(record,
                  fmt::format("{:>12} {:>9}  {} {}{}{}\n", place.offset, place.length,
                              BlockKindName(place.kind), place.offset / kTableBlockBytes,
                              place.whole ? "" : ": damaged", text.empty() ? "" : ": " + text));
  }

  void Damaged(const char* region, uint64_t offset, uint64_t length, Mismatch mismatch) {
    report_.Damaged({file_.path(), region, offset / kTableBlockBytes, offset, length,
                     std::move(mismatch.what), std::move(mismatch.expected),
                     std::move(mismatch.found)});
  }

  File& file_;
  const uint64_t size_;
  Report& report_;
  uint64_t table_ = 0;  // 0: not known yet
  bool footer_whole_ = false;
  Mismatch footer_mismatch_;
};

}  // namespace

void TableLayout(FileSystem& fs, const std::string& path, Report& report) {
  const auto file = fs.Open(path, {});
  if (!file.ok()) return report.Failed(path, file.status());
  const auto size = (*file)->Size();
  if (!size.ok()) return report.Failed(path, size.status());
  if (!report.json()) {
    report.out().Print("{}\n{:>12} {:>9}  region\n", tools::Printable(path), "offset", "length");
  }
  const Status status = Layout(**file, *size, report).Run();
  if (!status.ok()) report.Failed(path, status);
}

}  // namespace lamina::sst_dump
