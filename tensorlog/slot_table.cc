#include "tensorlog/slot_table.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "tensorlog/numbered_file.h"

namespace lamina {
namespace {

constexpr std::string_view kSuffix = ".slots";

uint64_t HeaderChecksum(const SlotTableHeader& header) noexcept {
  return XXH3_64bits(&header, offsetof(SlotTableHeader, checksum));
}

uint64_t PartChecksum(std::span<const SlotRecord> records, uint64_t generation, uint32_t segment,
                      uint32_t part) noexcept {
  const uint64_t seed = generation * 0x9E3779B97F4A7C15u + (uint64_t{segment} << 32 | part);
  return XXH3_64bits_withSeed(records.data(), records.size_bytes(), seed);
}

SlotRecord RecordOf(const Slot& slot) noexcept {
  SlotRecord record{};
  // The state first: if the slot is freed or taken meanwhile, the tag read after it is 0 or, after
  // a new publication, one whose put lies above the checkpoint; the caller looks that up later.
  const SlotState state = slot.state();
  if (state != SlotState::kLive && state != SlotState::kCondemned) return record;
  record.flags = slot.unproven() ? kSlotRecordUnproven : 0;
  record.root = slot.root();
  for (size_t i = 0; i < kHeatWords; ++i) record.heat[i] = slot.heat(i);
  record.state = static_cast<uint8_t>(state);
  record.tag = slot.tag();
  return record.tag == 0 ? SlotRecord{} : record;
}

// All bytes of a table.
std::string Encode(const StoreId& store_id, uint64_t generation, JournalPosition checkpoint,
                   uint32_t cursor, const Segment& segment) noexcept {
  std::vector<SlotRecord> records(segment.slot_count());
  for (uint32_t i = 0; i < segment.slot_count(); ++i) records[i] = RecordOf(segment.slot(i));
  // After the copies: a slot that was published anew meanwhile noted its put before its tag.
  if (segment.AnyPutAtOrAbove(checkpoint)) {
    const std::vector<bool> above = segment.PutAtOrAbove(checkpoint);
    for (uint32_t i = 0; i < segment.slot_count(); ++i) {
      if (above[i]) records[i] = {};
    }
  }

  SlotTableHeader header{};
  header.magic = kSlotTableMagic;
  header.version = kSlotTableVersion;
  header.segment = segment.id();
  header.store_id = store_id;
  header.generation = generation;
  header.checkpoint_epoch = checkpoint.epoch;
  header.checkpoint_sequence = checkpoint.sequence;
  header.slot_bytes = segment.slot_bytes();
  header.slot_count = segment.slot_count();
  header.cursor = cursor;
  header.checksum = HeaderChecksum(header);

  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  std::span<const SlotRecord> rest(records);
  for (uint32_t part = 0; !rest.empty(); ++part) {
    const auto now = rest.first(std::min<size_t>(rest.size(), kSlotsPerPart));
    const uint64_t checksum = PartChecksum(now, generation, segment.id(), part);
    bytes.append(reinterpret_cast<const char*>(now.data()), now.size_bytes());
    bytes.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
    rest = rest.subspan(now.size());
  }
  return bytes;
}

Status Damage(const std::string& path, std::string_view region, uint64_t offset,
              std::string_view what) noexcept {
  return Status::Corruption("slot table " + path + ", " + std::string(region) + " at offset " +
                            std::to_string(offset) + ": " + std::string(what) +
                            "; its slots are taken for empty");
}

std::string Hex(uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// Ok if the header is that of this segment's table.
Status CheckHeader(const SlotTableHeader& header, const std::string& path, const StoreId& store_id,
                   const Segment& segment) noexcept {
  if (header.magic != kSlotTableMagic) return Damage(path, "header", 0, "no slot table magic");
  if (header.checksum != HeaderChecksum(header)) {
    return Damage(
        path, "header", 0,
        "checksum is " + Hex(header.checksum) + ", expected " + Hex(HeaderChecksum(header)));
  }
  if (header.version != kSlotTableVersion) {
    return Status::NotSupported("slot table " + path + " has format version " +
                                std::to_string(header.version) + ", this is version " +
                                std::to_string(kSlotTableVersion));
  }
  if (header.store_id != store_id || header.segment != segment.id() ||
      header.slot_bytes != segment.slot_bytes() || header.slot_count != segment.slot_count()) {
    return Damage(path, "header", 0,
                  "it describes segment " + std::to_string(header.segment) + " of " +
                      std::to_string(header.slot_count) + " slots of " +
                      std::to_string(header.slot_bytes) + " bytes, not this one of this store");
  }
  return Status::Ok();
}

// Whether a record says something that can be.
bool Plausible(const SlotRecord& record) noexcept {
  const auto state = static_cast<SlotState>(record.state);
  if (state == SlotState::kFree) return record.tag == 0;
  return (state == SlotState::kLive || state == SlotState::kCondemned) && record.tag != 0 &&
         (record.flags & ~kSlotRecordUnproven) == 0;
}

void RestoreRecord(const SlotRecord& record, uint32_t i, Segment& segment,
                   SlotTableLoad* load) noexcept {
  if (!Plausible(record)) {
    ++load->slots_lost;
    return;
  }
  if (record.tag == 0) return;
  segment.Restore(i, static_cast<SlotState>(record.state),
                  (record.flags & kSlotRecordUnproven) != 0, record.tag, record.root, record.heat);
  ++load->slots_loaded;
}

// What a device may get wrong once is read again: a slot table that is given up costs the pages of
// its segment.
template <class Read>
Status Twice(const Read& read) noexcept {
  const Status first = read();
  return first.ok() ? first : read();
}

}  // namespace

std::string SlotTablePath(const std::string& directory, uint32_t segment,
                          uint64_t generation) noexcept {
  return directory + "/" + TenDigits(segment) + "-" + TenDigits(generation) + std::string(kSuffix);
}

bool ParseSlotTableFileName(std::string_view name, uint32_t* segment,
                            uint64_t* generation) noexcept {
  const size_t dash = name.find('-');
  uint64_t id = 0;
  if (dash == std::string_view::npos || !ParseNumberedFile(name.substr(0, dash), "", &id) ||
      id > UINT32_MAX || !ParseNumberedFile(name.substr(dash + 1), kSuffix, generation)) {
    return false;
  }
  *segment = static_cast<uint32_t>(id);
  return true;
}

uint64_t SlotTableBytes(uint32_t slot_count) noexcept {
  const uint64_t parts = (uint64_t{slot_count} + kSlotsPerPart - 1) / kSlotsPerPart;
  return sizeof(SlotTableHeader) + uint64_t{slot_count} * sizeof(SlotRecord) +
         parts * sizeof(uint64_t);
}

Status SaveSlotTable(FileSystem& fs, const std::string& path, const StoreId& store_id,
                     uint64_t generation, JournalPosition checkpoint, uint32_t cursor,
                     const Segment& segment) noexcept {
  const std::string bytes = Encode(store_id, generation, checkpoint, cursor, segment);
  LAMINA_CHECK(bytes.size() == SlotTableBytes(segment.slot_count()));
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          fs.Open(path, {.write = true, .create = true, .truncate = true}));
  LAMINA_RETURN_IF_ERROR(file->Write(0, std::as_bytes(std::span(bytes))));
  return file->Sync();
}

Result<SlotTableLoad> LoadSlotTable(FileSystem& fs, const std::string& path,
                                    const StoreId& store_id, Segment& segment) noexcept {
  SlotTableLoad load;
  const auto lost = [&](Status problem) {
    load.problem = std::move(problem);
    load.slots_lost = segment.slot_count();
    return load;
  };
  auto opened = fs.Open(path, {});
  if (!opened.ok()) return lost(opened.status());
  File& file = **opened;
  const auto size = file.Size();
  if (!size.ok()) return lost(size.status());

  SlotTableHeader header{};
  if (*size < sizeof header) {
    return lost(Damage(path, "header", 0, "the file has " + std::to_string(*size) + " bytes"));
  }
  const Status sound = Twice([&]() noexcept -> Status {
    LAMINA_RETURN_IF_ERROR(file.Read(0, std::as_writable_bytes(std::span(&header, 1))));
    return CheckHeader(header, path, store_id, segment);
  });
  if (sound.code() == StatusCode::kNotSupported) return sound;
  if (!sound.ok()) return lost(sound);
  load.generation = header.generation;
  if (header.cursor <= header.slot_count) load.cursor = header.cursor;

  std::vector<SlotRecord> records(kSlotsPerPart);
  uint64_t offset = sizeof header;
  uint32_t first = 0;
  for (uint32_t part = 0; first < segment.slot_count(); ++part) {
    const uint32_t count = std::min(segment.slot_count() - first, kSlotsPerPart);
    const auto now = std::span(records).first(count);
    Status status = Twice([&]() noexcept -> Status {
      uint64_t checksum = 0;
      LAMINA_RETURN_IF_ERROR(file.Read(offset, std::as_writable_bytes(now)));
      LAMINA_RETURN_IF_ERROR(
          file.Read(offset + now.size_bytes(), std::as_writable_bytes(std::span(&checksum, 1))));
      const uint64_t expected = PartChecksum(now, header.generation, header.segment, part);
      if (checksum == expected) return Status::Ok();
      return Damage(path, "part " + std::to_string(part), offset,
                    "checksum is " + Hex(checksum) + ", expected " + Hex(expected));
    });
    if (status.ok()) {
      for (uint32_t i = 0; i < count; ++i) RestoreRecord(now[i], first + i, segment, &load);
    } else {
      load.slots_lost += count;
      if (load.problem.ok()) load.problem = std::move(status);
    }
    offset += now.size_bytes() + sizeof(uint64_t);
    first += count;
  }
  if (load.problem.ok() && load.slots_lost > 0) {
    load.problem = Damage(path, "records", sizeof header,
                          std::to_string(load.slots_lost) + " contradict themselves");
  }
  return load;
}

}  // namespace lamina
