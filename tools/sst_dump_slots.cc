#include "tools/sst_dump_slots.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tensorlog/slot_table.h"
#include "tensorlog/slot_table_format.h"
#include "tools/common_text.h"
#include "tools/sst_dump_recognise.h"

namespace lamina::sst_dump {
namespace {

using tools::HexOf64;
using tools::Record;
using tools::Unit;

constexpr uint64_t kMaxSlotTableBytes = uint64_t{1} << 32;

// As SaveSlotTable seeds it: a part of another table or place does not pass.
uint64_t PartChecksum(std::span<const SlotRecord> records, const SlotTableHeader& header,
                      uint32_t part) {
  const uint64_t seed =
      header.generation * 0x9E3779B97F4A7C15u + (uint64_t{header.segment} << 32 | part);
  return XXH3_64bits_withSeed(records.data(), records.size_bytes(), seed);
}

// What a record cannot be; empty if it can.
std::string Contradiction(const SlotRecord& record) {
  const auto state = static_cast<SlotState>(record.state);
  if (state == SlotState::kFree) return record.tag == 0 ? "" : "a free slot with a tag";
  if (state != SlotState::kLive && state != SlotState::kCondemned)
    return "state " + std::to_string(record.state);
  if (record.tag == 0) return "a page without a tag";
  if ((record.flags & ~kSlotRecordUnproven) != 0) return "flags " + std::to_string(record.flags);
  return {};
}

struct SlotTableFile {
  SlotTableHeader header{};
  uint64_t file_bytes = 0;
  uint64_t parts = 0;  // that were whole
  uint64_t live = 0;
  uint64_t condemned = 0;
  uint64_t unproven = 0;
  uint64_t lost = 0;  // in damaged parts, or contradicting themselves
};

struct Part {
  uint32_t number;
  uint64_t offset;
  uint64_t length;
  uint32_t first_slot;
  bool whole;
  std::span<const SlotRecord> records;
};

class SlotTableReader {
 public:
  SlotTableReader(std::string path, std::string bytes, const ExpectedSlotTable* expected,
                  Report& report, const std::function<void(const Part&)>& visit)
      : path_(std::move(path)),
        bytes_(std::move(bytes)),
        expected_(expected),
        report_(report),
        visit_(visit) {
    file_.file_bytes = bytes_.size();
  }

  Result<SlotTableFile> Run() {
    LAMINA_ASSIGN_OR_RETURN(const bool usable, ReadHeader());
    if (!usable) return file_;
    const uint64_t size = SlotTableBytes(file_.header.slot_count);
    if (bytes_.size() != size) {
      Damaged("file", {}, std::min<uint64_t>(size, bytes_.size()),
              std::max<uint64_t>(size, bytes_.size()) - std::min<uint64_t>(size, bytes_.size()),
              "size", std::to_string(size), std::to_string(bytes_.size()));
    }
    uint64_t offset = sizeof(SlotTableHeader);
    uint32_t first = 0;
    for (uint32_t part = 0; first < file_.header.slot_count; ++part) {
      const uint32_t count = std::min(file_.header.slot_count - first, kSlotsPerPart);
      ReadPart(part, offset, first, count);
      offset += count * sizeof(SlotRecord) + sizeof(uint64_t);
      first += count;
    }
    return file_;
  }

 private:
  // False when nothing behind the header can be understood.
  Result<bool> ReadHeader() {
    SlotTableHeader& header = file_.header;
    if (bytes_.size() < sizeof header) {
      Damaged("header", {}, 0, bytes_.size(), "size", std::to_string(sizeof header),
              std::to_string(bytes_.size()));
      return false;
    }
    std::memcpy(&header, bytes_.data(), sizeof header);
    const uint64_t sum = XXH3_64bits(&header, offsetof(SlotTableHeader, checksum));
    if (header.magic != kSlotTableMagic) {
      DamagedHeader("magic", tools::HexOf({kSlotTableMagic.data(), kSlotTableMagic.size()}),
                    tools::HexOf({header.magic.data(), header.magic.size()}));
      return false;
    }
    if (header.checksum != sum) {
      DamagedHeader("checksum", HexOf64(header.checksum), HexOf64(sum));
      return false;
    }
    if (header.version > kSlotTableVersion) {
      return Status::NotSupported(path_ + ": slot table format version " +
                                  std::to_string(header.version) + "; this build reads version " +
                                  std::to_string(kSlotTableVersion));
    }
    if (expected_ != nullptr) CompareHeader();
    return true;
  }

  // With what the manifest says.
  void CompareHeader() {
    const SlotTableHeader& header = file_.header;
    const auto compare = [&](const char* what, uint64_t expected, uint64_t found) {
      if (expected != found) DamagedHeader(what, std::to_string(expected), std::to_string(found));
    };
    if (header.store_id != expected_->store_id) {
      DamagedHeader("store", HexOf64(expected_->store_id.high) + HexOf64(expected_->store_id.low),
                    HexOf64(header.store_id.high) + HexOf64(header.store_id.low));
    }
    compare("segment", expected_->segment.id, header.segment);
    compare("generation", expected_->generation, header.generation);
    compare("slot bytes", expected_->segment.slot_bytes, header.slot_bytes);
    compare("slot count", expected_->segment.slot_count, header.slot_count);
  }

  void ReadPart(uint32_t part, uint64_t offset, uint32_t first, uint32_t count) {
    std::vector<SlotRecord> records(count);
    const uint64_t length = count * sizeof(SlotRecord) + sizeof(uint64_t);
    if (offset > bytes_.size() || bytes_.size() - offset < length) {
      Damaged("part", part, offset, length, "size", std::to_string(length),
              std::to_string(offset > bytes_.size() ? 0 : bytes_.size() - offset));
      file_.lost += count;
      return;
    }
    std::memcpy(records.data(), bytes_.data() + offset, count * sizeof(SlotRecord));
    uint64_t checksum;
    std::memcpy(&checksum, bytes_.data() + offset + length - sizeof checksum, sizeof checksum);
    const uint64_t sum = PartChecksum(records, file_.header, part);
    const bool whole = checksum == sum;
    if (whole) {
      ++file_.parts;
      for (uint32_t i = 0; i < count; ++i)
        Count(records[i], first + i, offset + i * sizeof(SlotRecord));
    } else {
      Damaged("part", part, offset, length, "checksum", HexOf64(checksum), HexOf64(sum));
      file_.lost += count;
    }
    if (visit_) visit_({part, offset, length, first, whole, records});
  }

  void Count(const SlotRecord& record, uint32_t slot, uint64_t offset) {
    if (const std::string wrong = Contradiction(record); !wrong.empty()) {
      Damaged("slot", slot, offset, sizeof record, "record", "one that can be", wrong);
      ++file_.lost;
      return;
    }
    if (record.tag == 0) return;
    ++(static_cast<SlotState>(record.state) == SlotState::kLive ? file_.live : file_.condemned);
    file_.unproven += (record.flags & kSlotRecordUnproven) != 0 ? 1 : 0;
  }

  void DamagedHeader(const char* what, std::string expected, std::string found) {
    Damaged("header", {}, 0, sizeof(SlotTableHeader), what, std::move(expected), std::move(found));
  }

  void Damaged(const char* region, std::optional<uint64_t> number, uint64_t offset, uint64_t length,
               const char* what, std::string expected, std::string found) {
    report_.Damaged(
        {path_, region, number, offset, length, what, std::move(expected), std::move(found)});
  }

  const std::string path_;
  const std::string bytes_;
  const ExpectedSlotTable* const expected_;
  Report& report_;
  const std::function<void(const Part&)>& visit_;
  SlotTableFile file_;
};

// Nothing if it could not be read; that was said then.
std::optional<SlotTableFile> Read(FileSystem& fs, const std::string& path,
                                  const ExpectedSlotTable* expected, Report& report,
                                  const std::function<void(const Part&)>& visit) {
  auto bytes = ReadWhole(fs, path, kMaxSlotTableBytes);
  auto file = bytes.ok() ? SlotTableReader(path, std::move(*bytes), expected, report, visit).Run()
                         : Result<SlotTableFile>(bytes.status());
  if (file.ok()) return *file;
  report.Failed(path, file.status());
  return std::nullopt;
}

void PrintSlot(const std::string& path, uint32_t slot, const SlotRecord& record, Report& report) {
  const bool live = static_cast<SlotState>(record.state) == SlotState::kLive;
  const bool unproven = (record.flags & kSlotRecordUnproven) != 0;
  report.Print(
      Record("slot")
          .Text("file", path)
          .Number("slot", uint64_t{slot})
          .Text("state", live ? "live" : "condemned")
          .Flag("unproven", unproven)
          .Text("tag", HexOf64(record.tag))
          .Number("root", uint64_t{record.root})
          .Text("heat", HexOf64(record.heat[0]) + HexOf64(record.heat[1])),
      fmt::format("slot {}  {}{}  tag {}  root {}  heat {} {}\n", slot, live ? "live" : "condemned",
                  unproven ? ", unproven" : "", HexOf64(record.tag), record.root,
                  HexOf64(record.heat[0]), HexOf64(record.heat[1])));
}

}  // namespace

void SlotTableProperties(FileSystem& fs, const std::string& path, Report& report) {
  const auto file = Read(fs, path, nullptr, report, {});
  if (!file) return;
  const SlotTableHeader& header = file->header;
  Record record("properties");
  record.Text("file", path)
      .Text("kind", "slot table")
      .Number("format_version", uint64_t{header.version})
      .Number("file_bytes", file->file_bytes, Unit::kBytes)
      .Number("segment", uint64_t{header.segment})
      .Number("generation", header.generation)
      .Number("checkpoint_epoch", header.checkpoint_epoch)
      .Number("checkpoint_sequence", header.checkpoint_sequence)
      .Number("slot_bytes", uint64_t{header.slot_bytes}, Unit::kBytes)
      .Number("slots", uint64_t{header.slot_count}, Unit::kCount)
      .Number("live", file->live, Unit::kCount)
      .Number("condemned", file->condemned, Unit::kCount)
      .Number("unproven", file->unproven, Unit::kCount)
      .Number("lost", file->lost, Unit::kCount)
      .Number("cursor",
              header.cursor == kNoCursor ? std::nullopt : std::optional<uint64_t>(header.cursor))
      .Text("store", HexOf64(header.store_id.high) + HexOf64(header.store_id.low));
  report.PrintTable(tools::Printable(path), record);
}

void SlotTableLayout(FileSystem& fs, const std::string& path, Report& report) {
  const auto region = [&](const char* name, uint64_t number, uint64_t offset, uint64_t length,
                          bool whole) {
    report.Print(Record("region")
                     .Text("file", path)
                     .Text("region", name)
                     .Number("block", number)
                     .Number("offset", offset)
                     .Number("length", length)
                     .Flag("whole", whole),
                 fmt::format("{:>12} {:>9}  {} {}{}\n", offset, length, name, number,
                             whole ? "" : ": damaged"));
  };
  if (!report.json())
    report.out().Print("{}\n{:>12} {:>9}  region\n", tools::Printable(path), "offset", "length");
  region("header", 0, 0, sizeof(SlotTableHeader), true);
  Read(fs, path, nullptr, report, [&](const Part& part) {
    region("part", part.number, part.offset, part.length, part.whole);
  });
}

void SlotTableScan(FileSystem& fs, const std::string& path, uint64_t* left, Report& report) {
  Read(fs, path, nullptr, report, [&](const Part& part) {
    if (!part.whole) return;
    for (uint32_t i = 0; i < part.records.size() && *left > 0 && !report.done(); ++i) {
      const SlotRecord& record = part.records[i];
      if (record.tag == 0 || !Contradiction(record).empty()) continue;
      PrintSlot(path, part.first_slot + i, record, report);
      --*left;
    }
  });
}

void SlotTableVerify(FileSystem& fs, const std::string& path, const ExpectedSlotTable* expected,
                     Report& report) {
  report.StartFile();
  const auto file = Read(fs, path, expected, report, {});
  if (!file) return;
  report.EndFile(path, "slot table", file->file_bytes,
                 fmt::format("{} live, {} condemned", tools::HumanCount(file->live),
                             tools::HumanCount(file->condemned)),
                 Record("file")
                     .Number("slots", uint64_t{file->header.slot_count})
                     .Number("live", file->live)
                     .Number("condemned", file->condemned)
                     .Number("lost", file->lost));
}

}  // namespace lamina::sst_dump
