// A store that is full: what stays, what goes, and that it keeps to its capacity.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <random>

#include "tests/store/quiet_store.h"

using namespace lamina;
using namespace lamina::testing;
namespace fs = std::filesystem;

namespace {

constexpr size_t kPage = 16 << 10;
constexpr uint64_t kMiB = uint64_t{1} << 20;
// 48 MiB of it are slots: 3072 of 16 KiB, less what their reserve takes.
const std::string kSmall = "capacity_bytes=64M;";

uint64_t BytesOnDisk(const std::string& directory) {  // as du does
  uint64_t bytes = 0;
  const auto add = [&](const fs::path& path) {
    struct stat info;
    if (stat(path.c_str(), &info) == 0) bytes += static_cast<uint64_t>(info.st_blocks) * 512;
  };
  add(directory);
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    add(entry.path());
  }
  return bytes;
}

// A request as a serving engine makes it: probes, gets what is there, puts the rest. Returns the
// pages that were there.
size_t Request(Store& store, const std::vector<uint32_t>& tokens, size_t page_bytes = kPage,
               const std::string& root = "model") {
  TestPath path = MakePath(store, root, tokens);
  const size_t pages = tokens.size();
  const auto hit = store.Probe(*path.path, 0, pages, {});
  REQUIRE(hit.ok());
  if (*hit > 0) {
    const GetOutcome got = GetPages(store, path, 0, *hit, page_bytes);
    REQUIRE(got.wrong == 0);
  }
  if (*hit < pages) PutPages(store, path, *hit, pages - *hit, page_bytes);
  return *hit;
}

void AwaitBackground(Store& store) {
  const auto deadline = Scheduler::Clock::now() + std::chrono::seconds(60);
  REQUIRE(store.impl()->scheduler().WaitIdle(deadline).ok());
}

void Fill(Store& store, uint32_t first, uint64_t bytes, size_t page_bytes = kPage) {
  for (uint64_t done = 0; done < bytes; done += 32 * page_bytes, first += 1000)
    Request(store, Tokens(first, 32), page_bytes);
}

}  // namespace

TEST_CASE("a store that is written over and over stays within its capacity") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "s", TestOptions(kSmall + "admission=all"));
  uint64_t most = 0;
  for (uint32_t i = 0; i < 400; ++i) {
    Request(*store, Tokens(i * 1000, 32));
    if (i % 10 == 0) most = std::max(most, BytesOnDisk(directory.path()));
  }
  REQUIRE(most <= 64 * kMiB);
  REQUIRE(most > 40 * kMiB);
  const std::string stats = store->StatsJson();
  REQUIRE(StatOf(stats, "evicted_pages") > 9000);
  REQUIRE(StatOf(stats, "rejected_no_space") == 0);
  AwaitBackground(*store);
  REQUIRE(StatOf(store->StatsJson(), "physical_bytes") == BytesOnDisk(directory / "s"));
  // What was put last is there.
  REQUIRE(Request(*store, Tokens(399000, 32)) == 32);
}

TEST_CASE("pages that are used again outlive those that are not") {
  for (const char* eviction : {"prhd", "lru", "s3fifo"}) {
    INFO("eviction=" << eviction);
    const TemporaryDirectory directory;
    auto store = OpenStore(directory / "s", TestOptions(kSmall + "eviction=" + eviction));
    size_t hits = 0;
    for (uint32_t i = 0; i < 600; ++i) {
      Request(*store, Tokens(1000000 + i * 1000, 32));
      // Ten prompts that come back, each after ten others.
      if (i % 2 == 0) hits += Request(*store, Tokens((i / 2 % 10) * 1000, 32));
    }
    REQUIRE(hits > 8000);  // of 9600; the first ten are new
  }
}

TEST_CASE("an evicted page still answers until it is overwritten, and comes back without a write") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "s", TestOptions(kSmall));
  const auto tokens = Tokens(7, 32);
  Request(*store, tokens);
  store->impl()->log().ForEachSlot([](Segment& segment, uint32_t i, Slot& slot) {
    if (slot.tag() != 0) segment.Condemn(i, slot.tag());
  });
  const uint64_t written = StatOf(store->StatsJson(), "bytes_put");
  REQUIRE(Request(*store, tokens) == 32);
  const std::string stats = store->StatsJson();
  store->Explain();  // shows the policy what was noted
  REQUIRE(StatOf(store->StatsJson(), "condemned_hits") == 32);
  REQUIRE(StatOf(stats, "bytes_put") == written);
}

// Eight pages of 4 KiB of the store's path, and where each lies.
constexpr size_t kFew = 8;
constexpr size_t kFewBytes = 4096;
std::vector<Entry> PutFew(QuietStore& store) {
  REQUIRE(CountOk(PutPages(store.store(), store.path(), 0, kFew, kFewBytes)) == kFew);
  std::vector<Entry> entries;
  for (size_t page = 0; page < kFew; ++page)
    entries.push_back(store.path().path->impl()->locations[page].entry);
  return entries;
}
uint64_t TagOf(const TestPath& path, const std::vector<Entry>& entries, size_t page) {
  return entries[page].tag(path.path->impl()->fingerprints[page]);
}

TEST_CASE("an evicted page comes back whichever call on the path finds it", "[simulated]") {
  const bool put = GENERATE(false, true);
  QuietStore store("admission=all");
  const std::vector<Entry> entries = PutFew(store);
  REQUIRE(store.store().Erase(*store.path().path, 0, 1).ok());
  TensorLog& log = store.store().impl()->log();
  const uint64_t tag = TagOf(store.path(), entries, 5);
  REQUIRE(log.Condemn(entries[5].slot, tag));

  TestPath path = MakePath(store.store(), "model", Tokens(0, QuietStore::kPages));
  REQUIRE(*store.store().Probe(*path.path, 0, kFew, {}) == 0);  // looks no further
  if (put) {
    REQUIRE(CountOk(PutPages(store.store(), path, 0, kFew, kFewBytes)) == kFew);
  } else {
    REQUIRE(CountOk(GetPages(store.store(), path, 0, kFew, kFewBytes).states) == kFew - 1);
    store.store().Explain();  // shows the policy what was noted; a put does so by itself
  }
  REQUIRE(log.LiveRoot(entries[5].slot, tag).has_value());
  REQUIRE(StatOf(store.Stats(), "condemned_hits") == 1);
  REQUIRE(StatOf(store.Stats(), "requests") == 2);
}

TEST_CASE("a put into a full store has all its pages stored, those that were there among them",
          "[simulated]") {
  constexpr uint32_t kPaths = 24;
  constexpr uint32_t kPages = 24;
  constexpr size_t kBytes = 12000;
  for (const char* eviction : {"prhd", "lru", "s3fifo"}) {
    INFO("eviction=" << eviction);
    QuietStore quiet(kSmall + "admission=all;eviction=" + eviction,
                     [](StoreEnvironment* environment) { environment->capacity_bytes = 5 * kMiB; });
    Store& store = quiet.store();
    std::mt19937_64 random(1);
    for (int i = 0; i < 3000; ++i) {
      TestPath path =
          MakePath(store, "model", Tokens(1000 * static_cast<uint32_t>(random() % kPaths), kPages));
      const size_t first = random() % kPages;
      const size_t count = 1 + random() % (kPages - first);
      if (random() % 4 == 0) {
        REQUIRE(store.Erase(*path.path, first, count).ok());
        continue;
      }
      INFO("step " << i << ": pages [" << first << ", +" << count << ")");
      REQUIRE(CountOk(PutPages(store, path, first, count, kBytes)) == count);
      REQUIRE(CountOk(ProbePages(store, path, first, count)) == count);
    }
    REQUIRE(StatOf(store.StatsJson(), "evicted_pages") > 1000);
  }
}

TEST_CASE("a put does not rely on an evicted page whose segment is being given up", "[simulated]") {
  QuietStore store("admission=all");
  const std::vector<Entry> entries = PutFew(store);
  TensorLog& log = store.store().impl()->log();
  const uint64_t tag = TagOf(store.path(), entries, 5);
  REQUIRE(log.Condemn(entries[5].slot, tag));
  REQUIRE(log.SetDraining(entries[5].slot.segment, true).ok());

  TestPath path = MakePath(store.store(), "model", Tokens(0, QuietStore::kPages));
  REQUIRE(CountOk(PutPages(store.store(), path, 0, kFew, kFewBytes)) == kFew);
  REQUIRE_FALSE(log.Bears(entries[5].slot, tag));
  REQUIRE(path.path->impl()->locations[5].entry.slot.segment != entries[5].slot.segment);
  // The others will have moved before their segment goes.
  REQUIRE(StatOf(store.Stats(), "bytes_put") == (kFew + 1) * kFewBytes);
  REQUIRE(store.Reads(kFew));
}

TEST_CASE("pages that are condemned with their segment count as evicted, from then on",
          "[simulated]") {
  QuietStore store("");
  const std::vector<Entry> entries = PutFew(store);
  // Not only when the segment is gone, which a crash may leave undone, or done and not counted.
  store.disk().FailOperation(1, ENOSPC, 1000);
  const uint32_t segments[] = {entries[0].slot.segment};
  Store::Impl::RetireReport report;
  REQUIRE_FALSE(store.store().impl()->RetireSegments(segments, false, nullptr, &report).ok());
  store.disk().FailOperation(0, 0);
  REQUIRE(report.segments == 0);
  REQUIRE(StatOf(store.Stats(), "evicted_pages") == kFew);
}

TEST_CASE("a request that is too new to be worth a place is turned away with a reason") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "s", TestOptions(kSmall + "admission=second_use"));
  TestPath path = MakePath(*store, "model", Tokens(1, 16));
  REQUIRE(CountOk(PutPages(*store, path, 0, 16, kPage)) == 0);
  REQUIRE(StatOf(store->StatsJson(), "rejected_policy") == 1);
  REQUIRE(store->StatsJson().find("option admission") != std::string::npos);
  // Its records say that it has been seen.
  TestPath again = MakePath(*store, "model", Tokens(1, 16));
  REQUIRE(CountOk(PutPages(*store, again, 0, 16, kPage)) == 16);
}

TEST_CASE("a path counts once over its probe, get and put, and once for each touch") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "s", TestOptions(kSmall));
  Request(*store, Tokens(1, 16));
  Request(*store, Tokens(1, 16));
  TestPath path = MakePath(*store, "model", Tokens(1, 16));
  REQUIRE(store->Touch(*path.path, 0, 8).ok());
  REQUIRE(store->Touch(*path.path, 0, 8).ok());
  store->Explain();
  REQUIRE(StatOf(store->StatsJson(), "requests") == 4);
}

TEST_CASE("a get of a path's tail keeps its front warm") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "s", TestOptions(kSmall + "eviction=lru"));
  Request(*store, Tokens(1, 64));
  for (uint32_t i = 0; i < 300; ++i) {
    Request(*store, Tokens(100000 + i * 1000, 32));
    TestPath path = MakePath(*store, "model", Tokens(1, 64));
    const GetOutcome tail = GetPages(*store, path, 56, 8, kPage);
    REQUIRE(CountOk(tail.states) == 8);
  }
  TestPath path = MakePath(*store, "model", Tokens(1, 64));
  REQUIRE(CountOk(ProbePages(*store, path, 0, 64)) == 64);
}

// Requests, of which a third come from a few prompts, with an end of the process in the middle.
// Hits of the second half; of 6,400 pages; in a store of 700 slots each victim counts.
enum class End : uint8_t { kNone, kClosed, kKilled };
size_t HitsWith(End end) {
  SimulatedDisk disk(3);
  const auto open = [&](std::unique_ptr<FileSystem> fs) {
    auto opened = OpenSimulatedStore(std::move(fs), "capacity_bytes=1G", 8 * kMiB);
    REQUIRE(opened.ok());
    return std::move(*opened);
  };
  auto store = open(disk.Restart());
  std::mt19937 random(5);
  size_t hits = 0;
  for (uint32_t i = 0; i < 800; ++i) {
    if (i == 400 && end != End::kNone) {
      if (end == End::kKilled) disk.Crash(SimulatedCrash::kProcess);
      store.reset();
      store = open(disk.Restart());
    }
    const bool known = random() % 3 == 0;
    const uint32_t which = known ? static_cast<uint32_t>(random() % 20) : 1000 + i;
    const size_t hit = Request(*store, Tokens(which * 1000, 16), 8 << 10);
    if (i >= 400) hits += hit;
  }
  return hits;
}

TEST_CASE("what was warm is warm after a restart, and the same pages go next", "[simulated]") {
  const size_t straight = HitsWith(End::kNone);
  const size_t closed = HitsWith(End::kClosed);
  const size_t killed = HitsWith(End::kKilled);
  INFO(straight << " hits without an end, " << closed << " with a close, " << killed
                << " with a kill");
  REQUIRE(straight > 1000);
  REQUIRE(std::max(closed, straight) - std::min(closed, straight) <= 16);  // 0.25 points
  REQUIRE(std::max(killed, straight) - std::min(killed, straight) <= 64);  // 1 point
}

TEST_CASE("what was asked for last before a close is what is warm after it", "[simulated]") {
  QuietStore store("");
  const std::vector<Entry> entries = PutFew(store);
  const uint64_t tag = TagOf(store.path(), entries, 5);
  const auto heat = [&] {
    HeatValue value;
    REQUIRE(store.store().impl()->log().LoadHeat(entries[5].slot, tag, &value));
    return HeatOf(value[0]).tick;
  };
  const uint32_t at_put = heat();
  {
    TestPath path = MakePath(store.store(), "model", Tokens(0, QuietStore::kPages));
    REQUIRE(CountOk(GetPages(store.store(), path, 0, kFew, kFewBytes).states) == kFew);
  }
  store.Reopen();
  REQUIRE(heat() > at_put);
}

TEST_CASE("a capacity that shrinks gives disk space back at once and keeps what is worth most") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "s", TestOptions("capacity_bytes=256M"));
  const auto warm = Tokens(900000000, 32);
  for (uint32_t i = 0; i < 20; ++i) {
    Fill(*store, i * 1000000, 10 * kMiB);
    Request(*store, warm);
  }
  const Status shrunk = store->SetCapacity(96 * kMiB);
  INFO(shrunk.ToString());
  REQUIRE(shrunk.ok());
  REQUIRE(BytesOnDisk(directory.path()) <= 96 * kMiB);
  REQUIRE(Request(*store, warm) == 32);
  Fill(*store, 50000000, 64 * kMiB);
  REQUIRE(BytesOnDisk(directory.path()) <= 96 * kMiB);
  REQUIRE(store->SetCapacity(256 * kMiB).ok());
  Fill(*store, 90000000, 128 * kMiB);
  REQUIRE(BytesOnDisk(directory.path()) > 150 * kMiB);
  REQUIRE(store->SetCapacity(1).code() == StatusCode::kInvalidArgument);
}

TEST_CASE("a store that is opened with a smaller capacity shrinks to it") {
  const TemporaryDirectory directory;
  {
    auto store = OpenStore(directory / "s", TestOptions("capacity_bytes=256M"));
    Fill(*store, 0, 200 * kMiB);
  }
  auto store = OpenStore(directory / "s", TestOptions("capacity_bytes=96M"));
  REQUIRE(store->SetCapacity(96 * kMiB).ok());  // waits for it
  REQUIRE(BytesOnDisk(directory.path()) <= 96 * kMiB);
  Fill(*store, 70000000, 32 * kMiB);
  REQUIRE(BytesOnDisk(directory.path()) <= 96 * kMiB);
}

TEST_CASE("pages of another size get their share of a store that is full of others") {
  const size_t other = 20 << 10;
  const uint64_t capacity = 128 * kMiB;
  // Prompts of 32 pages that come back once, after a tenth to a half of the capacity. The hit rate
  // while the second capacity is written.
  const auto hit_rate = [&](Store& store) {
    std::mt19937 random(11);
    const auto prompts = static_cast<uint32_t>(capacity / (32 * other));
    size_t hits = 0;
    for (uint32_t i = 0; i < 2 * prompts; ++i) {
      Request(store, Tokens(10000000 + i * 1000, 32), other);
      const uint32_t back = prompts / 10 + static_cast<uint32_t>(random()) % (prompts * 4 / 10);
      if (i < back) continue;
      const size_t hit = Request(store, Tokens(10000000 + (i - back) * 1000, 32), other);
      if (i >= prompts) hits += hit;
      // A load that is slower than the background, as all are that are larger than a test.
      if (i % 4 == 0) {
        AwaitBackground(store);
      }
    }
    return static_cast<double>(hits) / (32 * prompts);
  };
  const std::string options = "capacity_bytes=128M;";
  const TemporaryDirectory directory;
  auto fresh = OpenStore(directory / "fresh", TestOptions(options));
  const double in_fresh = hit_rate(*fresh);
  fresh.reset();
  auto store = OpenStore(directory / "full", TestOptions(options));
  Fill(*store, 0, capacity * 3 / 2);
  const double in_full = hit_rate(*store);
  INFO("hit rate in a fresh store " << in_fresh << ", in one full of other pages " << in_full);
  REQUIRE(in_fresh > 0.5);
  REQUIRE(in_full >= 0.9 * in_fresh);
  REQUIRE(BytesOnDisk(directory / "full") <= capacity);
}

TEST_CASE("at rest and after reopening the tags are the entries, and the bytes the file system's") {
  const TemporaryDirectory directory;
  const auto options = TestOptions(kSmall + "admission=all");
  const auto check = [&](Store& store) {
    REQUIRE(store.Flush().ok());
    REQUIRE(store.impl()->CompactAll().ok());
    AwaitBackground(store);
    uint64_t tagged = 0;
    store.impl()->log().ForEachSlot([&](Segment&, uint32_t, Slot& slot) {
      REQUIRE(slot.pins() == 0);
      REQUIRE(slot.state() != SlotState::kWriting);
      REQUIRE((slot.tag() != 0) ==
              (slot.state() == SlotState::kLive || slot.state() == SlotState::kCondemned));
      tagged += slot.tag() != 0 ? 1 : 0;
    });
    REQUIRE(store.impl()->CurrentView()->tree->entries() == tagged);
    REQUIRE(StatOf(store.StatsJson(), "physical_bytes") == BytesOnDisk(directory / "s"));
    return tagged;
  };
  uint64_t before = 0;
  {
    auto store = OpenStore(directory / "s", options);
    Fill(*store, 0, 150 * kMiB);
    before = check(*store);
  }
  auto store = OpenStore(directory / "s", options);
  REQUIRE(check(*store) == before);
}
