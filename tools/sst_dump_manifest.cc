#include "tools/sst_dump_manifest.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/store/manifest.h"
#include "engine/store/manifest_format.h"
#include "tools/common_text.h"
#include "tools/sst_dump_recognise.h"

namespace lamina::sst_dump {
namespace {

using tools::HexOf64;
using tools::Record;
using tools::Unit;

// A manifest is rewritten at kManifestRewriteBytes; its first record is the whole state and may be
// larger.
constexpr uint64_t kMaxManifestBytes = 16 * kManifestRewriteBytes;
// How many records in a row may be lost before the ones behind them are no longer recognised.
constexpr uint64_t kMostLost = 64;

uint64_t Padded(uint64_t length) { return (length + 7) / 8 * 8; }

class ManifestReader {
 public:
  ManifestReader(std::string path, std::string bytes, Report& report,
                 const std::function<void(const ManifestRecord&)>& visit)
      : path_(std::move(path)), bytes_(std::move(bytes)), report_(report), visit_(visit) {
    file_.file_bytes = bytes_.size();
  }

  Result<ManifestFile> Run() {
    LAMINA_RETURN_IF_ERROR(ReadHeader());
    uint64_t number = 1;
    uint64_t offset = sizeof(ManifestHeader);
    while (offset < bytes_.size()) {
      if (const auto payload = RecordAt(offset, number)) {
        offset += Take(number++, offset, *payload);
        continue;
      }
      const Found next = FindRecordBehind(offset, number);
      if (next.offset == bytes_.size() && number > 1 && WasCutOff(offset, number)) {
        file_.tail_bytes = bytes_.size() - offset;
        break;
      }
      DamagedRecord(number, offset, next.offset);
      offset = next.offset;
      number = next.number;
    }
    if (number == 1 && bytes_.size() <= sizeof(ManifestHeader))
      Damaged("record", 1, offset, 0, "missing", "the whole state", "nothing");
    return std::move(file_);
  }

 private:
  struct Found {
    uint64_t offset;  // the file's size: there is none
    uint64_t number;
  };

  Status ReadHeader() {
    ManifestHeader header{};
    if (bytes_.size() < sizeof header) {
      Damaged("header", 0, 0, bytes_.size(), "size", std::to_string(sizeof header),
              std::to_string(bytes_.size()));
      return Status::Ok();
    }
    std::memcpy(&header, bytes_.data(), sizeof header);
    const uint64_t sum = XXH3_64bits(&header, offsetof(ManifestHeader, checksum));
    if (header.magic == kManifestMagic && header.version > kManifestVersion &&
        sum == header.checksum) {
      return Status::NotSupported(
          path_ + ": manifest format version " + std::to_string(header.version) +
          "; this build reads versions up to " + std::to_string(kManifestVersion));
    }
    file_.file_number = header.file_number;
    file_.store_id = {header.store_id_high, header.store_id_low};
    uint64_t number = 0;
    const bool named = ParseManifestFileName(FileNameOf(path_), &number);
    if (header.magic != kManifestMagic) {
      DamagedHeader("magic", HexOf64(kManifestMagic), HexOf64(header.magic));
    } else if (sum != header.checksum) {
      DamagedHeader("checksum", HexOf64(header.checksum), HexOf64(sum));
    } else if (header.version < kOldestManifestVersion || header.version > kManifestVersion) {
      DamagedHeader("format version", std::to_string(kManifestVersion),
                    std::to_string(header.version));
    } else if (named && number != header.file_number) {
      DamagedHeader("file number", std::to_string(number), std::to_string(header.file_number));
    }
    return Status::Ok();
  }

  // The payload of record `number`, if a whole one lies at `offset`.
  [[nodiscard]] std::optional<std::string_view> RecordAt(uint64_t offset, uint64_t number) const {
    ManifestRecordHeader header;
    if (bytes_.size() - offset < sizeof header) return std::nullopt;
    std::memcpy(&header, bytes_.data() + offset, sizeof header);
    const std::string_view rest = std::string_view(bytes_).substr(offset + sizeof header);
    if (header.magic != kManifestRecordMagic || Padded(header.length) > rest.size())
      return std::nullopt;
    const std::string_view payload = rest.substr(0, header.length);
    if (XXH3_64bits_withSeed(payload.data(), payload.size(), number) != header.checksum)
      return std::nullopt;
    const std::string_view fill = rest.substr(header.length, Padded(header.length) - header.length);
    if (fill.find_first_not_of('\0') != std::string_view::npos) return std::nullopt;
    return payload;
  }

  // The next whole record behind a damaged one. Records begin at multiples of 8.
  [[nodiscard]] Found FindRecordBehind(uint64_t offset, uint64_t number) const {
    for (uint64_t at = offset + 8; at + sizeof(ManifestRecordHeader) <= bytes_.size(); at += 8) {
      uint32_t magic;
      std::memcpy(&magic, bytes_.data() + at, sizeof magic);
      if (magic != kManifestRecordMagic) continue;
      for (uint64_t lost = 1; lost <= kMostLost; ++lost) {
        if (RecordAt(at, number + lost)) return {at, number + lost};
      }
    }
    return {bytes_.size(), number};
  }

  // Whether what lies at the end may be an append that never arrived as a whole, rather than one
  // that did and has changed since. Sectors of such an append are missing or zero.
  [[nodiscard]] bool WasCutOff(uint64_t offset, uint64_t number) const {
    ManifestRecordHeader header;
    const std::string_view tail = std::string_view(bytes_).substr(offset);
    if (tail.size() < sizeof header || tail.size() % 8 != 0) return true;
    std::memcpy(&header, tail.data(), sizeof header);
    const uint64_t room = tail.size() - sizeof header;
    if (header.magic == kManifestRecordMagic && Padded(header.length) == room)
      return HasEmptySector(offset);
    // It is whole but for its magic or its length.
    for (uint64_t length = room < 8 ? 0 : room - 7; length <= room; ++length) {
      if (XXH3_64bits_withSeed(tail.data() + sizeof header, length, number) == header.checksum)
        return false;
    }
    return true;
  }

  [[nodiscard]] bool HasEmptySector(uint64_t offset) const {
    constexpr uint64_t kSectorBytes = 512;
    while (offset < bytes_.size()) {
      const uint64_t end =
          std::min<uint64_t>((offset / kSectorBytes + 1) * kSectorBytes, bytes_.size());
      const std::string_view sector = std::string_view(bytes_).substr(offset, end - offset);
      if (sector.find_first_not_of('\0') == std::string_view::npos) return true;
      offset = end;
    }
    return false;
  }

  // Returns the record's length.
  uint64_t Take(uint64_t number, uint64_t offset, std::string_view payload) {
    const uint64_t length = sizeof(ManifestRecordHeader) + Padded(payload.size());
    auto edit = ManifestEdit::Decode(payload);
    if (!edit.ok()) {
      Damaged("record", number, offset, length, "content", "fields that parse",
              std::string(edit.status().message()));
      return length;
    }
    const Status applied = file_.state.Apply(*edit);
    if (applied.ok()) {
      ++file_.edits;
    } else if (file_.whole) {
      Damaged("record", number, offset, length, "edit", "one that fits those before it",
              std::string(applied.message()));
    }  // After a lost record, later ones may well not fit.
    if (visit_) visit_({number, offset, length, std::move(*edit)});
    return length;
  }

  void DamagedRecord(uint64_t number, uint64_t offset, uint64_t end) {
    ManifestRecordHeader header{};
    const std::string_view rest = std::string_view(bytes_).substr(offset);
    if (rest.size() >= sizeof header) std::memcpy(&header, rest.data(), sizeof header);
    const uint64_t room = rest.size() < sizeof header ? 0 : rest.size() - sizeof header;
    const uint64_t length = end - offset;
    if (header.magic != kManifestRecordMagic) {
      Damaged("record", number, offset, length, "magic", HexOf64(kManifestRecordMagic),
              HexOf64(header.magic));
    } else if (Padded(header.length) > room) {
      Damaged("record", number, offset, length, "length", "at most " + std::to_string(room),
              std::to_string(header.length));
    } else {
      const uint64_t sum = XXH3_64bits_withSeed(rest.data() + sizeof header, header.length, number);
      if (sum != header.checksum) {
        Damaged("record", number, offset, length, "checksum", HexOf64(header.checksum),
                HexOf64(sum));
      } else {
        Damaged("record", number, offset, length, "fill", "zeros", "other bytes");
      }
    }
  }

  void DamagedHeader(const char* what, std::string expected, std::string found) {
    Damaged("header", 0, 0, sizeof(ManifestHeader), what, std::move(expected), std::move(found));
  }

  void Damaged(const char* region, uint64_t number, uint64_t offset, uint64_t length,
               const char* what, std::string expected, std::string found) {
    file_.whole = false;
    report_.Damaged(
        {path_, region, number, offset, length, what, std::move(expected), std::move(found)});
  }

  const std::string path_;
  const std::string bytes_;
  Report& report_;
  const std::function<void(const ManifestRecord&)>& visit_;
  ManifestFile file_;
};

// Reads it, and prints why that failed. Nothing then.
std::optional<ManifestFile> ReadOrSay(FileSystem& fs, const std::string& path, Report& report,
                                      const std::function<void(const ManifestRecord&)>& visit) {
  auto file = ReadManifestFile(fs, path, report, visit);
  if (file.ok()) return std::move(*file);
  report.Failed(path, file.status());
  return std::nullopt;
}

}  // namespace

Result<ManifestFile> ReadManifestFile(FileSystem& fs, const std::string& path, Report& report,
                                      const std::function<void(const ManifestRecord&)>& visit) {
  LAMINA_ASSIGN_OR_RETURN(std::string bytes, ReadWhole(fs, path, kMaxManifestBytes));
  return ManifestReader(path, std::move(bytes), report, visit).Run();
}

void ManifestProperties(FileSystem& fs, const std::string& path, Report& report) {
  const auto file = ReadOrSay(fs, path, report, {});
  if (!file) return;
  report.PrintTable(tools::Printable(path),
                    Record("properties")
                        .Text("file", path)
                        .Text("kind", "manifest")
                        .Number("number", file->file_number)
                        .Number("format_version", uint64_t{kManifestVersion})
                        .Number("file_bytes", file->file_bytes, Unit::kBytes)
                        .Text("store", HexOf64(file->store_id.high) + HexOf64(file->store_id.low))
                        .Number("edits", file->edits, Unit::kCount)
                        .Number("cut_off_bytes", file->tail_bytes, Unit::kBytes));
}

void ManifestLayout(FileSystem& fs, const std::string& path, Report& report) {
  const auto region = [&](const char* name, uint64_t number, uint64_t offset, uint64_t length) {
    report.Print(Record("region")
                     .Text("file", path)
                     .Text("region", name)
                     .Number("block", number)
                     .Number("offset", offset)
                     .Number("length", length)
                     .Flag("whole", true),
                 fmt::format("{:>12} {:>9}  {} {}\n", offset, length, name, number));
  };
  if (!report.json())
    report.out().Print("{}\n{:>12} {:>9}  region\n", tools::Printable(path), "offset", "length");
  region("header", 0, 0, sizeof(ManifestHeader));
  ReadOrSay(fs, path, report, [&](const ManifestRecord& record) {
    region("record", record.number, record.offset, record.length);
  });
}

std::optional<ManifestFile> ManifestVerify(FileSystem& fs, const std::string& path,
                                           Report& report) {
  report.StartFile();
  auto file = ReadOrSay(fs, path, report, {});
  if (!file) return std::nullopt;
  std::string details = tools::Counted(file->edits, "edit");
  if (file->tail_bytes > 0)
    details += ", an append of " + tools::Counted(file->tail_bytes, "byte") + " that was cut off";
  report.EndFile(
      path, "manifest", file->file_bytes, details,
      Record("file").Number("edits", file->edits).Number("cut_off_bytes", file->tail_bytes));
  return file;
}

}  // namespace lamina::sst_dump
