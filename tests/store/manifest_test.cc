// The manifest: what it keeps, what it refuses, and that its bytes stay what they are.
#include "engine/store/manifest.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>

#include "engine/io/posix_file_system.h"
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

TEST_CASE("a manifest file has the bytes it always had") {
  Fixture f;
  f.Start();
  const std::string bytes = ReadFile(f.File());
  const std::string golden = std::string(LAMINA_GOLDENS) + "/manifest.bin";
  if (std::getenv("LAMINA_REWRITE_GOLDENS") != nullptr) WriteFile(golden, bytes);
  REQUIRE(bytes == ReadFile(golden));
}

}  // namespace
}  // namespace lamina::testing
