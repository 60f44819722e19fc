// erase=physical beside others that have the same pages in hand: puts that are refused, puts on
// paths from before an erase_root, moves, and whoever else erases bytes.
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
#include <thread>

#include "tests/store/sectors.h"
#include "tests/store/watched_file_system.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;

void AwaitTrue(const std::function<bool()>& condition) {
  while (!condition()) std::this_thread::yield();
}

struct Fixture {
  Fixture() { Open(); }
  void Open() {
    store.reset();
    auto opened = OpenSimulatedStore(std::make_unique<WatchedFileSystem>(disk.Restart(), watcher),
                                     "erase=physical", 0, [this] {
                                       if (put_is_over) put_is_over();
                                     });
    if (!opened.ok()) FAIL(opened.status().ToString());
    store = std::move(*opened);
    view = disk.Attach();
  }
  TestPath PathOf(size_t pages) const { return MakePath(*store, "model", Tokens(0, pages)); }
  std::vector<size_t> OnDisk(const TestPath& path) const {
    return PageSectors(path, kPage).OnDisk(disk, *view);
  }

  Watcher watcher;
  std::function<void()> put_is_over;
  SimulatedDisk disk{23};
  std::unique_ptr<Store> store;
  std::unique_ptr<FileSystem> view;
};

TEST_CASE("an erase leaves nothing of pages whose put it refused", "[simulated]") {
  constexpr size_t kPages = 2000;
  Fixture f;
  TestPath path = f.PathOf(kPages);
  TestPath probe = f.PathOf(kPages);
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 10, kPage)) == 10);
  // The put has its slots; it goes on when the erase has begun, and ends when the erase has.
  std::atomic<bool> erased{false};
  std::thread eraser;
  Status status;
  std::vector<size_t> left;
  const auto refused = [&] { return StatOf(f.store->StatsJson(), "rejected_erased") > 0; };
  f.watcher.Set([&](WatchedOperation operation, const std::string& file, auto) {
    if (operation != WatchedOperation::kWrite || !file.ends_with(".segment")) return;
    f.watcher.Clear();
    eraser = std::thread([&] {
      TestPath own = f.PathOf(kPages);
      status = f.store->Erase(*own.path, 10, kPages - 10);
      left = f.OnDisk(own);
      erased = true;
    });
    // Pages that are barred are refused, which tells.
    AwaitTrue([&] { return f.store->impl()->counters().erases > 0; });
    for (size_t page = kPages; page-- > 20 && !refused();) {
      PutPages(*f.store, probe, page, 1, kPage);
      std::this_thread::yield();
    }
    f.put_is_over = [&] { AwaitTrue([&] { return erased.load(); }); };
  });
  CHECK(CountOk(PutPages(*f.store, path, 10, 10, kPage)) == 0);
  eraser.join();
  CHECK(status.ok());
  CheckGone(left, kPage, 10, kPages);
  CHECK(StatOf(f.store->StatsJson(), "rejected_erased") == 2);
}

TEST_CASE("a put on a path from before an erase_root writes nothing", "[simulated]") {
  Fixture f;
  TestPath path = f.PathOf(20);
  const PageSectors sectors(path, kPage);
  bool erased = false;
  bool written = false;
  f.watcher.Set([&](WatchedOperation operation, const std::string& file, auto buffers) {
    if (!file.ends_with(".segment")) return;
    // The first segment is made when the put has caught up with its root, and before it has slots.
    if (operation == WatchedOperation::kOpen && !erased) {
      erased = true;
      std::thread([&] { CHECK(f.store->EraseRoot("model").ok()); }).join();
    }
    if (operation != WatchedOperation::kWrite) return;
    for (const size_t count : sectors.In(buffers)) written |= count > 0;
  });
  CHECK(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 0);
  CHECK(erased);
  CHECK_FALSE(written);
  CHECK(StatOf(f.store->StatsJson(), "rejected_erased") == 1);
  CHECK(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
  CHECK(written);  // what was watched for would have been seen
}

Status GiveUpFirst(Store& store) {
  Store::Impl::RetireReport report;
  const uint32_t ids[] = {1};
  return store.impl()->RetireSegments(ids, true, nullptr, &report);
}
Status Collect(Store& store) {
  CollectReport report;
  return store.impl()->CollectGarbage({}, nullptr, &report);
}

TEST_CASE("a page that is erased while it is being moved is not copied, and is nowhere",
          "[simulated]") {
  const auto move = GENERATE(as<Status (*)(Store&)>(), GiveUpFirst, Collect);
  Fixture f;
  constexpr size_t kPages = 400;
  TestPath path = f.PathOf(kPages);
  REQUIRE(CountOk(PutPages(*f.store, path, 0, kPages, kPage)) == kPages);
  TensorLog& log = f.store->impl()->log();
  const auto at = [&](size_t page) { return path.path->impl()->locations[page].entry; };
  const auto tag = [&](size_t page) { return at(page).tag(path.path->impl()->fingerprints[page]); };
  for (size_t page = 100; page < kPages; ++page) REQUIRE(log.Condemn(at(page).slot, tag(page)));
  const PageSectors sectors(path, kPage);
  const SlotRef slot = at(19).slot;
  const uint64_t erased_tag = tag(19);

  std::thread eraser;
  std::atomic<bool> begun{false};
  std::atomic<bool> copied{false};
  std::atomic<uint64_t> writes{0};
  Status status;
  std::vector<size_t> left;
  f.watcher.Set([&](WatchedOperation operation, const std::string& file, auto buffers) {
    if (!file.ends_with(".segment") || buffers.empty()) return;
    if (operation == WatchedOperation::kWrite) {
      ++writes;
      const auto found = sectors.In(buffers);
      for (size_t page = 10; page < 20; ++page) copied = copied || found[page] > 0;
    }
    // The mover has them pinned, and in hand when they are freed.
    const auto pinned = [&] {
      const SegmentTable::ReadSection section(log.table());
      return section.Find(slot.segment)->slot(slot.slot).pins() > 0;
    };
    if (operation != WatchedOperation::kRead || begun || !pinned()) return;
    begun = true;
    eraser = std::thread([&] {
      TestPath own = f.PathOf(kPages);
      status = f.store->Erase(*own.path, 10, 10);
      left = f.OnDisk(own);
    });
    AwaitTrue([&] { return !log.Bears(slot, erased_tag); });
  });
  CHECK(move(*f.store).ok());
  REQUIRE(begun);
  eraser.join();
  f.watcher.Clear();
  CHECK(status.ok());
  CHECK(writes > 0);
  CHECK_FALSE(copied);
  for (size_t page = 10; page < 20; ++page) CHECK(left[page] == 0);
  const GetOutcome got = GetPages(*f.store, path, 0, 100, kPage);
  CHECK(got.wrong == 0);
  CHECK(CountOk(got.states) == 90);
  const auto after = f.OnDisk(path);
  for (size_t page = 0; page < 100; ++page)
    CHECK(after[page] == (page >= 10 && page < 20 ? 0 : kPage / kSector));
}

TEST_CASE("an erase fails when somebody else could not erase the bytes of its pages",
          "[simulated]") {
  Fixture f;
  constexpr size_t kPages = 1000;
  TestPath path = f.PathOf(kPages);
  REQUIRE(CountOk(PutPages(*f.store, path, 0, kPages, kPage)) == kPages);
  f.Open();  // nothing of the index is in memory
  path = f.PathOf(kPages);
  TensorLog& log = f.store->impl()->log();
  uint64_t failures = 0;
  f.watcher.Set([&](WatchedOperation operation, const std::string& file, auto) {
    if (operation != WatchedOperation::kRead || !file.ends_with(".sst") || failures > 0) return;
    // As a get that meets a wrong page, or a checkpoint, does: whatever was freed by now.
    f.disk.FailOperation(1, EIO);
    (void)log.Scrub();
    f.disk.FailOperation(0, 0);
    failures = log.scrub_failures();
  });
  CHECK_FALSE(f.store->Erase(*path.path, 0, kPages).ok());
  f.watcher.Clear();
  CHECK(failures > 0);
  CHECK(CountOk(ProbePages(*f.store, path, 0, kPages)) == 0);
  // The next open erases them.
  f.Open();
  CheckGone(f.OnDisk(path), kPage, 0, kPages);
}

}  // namespace
}  // namespace lamina::testing
