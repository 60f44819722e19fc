// Log directories that are not there, or that are ill: what lies in them is missed, and the store
// goes on with the others.
#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <string>

#include "engine/io/forwarding_file_system.h"
#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 65536;
constexpr uint64_t kMiB = uint64_t{1} << 20;

bool IsWithin(const std::string& path, const std::string& directory) {
  return path == directory || path.compare(0, directory.size() + 1, directory + "/") == 0;
}

// What the file system below does not show, or fails at.
struct Illness {
  std::string hidden;  // a directory
};

class IllFileSystem final : public ForwardingFileSystem {
 public:
  // The illness outlives it.
  IllFileSystem(std::unique_ptr<FileSystem> fs, const Illness& illness)
      : ForwardingFileSystem(std::move(fs)), illness_(illness) {}
  Result<bool> Exists(const std::string& path) noexcept override {
    if (IsHidden(path)) return false;
    return ForwardingFileSystem::Exists(path);
  }
  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override {
    if (IsHidden(path)) return Status::IoError(path + ": no such file");
    return ForwardingFileSystem::Open(path, how);
  }

 private:
  [[nodiscard]] bool IsHidden(const std::string& path) const {
    return !illness_.hidden.empty() && IsWithin(path, illness_.hidden);
  }

  const Illness& illness_;
};

// A store in the directories "/a" and "/b".
struct Fixture {
  Fixture() { Open(); }
  void Open(const std::string& capacity = "192M") {
    store.reset();
    auto opened =
        OpenSimulatedStore(std::make_unique<IllFileSystem>(disk.Restart(), illness),
                           "log_dirs=/a,/b;admission=all;eviction=lru;capacity_bytes=" + capacity);
    INFO(opened.status().ToString());
    REQUIRE(opened.ok());
    store = std::move(*opened);
    view = disk.Attach();
  }
  // Puts pages in calls of 16; how many of them are there afterwards.
  size_t PutAll(size_t first, size_t count) {
    for (size_t page = first; page < first + count; page += 16) {
      TestPath path = MakePath(*store, "model", Tokens(static_cast<uint32_t>(page), 16));
      PutPages(*store, path, 0, 16, kPage);
    }
    return Present(first, count);
  }
  size_t Present(size_t first, size_t count) {
    size_t present = 0;
    for (size_t page = first; page < first + count; page += 16) {
      TestPath path = MakePath(*store, "model", Tokens(static_cast<uint32_t>(page), 16));
      present += CountOk(GetPages(*store, path, 0, 16, kPage).states);
    }
    return present;
  }
  [[nodiscard]] uint64_t Space(const std::string& name) const {
    const std::string stats = store->StatsJson();
    return StatOf(stats.substr(stats.find("\"space\":")), name);
  }
  [[nodiscard]] double PhysicalOverLive() const {
    const std::string stats = store->StatsJson();
    const std::string key = "\"physical_over_not_condemned\":";
    return std::stod(stats.substr(stats.find(key) + key.size()));
  }
  std::set<std::string> SegmentsIn(const std::string& directory) const {
    std::set<std::string> segments;
    const auto names = view->List(directory);
    REQUIRE(names.ok());
    for (const std::string& name : *names)
      if (name.find(".segment") != std::string::npos) segments.insert(name);
    return segments;
  }

  SimulatedDisk disk{11, {.capacity_bytes = uint64_t{1} << 40}};
  Illness illness;
  std::unique_ptr<Store> store;
  std::unique_ptr<FileSystem> view;
};

TEST_CASE("files that are not there take none of the capacity, and cost the others no page",
          "[simulated]") {
  Fixture f;
  constexpr size_t kPut = 2304;  // 144 MiB
  const size_t stored = f.PutAll(0, kPut);
  REQUIRE(stored > kPut * 3 / 4);
  f.illness.hidden = "/b";
  const bool at_open = GENERATE(true, false);
  f.Open(at_open ? "128M" : "192M");
  const size_t left = f.Present(0, kPut);
  REQUIRE(left > stored / 4);
  REQUIRE(left < stored);
  const auto segments = f.SegmentsIn("/a");
  if (!at_open) {
    const Status status = f.store->SetCapacity(128 * kMiB);
    INFO(status.ToString());
    CHECK(status.ok());
  }
  CHECK(f.SegmentsIn("/a") == segments);
  CHECK(f.Present(0, kPut) == left);
  CHECK(StatOf(f.store->StatsJson(), "segments_given_up") == 0);
  // There is room for more, and then no more than that.
  f.PutAll(10000, 2000);
  CHECK(f.SegmentsIn("/a").size() > segments.size());
  CHECK(f.Space("segment_bytes") <= 128 * kMiB);
  // With the directory back the store is over its capacity, and is brought below it.
  f.illness.hidden.clear();
  f.Open("128M");
  CHECK(f.store->SetCapacity(128 * kMiB).ok());
  CHECK(f.Space("physical_bytes") <= 128 * kMiB);
}

TEST_CASE("a store with a missing directory shrinks by what is there, and counts it",
          "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 2304) > 1728);
  f.illness.hidden = "/b";
  f.Open();
  const size_t before = f.SegmentsIn("/a").size();
  const Status status = f.store->SetCapacity(64 * kMiB);
  INFO(status.ToString());
  CHECK(status.ok());
  const size_t after = f.SegmentsIn("/a").size();
  CHECK(after < before);
  CHECK(after > 0);
  CHECK(StatOf(f.store->StatsJson(), "segments_given_up") == before - after);
  CHECK(f.Space("physical_bytes") <= 64 * kMiB);
}

TEST_CASE("the ratios of space leave out what is not there, bytes as well as slots",
          "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 2304) > 1728);
  const uint64_t all = f.Space("slots");
  CHECK(f.PhysicalOverLive() >= 1.0);
  f.illness.hidden = "/b";
  f.Open();
  CHECK(f.PhysicalOverLive() >= 1.0);
  CHECK(f.PhysicalOverLive() < 1.5);
  CHECK(f.Space("slots") < all);
  CHECK(f.Space("slots") > 0);
}

TEST_CASE("a segment's file that was saved from a missing directory into another one stays",
          "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 1024) == 1024);
  const std::string name = *f.SegmentsIn("/b").begin();
  REQUIRE_FALSE(f.SegmentsIn("/a").contains(name));
  REQUIRE(f.view->Open("/a/" + name, {.write = true, .create = true}).ok());
  f.illness.hidden = "/b";
  f.Open();
  CHECK(f.SegmentsIn("/a").contains(name));
  // Where its segment is, it is nobody's.
  f.illness.hidden.clear();
  f.Open();
  CHECK_FALSE(f.SegmentsIn("/a").contains(name));
  CHECK(f.Present(0, 1024) == 1024);
}

}  // namespace
}  // namespace lamina::testing
