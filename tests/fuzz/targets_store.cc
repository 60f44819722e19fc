// The store's own files, and the texts that callers give it.
#include <xxhash.h>

#include <cstring>

#include "engine/store/collect.h"
#include "engine/store/manifest.h"
#include "engine/store/manifest_format.h"
#include "engine/store/policy_file.h"
#include "tensorlog/journal_format.h"
#include "tensorlog/slot_table.h"
#include "tests/fuzz/inputs.h"
#include "tests/fuzz/scratch_disk.h"
#include "tests/fuzz/targets.h"
#include "tuner/journal.h"
#include "tuner/journal_format.h"

namespace lamina::fuzz {
namespace {

std::string CurrentFor(const std::string& manifest) {
  char sum[24];
  std::snprintf(sum, sizeof sum, " %016llx\n",
                static_cast<unsigned long long>(XXH3_64bits(manifest.data(), manifest.size())));
  return manifest + sum;
}

void SealManifest(std::string* file) {
  ManifestHeader header;
  if (file->size() < sizeof header) return;
  std::memcpy(&header, file->data(), sizeof header);
  header.checksum = XXH3_64bits(&header, offsetof(ManifestHeader, checksum));
  std::memcpy(file->data(), &header, sizeof header);
  uint64_t number = 1;
  for (size_t at = sizeof header; file->size() - at >= sizeof(ManifestRecordHeader); ++number) {
    ManifestRecordHeader record;
    std::memcpy(&record, file->data() + at, sizeof record);
    const size_t room = file->size() - at - sizeof record;
    if (record.length > room) return;
    const char* const payload = file->data() + at + sizeof record;
    record.checksum = XXH3_64bits_withSeed(payload, record.length, number);
    std::memcpy(file->data() + at, &record, sizeof record);
    const size_t padded = (record.length + size_t{7}) / 8 * 8;
    if (padded > room) return;
    at += sizeof record + padded;
  }
}

// Whatever was read can be written, and reads back the same.
void CheckRoundTrip(const ManifestEdit& edit) {
  std::string bytes;
  edit.EncodeTo(&bytes);
  const auto again = ManifestEdit::Decode(bytes);
  Require(again.ok(), "an edit reads what it writes");
  std::string twice;
  again->EncodeTo(&twice);
  Require(twice == bytes, "an edit writes what it read");
}

}  // namespace

bool FuzzCurrent(std::string_view input) {
  (void)TakeMode(&input);
  ScratchDisk disk;
  disk.MakeDirectory("/store");
  disk.Put("/store/CURRENT", input);
  const auto loaded = LoadManifest(disk.fs(), "/store");
  Require(!loaded.ok(), "there is no manifest");
  // Whether it got as far as looking for one.
  return loaded.status().message().find("MANIFEST-") != std::string_view::npos &&
         loaded.status().message().find("expected a manifest's name") == std::string_view::npos;
}

bool FuzzManifest(std::string_view input) {
  const bool seal = TakeMode(&input);
  std::string file(input);
  if (seal) SealManifest(&file);
  const std::string name = ManifestFileName(kInputManifestFile);
  ScratchDisk disk;
  disk.MakeDirectory("/store");
  disk.Put("/store/CURRENT", CurrentFor(name));
  disk.Put("/store/" + name, file);
  const auto loaded = LoadManifest(disk.fs(), "/store");
  if (!loaded.ok()) return false;
  CheckRoundTrip(loaded->state.Snapshot());
  uint64_t number = 0;
  Require(loaded->state.policy_state.empty() ||
              ParsePolicyFileName(loaded->state.policy_state, &number),
          "a manifest names no file outside of its directory");
  return true;
}

bool FuzzManifestEdit(std::string_view input) {
  (void)TakeMode(&input);
  const auto edit = ManifestEdit::Decode(input);
  if (!edit.ok()) return false;
  CheckRoundTrip(*edit);
  ManifestState state;
  if (!state.Apply(*edit).ok()) return false;
  CheckRoundTrip(state.Snapshot());
  return true;
}

bool FuzzTunerJournal(std::string_view input) {
  const bool seal = TakeMode(&input);
  std::string file(input);
  constexpr size_t kBlock = tuner::kJournalBlockBytes;
  for (size_t at = 0; seal && at + kBlock <= file.size(); at += kBlock) {
    const uint64_t sum = XXH3_64bits(file.data() + at, tuner::kJournalChecksumOffset);
    std::memcpy(file.data() + at + tuner::kJournalChecksumOffset, &sum, sizeof sum);
  }
  tuner::Journal journal;
  const auto report = journal.Load(std::as_bytes(std::span(file)));
  (void)journal.ToJson();
  for (const auto& record : journal.records()) {
    const std::string block = tuner::EncodeBlock(record);
    Require(tuner::DecodeBlock(std::as_bytes(std::span(block))).ok(), "a record reads back");
  }
  return report.records > 0;
}

// Names that are parsed are the ones that are made: no other file is taken for one's own.
bool FuzzFileNames(std::string_view input) {
  (void)TakeMode(&input);
  uint64_t number = 0;
  uint32_t segment = 0;
  bool any = false;
  const auto same = [&](bool parsed, const std::string& made) {
    any = any || parsed;
    if (parsed) Require(made == input, "a name that was parsed is one that is made");
  };
  const bool manifest = ParseManifestFileName(input, &number);
  same(manifest, ManifestFileName(number));
  const bool journal = ParseJournalFileName(input, &number);
  same(journal, journal ? JournalPath("", number).substr(1) : "");
  const bool slots = ParseSlotTableFileName(input, &segment, &number);
  same(slots, slots ? SlotTablePath("", segment, number).substr(1) : "");
  const bool policy = ParsePolicyFileName(input, &number);
  same(policy, policy ? PolicyFileName(number) : "");
  return any;
}

bool FuzzOptions(std::string_view input) {
  (void)TakeMode(&input);
  const auto options = Options::Parse(input);
  if (!options.ok()) return false;
  const std::string text = options->ToString();
  const auto again = Options::Parse(text);
  Require(again.ok() && again->ToString() == text, "options read back what they write");
  return true;
}

bool FuzzCollectOptions(std::string_view input) {
  (void)TakeMode(&input);
  const auto options = CollectOptions::Parse(input);
  return options.ok() && options->target_bytes > 0;
}

}  // namespace lamina::fuzz
