// The files of the tensor log: journal, slot tables, markers, and what the policy has learned.
#include <xxhash.h>

#include <cstring>

#include "tensorlog/eviction/policy.h"
#include "tensorlog/eviction/state_format.h"
#include "tensorlog/journal_reader.h"
#include "tensorlog/slot_table.h"
#include "tests/fuzz/inputs.h"
#include "tests/fuzz/scratch_disk.h"
#include "tests/fuzz/targets.h"

namespace lamina::fuzz {
namespace {

// Touches all that a record hands out, so that a sanitizer sees what lies outside.
class Toucher final : public JournalVisitor {
 public:
  void OnPut(JournalPosition, const PutRecord& put) noexcept override { Touch(put); }
  void OnMove(JournalPosition, const MoveRecord& move) noexcept override {
    Touch(move.put);
    Require(move.from.size() == move.put.pages.size(), "a move says where each page was");
    for (const SlotRef slot : move.from) sum_ += slot.segment + slot.slot;
  }
  void OnSegmentStarted(JournalPosition, const SegmentInfo& segment) noexcept override {
    sum_ += segment.bytes();
  }

 private:
  void Touch(const PutRecord& put) noexcept {
    Require(!put.fingerprints.empty() && put.fingerprints.size() <= kMaxStemPages, "stems fit");
    Require(put.first_page + put.pages.size() == put.fingerprints.size(), "a page a fingerprint");
    for (const Fingerprint f : put.fingerprints) Require(f != 0, "no fingerprint is 0");
    for (const JournalPage& page : put.pages) {
      Require(page.length != 0, "no page is empty");
      sum_ += page.checksum + page.guard + page.slot.slot;
    }
  }
  uint64_t sum_ = 0;
};

}  // namespace

bool FuzzJournal(std::string_view input) {
  const bool seal = TakeMode(&input);
  std::string file(input);
  for (size_t at = 0; seal && at + kJournalBlockBytes <= file.size(); at += kJournalBlockBytes) {
    const size_t sum_at = at + kJournalBlockBytes - sizeof(uint64_t);
    const uint64_t sum = XXH3_64bits(file.data() + at, kJournalBlockBytes - sizeof sum);
    std::memcpy(file.data() + sum_at, &sum, sizeof sum);
  }
  ScratchDisk disk;
  disk.MakeDirectory("/j");
  disk.Put(JournalPath("/j", kInputJournalFile), file);
  Toucher toucher;
  const auto replay = ReplayJournal(disk.fs(), "/j", kInputStoreId, {}, toucher);
  return replay.ok() && replay->records > 0;
}

bool FuzzSlotTable(std::string_view input) {
  const bool seal = TakeMode(&input);
  std::string file(input);
  if (seal && file.size() >= sizeof(SlotTableHeader)) {
    SlotTableHeader header;
    std::memcpy(&header, file.data(), sizeof header);
    header.checksum = XXH3_64bits(&header, offsetof(SlotTableHeader, checksum));
    std::memcpy(file.data(), &header, sizeof header);
    constexpr size_t kRecords = kInputSlots * sizeof(SlotRecord);
    if (file.size() >= sizeof header + kRecords + sizeof(uint64_t)) {
      const uint64_t seed =
          header.generation * 0x9E3779B97F4A7C15u + (uint64_t{header.segment} << 32);
      const uint64_t sum = XXH3_64bits_withSeed(file.data() + sizeof header, kRecords, seed);
      std::memcpy(file.data() + sizeof header + kRecords, &sum, sizeof sum);
    }
  }
  ScratchDisk disk;
  disk.MakeDirectory("/s");
  const std::string path = SlotTablePath("/s", kInputSegment.id, 1);
  disk.Put(path, file);
  const auto dir = LogDir::Open(disk.fs(), "/log", kInputStoreId, 0, LogDir::IfMissing::kMiss);
  Require(dir.ok(), "a directory may be missing");
  const auto segment = Segment::Open(disk.fs(), **dir, kInputSegment, true);
  const auto load = LoadSlotTable(disk.fs(), path, kInputStoreId, *segment);
  if (!load.ok()) return false;
  Require(load->slots_loaded + load->slots_lost <= segment->slot_count(), "slots are counted once");
  uint64_t tagged = 0;
  for (uint32_t i = 0; i < segment->slot_count(); ++i) tagged += segment->slot(i).tag() != 0;
  Require(tagged == load->slots_loaded, "what was loaded is there");
  return load->problem.ok();
}

bool FuzzLogDirMarker(std::string_view input) {
  const bool seal = TakeMode(&input);
  std::string file(input);
  if (seal && file.size() >= sizeof(LogDirMarker)) {
    const uint64_t sum = XXH3_64bits(file.data(), offsetof(LogDirMarker, checksum));
    std::memcpy(file.data() + offsetof(LogDirMarker, checksum), &sum, sizeof sum);
  }
  ScratchDisk disk;
  disk.MakeDirectory("/log");
  disk.Put(std::string("/log/") + kLogDirMarkerName, file);
  const auto dir = LogDir::Open(disk.fs(), "/log", kInputStoreId, 0, LogDir::IfMissing::kMiss);
  return dir.ok() && (*dir)->present();
}

// After the mode: which policy it is for.
bool FuzzPolicy(std::string_view input) {
  const bool seal = TakeMode(&input);
  if (input.empty()) return false;
  PolicyOptions options;
  options.kind = static_cast<PolicyKind>(static_cast<uint8_t>(input[0]) % 3);
  options.capacity_pages = 100;
  options.record_bytes = 1 << 20;
  std::string state(input.substr(1));
  if (seal && state.size() >= sizeof(uint64_t)) {
    const size_t checked = state.size() - sizeof(uint64_t);
    const uint64_t sum = XXH3_64bits(state.data(), checked);
    std::memcpy(state.data() + checked, &sum, sizeof sum);
  }
  const auto policy = MakePolicy(options);
  if (!policy->Load(state).ok()) return false;
  std::string saved;
  policy->Save(&saved);
  const auto again = MakePolicy(options);
  Require(again->Load(saved).ok(), "a policy loads what it saves");
  (void)again->Explain();
  return true;
}

}  // namespace lamina::fuzz
