// Input from those who are not trusted: no root, path or token reaches another's pages, no name of
// a file comes from them, and no size that a file claims is believed before it is checked.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>

#include "engine/index/table.h"
#include "engine/index/table_format.h"
#include "engine/io/posix_file_system.h"
#include "engine/store/policy_file.h"
#include "tests/store/disk_image.h"

namespace lamina::testing {
namespace {

using Catch::Contains;
using std::string_literals::operator""s;
constexpr size_t kPage = 4096;

// Roots that differ in as little as can be: prefixes of each other, NULs, what looks like a path.
std::vector<std::string> Roots() {
  const std::string longest(100000, 'a');
  return {"",          "a",     "aa",       "ab",    "a\0"s,        "a\0\0"s,     "\0"s,
          "\0a"s,      "a\0b"s, "b",        "../a",  "/etc/passwd", "a/b",        "tenant-1",
          "tenant-11", "\xFF",  "\xFF\xFF", longest, longest + "a", longest + "b"};
}

// A way to name one page, and a number for its bytes.
struct Owner {
  std::unique_ptr<Path> path;
  uint64_t seed;
};

// Every kind of path under every root, over the same 32 bytes wherever the kind takes bytes.
std::vector<Owner> MakeOwners(Store& store) {
  std::vector<Owner> owners;
  const auto add = [&](Result<std::unique_ptr<Path>> path) {
    REQUIRE(path.ok());
    owners.push_back({std::move(*path), owners.size() + 1});
  };
  const std::vector<uint8_t> bytes(32, 0x61);  // 'a', as in the roots
  const std::vector<uint8_t> zeros(32, 0);
  for (const std::string& root : Roots()) {
    for (const uint32_t token : {0x61616161u, 0u, 0x61u, 0xFFFFFFFFu}) {
      for (const uint32_t page_tokens : {1u, 2u, 8u, 16u})
        add(store.PathFromTokens(root, std::vector(page_tokens, token), page_tokens));
    }
    for (const auto* digest : {&bytes, &zeros}) {
      add(store.PathFromDigests(root, *digest));
      add(store.PathFromKeys(root, *digest));
    }
  }
  return owners;
}

TEST_CASE("no two of root, kind, page size and tokens share a page", "[simulated]") {
  SimulatedDisk disk(1);
  const auto store = *OpenSimulatedStore(disk.Restart());
  std::vector<Owner> owners = MakeOwners(*store);
  const size_t size = kPage;
  std::vector<PageState> states(1);
  for (Owner& owner : owners) {
    const auto payload = Payload(owner.seed, kPage);
    const void* in = payload.data();
    REQUIRE(store->Probe(*owner.path, 0, 1, states).ok());
    REQUIRE(states[0] == PageState::kMiss);
    REQUIRE(
        store->Put(*owner.path, 0, 1, {std::span(&in, 1), std::span(&size, 1), 1}, states).ok());
    REQUIRE(states[0] == PageState::kOk);
  }
  for (Owner& owner : owners) {
    std::vector<std::byte> back(kPage);
    void* out = back.data();
    REQUIRE(
        store->Get(*owner.path, 0, 1, {std::span(&out, 1), std::span(&size, 1), 1}, states).ok());
    REQUIRE(states[0] == PageState::kOk);
    REQUIRE(back == Payload(owner.seed, kPage));
  }
}

TEST_CASE("erasing a root leaves the roots that begin with it, and those it begins with",
          "[simulated]") {
  SimulatedDisk disk(1);
  const auto store = *OpenSimulatedStore(disk.Restart());
  const std::vector<std::string> roots = Roots();
  for (const std::string& root : roots) {
    TestPath path = MakePath(*store, root, Tokens(0, 2));
    REQUIRE(CountOk(PutPages(*store, path, 0, 2, kPage)) == 2);
  }
  std::set<std::string> erased;
  for (const std::string& root : {roots[1], roots[4], roots.back()}) {
    REQUIRE(store->EraseRoot(root).ok());
    erased.insert(root);
    for (const std::string& other : roots) {
      CAPTURE(other.substr(0, 20), other.size());
      TestPath path = MakePath(*store, other, Tokens(0, 2));
      const GetOutcome got = GetPages(*store, path, 0, 2, kPage);
      CHECK(CountOk(got.states) == (erased.contains(other) ? 0 : 2));
      CHECK(got.wrong == 0);
    }
  }
}

TEST_CASE("tokens differ by each of their 32 bits, wherever in a page they stand", "[simulated]") {
  SimulatedDisk disk(1);
  const auto store = *OpenSimulatedStore(disk.Restart());
  const std::vector<uint32_t> tokens = {5, 0, 0xFFFFFFFF, 8};
  TestPath path = MakePath(*store, "model", tokens);
  const auto owner = *store->PathFromTokens("model", tokens, 4);
  const auto payload = Payload(1, kPage);
  const void* in = payload.data();
  const size_t size = kPage;
  std::vector<PageState> states(1);
  REQUIRE(store->Put(*owner, 0, 1, {std::span(&in, 1), std::span(&size, 1), 1}, states).ok());
  REQUIRE(states[0] == PageState::kOk);
  for (size_t at = 0; at < tokens.size(); ++at) {
    for (unsigned bit = 0; bit < 32; ++bit) {
      std::vector<uint32_t> others = tokens;
      others[at] ^= uint32_t{1} << bit;
      const auto other = *store->PathFromTokens("model", others, 4);
      REQUIRE(store->Probe(*other, 0, 1, states).ok());
      REQUIRE(states[0] == PageState::kMiss);
    }
  }
}

TEST_CASE("the files of a store are its owner's alone, whatever the umask says") {
  const TemporaryDirectory directory;
  const mode_t before = ::umask(0);
  {
    const auto store = OpenStore(directory / "store");
    TestPath path = MakePath(*store, "model", Tokens(0, 8));
    REQUIRE(CountOk(PutPages(*store, path, 0, 8, kPage)) == 8);
    REQUIRE(store->Flush().ok());
  }
  ::umask(before);
  using std::filesystem::perms;
  REQUIRE(std::filesystem::status(directory / "store").permissions() == perms::owner_all);
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory / "store")) {
    CAPTURE(entry.path().string());
    const perms mode = entry.status().permissions();
    if (entry.is_directory()) {
      CHECK(mode == perms::owner_all);
    } else {
      ++files;
      CHECK(mode == (perms::owner_read | perms::owner_write));
    }
  }
  CHECK(files >= 7);
}

TEST_CASE("no file is named by what callers give", "[simulated]") {
  SimulatedDisk disk(1);
  {
    const auto store = *OpenSimulatedStore(disk.Restart());
    for (const std::string& root : Roots()) {
      TestPath path = MakePath(*store, root, Tokens(0, 2));
      REQUIRE(CountOk(PutPages(*store, path, 0, 2, kPage)) == 2);
    }
  }
  for (const std::string& path : disk.Files()) {
    CAPTURE(path);
    const std::string name = path.substr(path.rfind('/') + 1);
    CHECK((path == "/store/" + name || path == "/store/log/" + name));
    CHECK(name.find_first_not_of("0123456789-_.ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz") == std::string::npos);
  }
}

TEST_CASE("a manifest cannot name a policy file outside of the store") {
  for (const char* name : {"../0000000001.policy", "/etc/passwd", "0000000001.policy/..", "x"}) {
    CAPTURE(name);
    ManifestEdit edit;
    edit.policy_state = name;
    std::string bytes;
    edit.EncodeTo(&bytes);
    CHECK(ManifestEdit::Decode(bytes).status().code() == StatusCode::kCorruption);
  }
}

// ---- Sizes, under checksums that are right ------------------------------------------------------

// Rewrites a closed store's manifest.
void ChangeManifest(SimulatedDisk& disk, const std::function<void(ManifestState*)>& change) {
  const auto fs = disk.Restart();
  auto loaded = LoadManifest(*fs, "/store");
  REQUIRE(loaded.ok());
  change(&loaded->state);
  REQUIRE(Manifest::Start(*fs, "/store", loaded->store_id, std::move(loaded->state)).ok());
}

TEST_CASE("segments that a manifest only claims take no memory", "[simulated]") {
  SimulatedDisk disk(1);
  { const auto store = *OpenSimulatedStore(disk.Restart()); }
  const uint32_t segments = GENERATE(1u, 2000u);
  ChangeManifest(disk, [&](ManifestState* state) {
    for (uint32_t i = 0; i < segments; ++i) {
      const SegmentInfo info = {state->next_segment_id++, 0, 4096, uint32_t{1} << 28};
      state->segments[info.id] = {info, 0};
    }
  });
  const auto store = OpenSimulatedStore(disk.Restart());
  REQUIRE(store.status().code() == StatusCode::kInvalidArgument);
  REQUIRE_THAT(std::string(store.status().message()), Contains("memory_bytes"));
}

TEST_CASE("a segment larger than any can be is refused", "[simulated]") {
  SimulatedDisk disk(1);
  { const auto store = *OpenSimulatedStore(disk.Restart()); }
  ChangeManifest(disk, [&](ManifestState* state) {
    const SegmentInfo info = {state->next_segment_id++, 0, 0xFFFFF000u, 1000};
    state->segments[info.id] = {info, 0};
  });
  REQUIRE(OpenSimulatedStore(disk.Restart()).status().code() == StatusCode::kCorruption);
}

// A sparse file costs nothing, and its footer may claim all of it for one section.
TEST_CASE("a section that a table's footer only claims takes no memory") {
  const TemporaryDirectory directory;
  const std::string path = directory / "0000000001.sst";
  constexpr uint64_t kBytes = uint64_t{1} << 40;
  const bool filter = GENERATE(false, true);
  TableFooter footer{};
  footer.version = kTableVersion;
  footer.magic = kTableMagic;
  footer.file_bytes = kBytes;
  footer.data_blocks = 1;
  const uint64_t large = kBytes - 4 * kTableBlockBytes;
  footer.top_index = {kTableBlockBytes, filter ? uint64_t{kTableBlockBytes} : large};
  footer.filter = {footer.top_index.end(), filter ? large : uint64_t{kTableBlockBytes}};
  footer.properties = {footer.filter.end(), kTableBlockBytes};
  footer.filter_probes = 1;
  std::vector<std::byte> block(kTableBlockBytes);
  std::memcpy(block.data(), &footer, sizeof footer);
  SealBlock(block, 1, kBytes - kTableBlockBytes, BlockKind::kFooter);
  std::ofstream(path) << "";
  std::filesystem::resize_file(path, kBytes - kTableBlockBytes);
  std::ofstream(path, std::ios::binary | std::ios::app)
      .write(reinterpret_cast<const char*>(block.data()), kTableBlockBytes);
  const auto fs = PosixFileSystem::Create({.io = Options::Io::kThreads});
  REQUIRE(fs.ok());
  const auto table = Table::Open(fs->get(), path, 1, nullptr, nullptr);
  REQUIRE(table.status().code() == StatusCode::kCorruption);
  REQUIRE_THAT(std::string(table.status().message()), Contains(path) && Contains("section bytes"));
}

TEST_CASE("a manifest or a policy file larger than any is refused before it is read") {
  const TemporaryDirectory directory;
  { const auto store = OpenStore(directory / "store"); }
  const auto fs = PosixFileSystem::Create({.io = Options::Io::kThreads});
  REQUIRE(fs.ok());
  const std::string policy = directory / "0000000001.policy";
  std::ofstream(policy) << "";
  std::filesystem::resize_file(policy, uint64_t{1} << 40);
  REQUIRE(ReadPolicyFile(**fs, policy).status().code() == StatusCode::kCorruption);
  for (const auto& entry : std::filesystem::directory_iterator(directory / "store")) {
    if (entry.path().filename().string().starts_with("MANIFEST-"))
      std::filesystem::resize_file(entry.path(), uint64_t{1} << 40);
  }
  const auto store = Store::Open(directory / "store", TestOptions());
  REQUIRE(store.status().code() == StatusCode::kCorruption);
  REQUIRE_THAT(std::string(store.status().message()), Contains("MANIFEST-"));
}

}  // namespace
}  // namespace lamina::testing
