// Whose bytes a get hands out.
#include "engine/store/manifest.h"
#include "tensorlog/journal_writer.h"
#include "tests/mutations/scenario.h"

namespace lamina::testing {
namespace {

constexpr size_t kKeyBytes = 32;

// Puts a page under one path and asks for it through another.
std::string BrokenIfShared(Store& store, Path& owner, Path& other) {
  const auto payload = Payload(1, kPage);
  const void* in = payload.data();
  const size_t size = kPage;
  std::vector<PageState> states(1);
  const auto put = store.Put(owner, 0, 1, {std::span(&in, 1), std::span(&size, 1), 1}, states);
  Need(put.ok() && states[0] == PageState::kOk, "a put");
  std::vector<std::byte> back(kPage);
  void* out = back.data();
  const auto got = store.Get(other, 0, 1, {std::span(&out, 1), std::span(&size, 1), 1}, states);
  Need(got.ok(), "a get");
  return states[0] == PageState::kOk ? "a path reads a page that is not its own" : "";
}

}  // namespace

std::string DamagedPayloadsAreMisses() {
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  TestPath path = Model(*store, 8);
  PutAll(*store, path, 0, 8);
  DamagePayload(disk, *store, path, 5);
  std::vector<bool> promised(8, true);
  promised[5] = false;
  return Broken(*store, path, promised);
}

// A journal record that is whole and names, for one page, the slot and the checksum of another.
std::string EntriesOfOtherPagesAreMisses() {
  SimulatedDisk disk(1);
  JournalRecords records;
  {
    const auto store = Open(disk);
    TestPath owner = Model(*store, 1);
    PutAll(*store, owner, 0, 1);
    TestPath other = Model(*store, 1, 1000);
    const Entry entry = owner.path->impl()->locations[0].entry;
    const Path::Impl& thief = *other.path->impl();
    const JournalPage page = {entry.slot, entry.length, thief.guard(0), entry.checksum};
    const StemKey key = thief.stem_key(0);
    PutRecord record;
    record.root_name = thief.root->name;
    record.anchor = key.anchor;
    record.fingerprints = key.fingerprints;
    record.pages = std::span(&page, 1);
    records.AddPut(record);
    disk.Crash(SimulatedCrash::kProcess);
  }
  {
    const auto fs = disk.Restart();
    const auto manifest = LoadManifest(*fs, "/store");
    Need(manifest.ok(), "a manifest");
    JournalWriterOptions options;
    options.directory = "/store";
    options.store_id = manifest->store_id;
    options.epoch = manifest->state.open_epoch + 1;
    auto writer = JournalWriter::Open(*fs, options);
    Need(writer.ok(), "a journal");
    Need((*writer)->Append((*writer)->Begin(), records).ok(), "a journal block");
  }
  const auto store = Open(disk);
  TestPath other = Model(*store, 1, 1000);
  Need(CountOk(ProbePages(*store, other, 0, 1)) == 1, "an entry");
  return Broken(*store, other, {false});
}

std::string ShortTransfersAreResumed() {
  constexpr size_t kLarge = 65536;
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  TestPath path = Model(*store, 32);
  disk.SetFaults({.short_transfer = 0.5, .only_in = ".segment"});
  PutAll(*store, path, 0, 32, kLarge);
  return BrokenAll(*store, path, 32, kLarge);
}

std::string TokensHaveAllTheirBits() {
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  for (unsigned bit = 0; bit < 32; ++bit) {
    const std::vector<uint32_t> tokens = {5, 6, 7 + 100 * bit, 8};
    std::vector<uint32_t> others = tokens;
    others[2] ^= uint32_t{1} << bit;
    const auto owner = *store->PathFromTokens("model", tokens, 4);
    const auto other = *store->PathFromTokens("model", others, 4);
    if (std::string why = BrokenIfShared(*store, *owner, *other); !why.empty()) return why;
  }
  return {};
}

std::string KindsOfPathShareNothing() {
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  std::vector<uint8_t> bytes(kKeyBytes, 0x5A);
  std::vector<uint32_t> tokens(kKeyBytes / 4, 0x5A5A5A5A);
  const auto by_tokens = *store->PathFromTokens("model", tokens, kKeyBytes / 4);
  const auto by_digests = *store->PathFromDigests("model", bytes);
  const auto by_keys = *store->PathFromKeys("model", bytes);
  std::string why = BrokenIfShared(*store, *by_tokens, *by_digests);
  if (why.empty()) why = BrokenIfShared(*store, *by_tokens, *by_keys);
  if (why.empty()) why = BrokenIfShared(*store, *by_digests, *by_keys);
  return why;
}

std::string RootsMayHoldAnyBytes() {
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  const std::vector<uint32_t> tokens = {1, 2, 3, 4};
  using std::string_view_literals::operator""sv;
  const auto owner = *store->PathFromTokens("tenant\0a"sv, tokens, 4);
  const auto other = *store->PathFromTokens("tenant\0b"sv, tokens, 4);
  return BrokenIfShared(*store, *owner, *other);
}

}  // namespace lamina::testing
