// The manifest: what it keeps, what it refuses, and that its bytes stay what they are.
#include "engine/store/manifest.h"

#include <xxhash.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "engine/io/ballast.h"
#include "engine/io/posix_file_system.h"
#include "engine/io/simulated_file_system.h"
#include "engine/store/manifest_format.h"
#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

using Catch::Contains;

TableMeta SomeTable(uint64_t number, uint64_t key) {
  TableMeta table;
  table.number = number;
  table.file_bytes = 8192;
  table.entry_count = 10;
  table.page_count = 9;
  table.stem_count = 2;
  table.data_blocks = 1;
  table.filter_bits_per_key = 10.5;
  table.filter_bytes = 64;
  table.top_index_bytes = 100;
  table.smallest.anchor = {key, 1};
  table.smallest.fingerprints = {1, 2};
  table.largest.anchor = {key, 2};
  table.largest.fingerprints = {3};
  return table;
}

ManifestState SomeState() {
  ManifestState state;
  for (size_t i = 0; i < kSecretBytes; ++i) state.creation.secret[i] = static_cast<uint8_t>(i);
  ManifestEdit edit;
  edit.next_file_number = 9;
  edit.next_segment_id = 5;
  edit.next_run_id = 3;
  edit.roots.push_back({{1, 2}, "model", 1, 7});
  edit.log_dirs.emplace_back(0, "/data/log");
  edit.add_segments.push_back({4, 0, 65536, 16});
  edit.slot_tables.emplace_back(4, 8);
  Run run;
  run.id = 2;
  run.oldest_flush = run.newest_flush = 1;
  run.tables = {SomeTable(6, 1), SomeTable(7, 2)};
  run.Summarize();
  edit.tree.add_runs.push_back(run);
  edit.checkpoint = JournalPosition{3, 44};
  edit.shape = "lazy:10";
  REQUIRE(state.Apply(edit).ok());
  return state;
}

std::string Encoded(const ManifestState& state) {
  std::string bytes;
  state.Snapshot().EncodeTo(&bytes);
  return bytes;
}

struct Fixture {
  const TemporaryDirectory directory;
  std::unique_ptr<PosixFileSystem> fs = *PosixFileSystem::Create({});
  std::unique_ptr<Manifest> Start() {
    return *Manifest::Start(*fs, directory.path(), {11, 22}, SomeState());
  }
  std::string File() {
    return directory / ManifestFileName(LoadManifest(*fs, directory.path())->file_number);
  }
};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_CASE("an edit decodes to what was encoded, and any cut or unknown field is corruption") {
  const std::string bytes = Encoded(SomeState());
  const auto edit = ManifestEdit::Decode(bytes);
  REQUIRE(edit.ok());
  ManifestState state;
  REQUIRE(state.Apply(*edit).ok());
  REQUIRE(Encoded(state) == bytes);
  size_t refused = 0;
  for (size_t cut = 1; cut < bytes.size(); ++cut)
    refused += ManifestEdit::Decode(bytes.substr(0, cut)).ok() ? 0 : 1;
  REQUIRE(refused > bytes.size() * 9 / 10);  // a cut between fields is a shorter edit
  REQUIRE(ManifestEdit::Decode(std::string("\x7f\x01", 2)).status().code() ==
          StatusCode::kCorruption);
}

TEST_CASE("what was committed is loaded again, and edits that do not fit are refused") {
  Fixture f;
  auto manifest = f.Start();
  ManifestEdit edit;
  edit.drop_segments.push_back(4);
  edit.clean_close = true;
  REQUIRE(manifest->Commit(edit).ok());
  ManifestEdit misfit;
  misfit.drop_segments.push_back(4);
  REQUIRE(manifest->Commit(misfit).code() == StatusCode::kCorruption);
  manifest.reset();
  const auto loaded = LoadManifest(*f.fs, f.directory.path());
  REQUIRE(loaded.ok());
  REQUIRE(loaded->state.segments.empty());
  REQUIRE(loaded->state.clean_close);
  REQUIRE(loaded->store_id == StoreId{11, 22});
  REQUIRE(loaded->edits == 2);
}

TEST_CASE(
    "an append that was cut off is ignored; damage before the end is reported with its place") {
  Fixture f;
  auto manifest = f.Start();
  const size_t first = manifest->bytes();
  for (int i = 0; i < 3; ++i) {
    ManifestEdit edit;
    edit.epoch_counter = static_cast<uint64_t>(i);
    REQUIRE(manifest->Commit(edit).ok());
  }
  manifest.reset();
  const std::string path = f.File();
  const std::string bytes = ReadFile(path);
  WriteFile(path, bytes.substr(0, bytes.size() - 3));
  auto loaded = LoadManifest(*f.fs, f.directory.path());
  REQUIRE(loaded.ok());
  REQUIRE(loaded->edits == 3);
  REQUIRE(loaded->ignored_tail_bytes > 0);
  std::string damaged = bytes;
  damaged[first + 17] ^= 1;
  WriteFile(path, damaged);
  loaded = LoadManifest(*f.fs, f.directory.path());
  REQUIRE(loaded.status().code() == StatusCode::kCorruption);
  REQUIRE_THAT(std::string(loaded.status().message()),
               Contains(path) && Contains("offset " + std::to_string(first)));
}

TEST_CASE(
    "every flipped bit of a manifest or of CURRENT is noticed, or costs the last edit alone") {
  Fixture f;
  auto manifest = f.Start();
  ManifestEdit edit;
  edit.epoch_counter = 5;
  REQUIRE(manifest->Commit(edit).ok());
  const size_t last = manifest->bytes();
  manifest.reset();
  const std::string path = f.File();
  const std::string current = f.directory / kCurrentFileName;
  for (const std::string& name : {path, current}) {
    const std::string bytes = ReadFile(name);
    for (size_t at = 0; at < bytes.size(); ++at) {
      std::string damaged = bytes;
      damaged[at] ^= static_cast<char>(1 << (at % 8));
      WriteFile(name, damaged);
      const auto loaded = LoadManifest(*f.fs, f.directory.path());
      if (loaded.ok()) REQUIRE((loaded->edits == 1 && loaded->ignored_tail_bytes > 0));
    }
    WriteFile(name, bytes);
  }
  REQUIRE(last == ReadFile(path).size());
}

TEST_CASE("a manifest of an earlier version is read, one of a later is refused by its number") {
  Fixture f;
  f.Start();
  const std::string path = f.File();
  const std::string bytes = ReadFile(path);
  const auto load_as = [&](uint32_t version) {
    ManifestHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    header.version = version;
    header.checksum = XXH3_64bits(&header, offsetof(ManifestHeader, checksum));
    std::string other = bytes;
    std::memcpy(other.data(), &header, sizeof header);
    WriteFile(path, other);
    auto loaded = LoadManifest(*f.fs, f.directory.path());
    WriteFile(path, bytes);
    return loaded.status();
  };
  for (uint32_t version = kOldestManifestVersion; version <= kManifestVersion; ++version)
    CHECK(load_as(version).ok());
  for (const uint32_t version : {kOldestManifestVersion - 1, kManifestVersion + 1}) {
    const Status refused = load_as(version);
    CHECK(refused.code() == StatusCode::kNotSupported);
    CHECK_THAT(std::string(refused.message()), Contains("version " + std::to_string(version)));
  }
}

TEST_CASE("a manifest file has the bytes it always had") {
  Fixture f;
  f.Start();
  const std::string bytes = ReadFile(f.File());
  const std::string golden = std::string(LAMINA_GOLDENS) + "/manifest.bin";
  if (std::getenv("LAMINA_REWRITE_GOLDENS") != nullptr) WriteFile(golden, bytes);
  REQUIRE(bytes == ReadFile(golden));
}

// A manifest on a disk that fails as it is told to.
struct FailingDisk {
  explicit FailingDisk(bool with_ballast = false) {
    REQUIRE(fs->MakeDirectory("/m").ok());
    manifest =
        *Manifest::Start(*fs, "/m", {11, 22}, SomeState(), with_ballast ? &ballast : nullptr);
    if (with_ballast) REQUIRE(ballast.Make().ok());
  }
  Status Commit(uint64_t counter) {
    ManifestEdit edit;
    edit.epoch_counter = counter;
    return manifest->Commit(edit);
  }
  // What the next process finds.
  uint64_t Counter() {
    const auto after = disk.Restart();
    const auto loaded = LoadManifest(*after, "/m");
    REQUIRE(loaded.ok());
    return loaded->state.epoch_counter;
  }

  SimulatedDisk disk{3};
  std::unique_ptr<FileSystem> fs = disk.Restart();
  Ballast ballast{*fs, "/m", kBallastBytes, 0};
  std::unique_ptr<Manifest> manifest;
};

TEST_CASE("an edit that lacked space leaves nothing behind, and the next one goes through") {
  const int error = GENERATE(ENOSPC, EDQUOT);
  FailingDisk f;
  REQUIRE(f.Commit(1).ok());
  const uint64_t bytes = f.manifest->bytes();
  f.disk.FailOperation(1, error);
  REQUIRE(f.Commit(2).code() == StatusCode::kNoSpace);
  REQUIRE(f.manifest->status().ok());
  REQUIRE(f.manifest->state().epoch_counter == 1);
  REQUIRE(f.manifest->bytes() == bytes);
  bool more = GENERATE(false, true);
  if (more) REQUIRE(f.Commit(3).ok());
  f.disk.Crash(SimulatedCrash::kPower);
  REQUIRE(f.Counter() == (more ? 3 : 1));
}

TEST_CASE("an edit that lacks space is written with what the ballast gives") {
  FailingDisk f(true);
  f.disk.FailOperation(1, ENOSPC);
  REQUIRE(f.Commit(2).ok());
  REQUIRE(f.ballast.uses() == 1);
  f.disk.Crash(SimulatedCrash::kPower);
  REQUIRE(f.Counter() == 2);
}

TEST_CASE("a sync of the manifest is never repeated, whatever it failed with") {
  const int error = GENERATE(EIO, ENOSPC);
  FailingDisk f(true);
  f.disk.FailOperation(2, error);
  const Status failed = f.Commit(2);
  REQUIRE_FALSE(failed.ok());
  REQUIRE(f.ballast.uses() == 0);
  const uint64_t operations = f.disk.operations();
  REQUIRE(f.Commit(3).message() == failed.message());
  REQUIRE(f.manifest->status().message() == failed.message());
  REQUIRE(f.disk.operations() == operations);
}

TEST_CASE("an edit that lacked space and cannot be taken back latches the manifest") {
  FailingDisk f;
  const uint64_t count = GENERATE(2U, 3U);  // the cut fails, or its sync
  f.disk.FailOperation(1, ENOSPC, count);
  // Not kNoSpace, which says that the edit is not on the disk.
  REQUIRE(f.Commit(2).code() == StatusCode::kIoError);
  f.disk.FailOperation(0, 0);
  REQUIRE_FALSE(f.manifest->status().ok());
  REQUIRE_FALSE(f.Commit(3).ok());
}

TEST_CASE("a manifest that cannot be rewritten for lack of space goes on in the old file") {
  FailingDisk f;
  ManifestEdit large;
  large.device_model = std::string(4 << 20, 'x');
  while (f.manifest->bytes() + (4 << 20) < kManifestRewriteBytes)
    REQUIRE(f.manifest->Commit(large).ok());
  const uint64_t number = f.manifest->file_number();
  // Behind the edit and its sync: the making of the new file, its writes, CURRENT's.
  f.disk.FailOperation(GENERATE(3U, 4U, 5U, 7U, 8U), ENOSPC);
  large.device_model = std::string(5 << 20, 'y');
  large.epoch_counter = 7;
  REQUIRE(f.manifest->Commit(large).ok());
  REQUIRE(f.disk.counts().faults == 1);
  REQUIRE(f.manifest->status().ok());
  REQUIRE(f.manifest->file_number() == number);
  REQUIRE(f.Commit(8).ok());
  f.disk.Crash(SimulatedCrash::kPower);
  REQUIRE(f.Counter() == 8);
}

}  // namespace
}  // namespace lamina::testing
