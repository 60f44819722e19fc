// Damage to the files of a closed store: bits that flip, files that are cut, missing, swapped or
// another store's. Each ends as misses, or as an error at open that names the file; never as wrong
// bytes, and what was lost can be put again.
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "tests/store/disk_image.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 5000;  // not a whole number of blocks
constexpr size_t kPages = 40;
constexpr const char* kRoots[] = {"model", "mo", "another model"};

// Three roots, several tables, pages that were erased, what the policy learned, a ballast.
DiskImage MakeImage(uint64_t seed) {
  SimulatedDisk disk(seed);
  {
    StoreEnvironment environment;
    environment.file_system = disk.Restart();
    environment.seed = seed;
    environment.background_threads = 0;
    auto impl =
        Store::Impl::Open("/store",
                          *Options::Parse("capacity_bytes=64M;min_free_bytes=0;memory_bytes=64M;"
                                          "memtable_bytes=64K;checkpoint_seconds=0"),
                          std::move(environment));
    REQUIRE(impl.ok());
    Store store(std::move(*impl));
    for (const char* root : kRoots) {
      TestPath path = MakePath(store, root, Tokens(0, kPages));
      REQUIRE(CountOk(PutPages(store, path, 0, kPages, kPage)) == kPages);
      REQUIRE(store.Flush().ok());
      GetPages(store, path, 0, kPages, kPage);
    }
    TestPath path = MakePath(store, kRoots[0], Tokens(1000, 4));
    PutPages(store, path, 0, 4, kPage);
    REQUIRE(store.Erase(*path.path, 0, 4).ok());
  }
  return DiskImage::Of(disk);
}

const DiskImage& Image() {
  static const DiskImage image = MakeImage(7);
  return image;
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

struct Outcome {
  bool opened = false;
  std::string error;
  size_t lost = 0;
  size_t wrong = 0;
  size_t erased_back = 0;
  bool repaired = true;
};

// Opens what is left, gets everything, and puts again what is lost.
Outcome Try(const DiskImage& image) {
  SimulatedDisk disk(1);
  image.WriteTo(*disk.Restart());
  Outcome outcome;
  auto store = OpenSimulatedStore(disk.Restart());
  outcome.opened = store.ok();
  if (!store.ok()) {
    outcome.error = store.status().ToString();
    return outcome;
  }
  for (const char* root : kRoots) {
    TestPath path = MakePath(**store, root, Tokens(0, kPages));
    GetOutcome got = GetPages(**store, path, 0, kPages, kPage);
    outcome.wrong += got.wrong;
    const size_t lost = kPages - CountOk(got.states);
    outcome.lost += lost;
    if (lost == 0) continue;
    outcome.repaired &= CountOk(PutPages(**store, path, 0, kPages, kPage)) == kPages;
    got = GetPages(**store, path, 0, kPages, kPage);
    outcome.wrong += got.wrong;
    outcome.repaired &= CountOk(got.states) == kPages;
  }
  TestPath erased = MakePath(**store, kRoots[0], Tokens(1000, 4));
  outcome.erased_back = CountOk(ProbePages(**store, erased, 0, 4));
  return outcome;
}

// `names`: those of the files that were damaged, of which an error names one.
void Check(const Outcome& outcome, const std::vector<std::string>& names) {
  CHECK(outcome.wrong == 0);
  CHECK(outcome.repaired);
  // A manifest that ends early is one whose last edit was cut off by a crash, for all one can tell:
  // the store is what it was before, pages that were erased since included.
  const bool cut_manifest = std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.starts_with("MANIFEST-");
  });
  if (!cut_manifest) CHECK(outcome.erased_back == 0);
  if (outcome.opened) return;
  CAPTURE(outcome.error);
  CHECK(std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return outcome.error.find(name) != std::string::npos;
  }));
}

TEST_CASE("the store that is damaged below is whole", "[damage]") {
  const Outcome outcome = Try(Image());
  CHECK(outcome.opened);
  CHECK(outcome.lost == 0);
  CHECK(outcome.wrong == 0);
  const auto has = [](const char* part) {
    return std::any_of(Image().files.begin(), Image().files.end(), [&](const auto& file) {
      return file.first.find(part) != std::string::npos;
    });
  };
  for (const char* part : {"CURRENT", "MANIFEST-", "LOCK", ".sst", ".slots", ".journal", ".segment",
                           ".policy", "log/LAMINA"}) {
    CAPTURE(part);
    CHECK(has(part));
  }
}

TEST_CASE("a flipped bit in any file is a miss, an isolated loss or an error that names the file",
          "[damage]") {
  const uint64_t flips = FromEnvironment("LAMINA_FLIPS", 10000);
  const uint64_t seed = FromEnvironment("LAMINA_SEED", 1);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::map<std::string, std::array<uint64_t, 3>> tally;  // without loss, with loss, refused
  for (uint64_t n = 0; n < flips; ++n) {
    DiskImage image = Image();
    auto file = image.files.begin();
    std::advance(file, static_cast<ptrdiff_t>(random() % image.files.size()));
    FileImage& content = file->second;
    if (content.size == 0) continue;
    uint64_t byte = random() % content.size;
    // Mostly where there is something.
    if (!content.blocks.empty() && random() % 8 != 0) {
      auto block = content.blocks.begin();
      std::advance(block, static_cast<ptrdiff_t>(random() % content.blocks.size()));
      byte = block->first + random() % block->second.size();
    }
    const uint64_t bit = 8 * byte + random() % 8;
    content.Flip(bit);
    CAPTURE(n, file->first, bit);
    const Outcome outcome = Try(image);
    Check(outcome, {NameOf(file->first)});
    if (file->first.ends_with(".segment")) {
      CHECK(outcome.opened);
      CHECK(outcome.lost <= 1);
    }
    ++tally[file->first][!outcome.opened ? 2 : outcome.lost > 0 ? 1 : 0];
  }
  if (std::getenv("LAMINA_SHOW_FLIPS") == nullptr) return;
  std::string summary;
  for (const auto& [path, counts] : tally) {
    summary += path + ": " + std::to_string(counts[0]) + " harmless, " + std::to_string(counts[1]) +
               " with losses, " + std::to_string(counts[2]) + " refused\n";
  }
  WARN(summary);
}

TEST_CASE("a file that is cut is a loss or an error that names it", "[damage]") {
  std::mt19937_64 random(5);
  for (const auto& [path, whole] : Image().files) {
    std::vector<uint64_t> sizes = {0, 1, whole.size / 2, whole.size / 2 / 4096 * 4096};
    if (whole.size > 0) sizes.insert(sizes.end(), {whole.size - 1, random() % whole.size});
    for (const uint64_t size : sizes) {
      if (size >= whole.size) continue;
      CAPTURE(path, size);
      DiskImage image = Image();
      image.files[path].Truncate(size);
      Check(Try(image), {NameOf(path)});
    }
  }
}

TEST_CASE("a file that is missing is a loss or an error that names it", "[damage]") {
  for (const auto& [path, whole] : Image().files) {
    CAPTURE(path);
    DiskImage image = Image();
    image.files.erase(path);
    // Without CURRENT it is no store; the error names something that is not to be overwritten.
    std::vector<std::string> names = {NameOf(path)};
    if (NameOf(path) == "CURRENT") names = {"holds no store and is not empty"};
    Check(Try(image), names);
  }
}

TEST_CASE("files that are swapped are losses or errors that name one of them", "[damage]") {
  for (auto a = Image().files.begin(); a != Image().files.end(); ++a) {
    for (auto b = std::next(a); b != Image().files.end(); ++b) {
      CAPTURE(a->first, b->first);
      DiskImage image = Image();
      std::swap(image.files[a->first], image.files[b->first]);
      Check(Try(image), {NameOf(a->first), NameOf(b->first)});
    }
  }
}

TEST_CASE("a file of another store is a loss or an error that names it", "[damage]") {
  const DiskImage other = MakeImage(8);
  for (const auto& [path, content] : other.files) {
    if (!Image().files.contains(path)) continue;
    CAPTURE(path);
    DiskImage image = Image();
    image.files[path] = content;
    const Outcome outcome = Try(image);
    // Another store's manifest makes it that store, all of whose files are then the wrong ones.
    std::vector<std::string> names = {NameOf(path)};
    if (path.find("MANIFEST-") != std::string::npos) names.push_back("/store");
    // A marker is there to say whose the directory is.
    if (path.find("LAMINA_LOG") != std::string::npos) names = {"log directory /store/log"};
    Check(outcome, names);
  }
}

}  // namespace
}  // namespace lamina::testing
