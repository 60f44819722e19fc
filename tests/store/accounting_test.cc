// What a store says of its disk and its writes, beside what somebody else counts.
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <utility>

#include "tests/store/simulated_store.h"
#include "tests/store/watched_file_system.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 16 << 10;

double Double(const std::string& stats, const std::string& name) {
  const std::string key = "\"" + name + "\":";
  const size_t at = stats.find(key);
  REQUIRE(at != std::string::npos);
  return std::strtod(stats.c_str() + at + key.size(), nullptr);
}

// The slots' states from outside of the eviction policy: slot to tag.
std::map<std::pair<uint32_t, uint32_t>, uint64_t> SlotsIn(Store& store, SlotState state) {
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> slots;
  store.impl()->log().ForEachSlot([&](Segment& segment, uint32_t number, Slot& slot) {
    if (slot.state() == state) slots[{segment.id(), number}] = slot.tag();
  });
  return slots;
}

struct Counted {
  uint64_t written = 0;  // bytes, to segments
  uint64_t put = 0;      // bytes, of pages that were not there and are now
  uint64_t revived = 0;  // condemned pages that a request brought back
};

// As a serving engine: restores what is there, stores the rest.
void Request(Store& store, uint32_t first, Counted* counted) {
  constexpr size_t kPages = 32;
  TestPath path = MakePath(store, "model", Tokens(first, kPages));
  const auto condemned = SlotsIn(store, SlotState::kCondemned);
  const auto before = ProbePages(store, path, 0, kPages);
  REQUIRE(GetPages(store, path, 0, kPages, kPage).wrong == 0);
  const auto after = PutPages(store, path, 0, kPages, kPage);
  for (size_t i = 0; i < kPages; ++i)
    if (before[i] != PageState::kOk && after[i] == PageState::kOk) counted->put += kPage;
  const auto live = SlotsIn(store, SlotState::kLive);
  for (const auto& [slot, tag] : condemned) {
    const auto now = live.find(slot);
    if (now != live.end() && now->second == tag) ++counted->revived;
  }
}

TEST_CASE("what a full store says of its writes and its disk is what others count", "[simulated]") {
  SimulatedDisk disk(17);
  Watcher watcher;
  Counted counted;
  watcher.Set(
      [&](WatchedOperation operation, const std::string& path, std::span<const iovec> buffers) {
        if (operation != WatchedOperation::kWrite || !path.ends_with(".segment")) return;
        for (const iovec& buffer : buffers) counted.written += buffer.iov_len;
      });
  auto opened = OpenSimulatedStore(std::make_unique<WatchedFileSystem>(disk.Restart(), watcher),
                                   "admission=all;stem_pages=8");
  REQUIRE(opened.ok());
  Store& store = **opened;
  // Some conversations come back, now and then after they were condemned.
  std::mt19937 random(5);
  for (uint32_t i = 0; i < 300; ++i) {
    const auto conversation = static_cast<uint32_t>(random() % 4 == 0 ? random() % (i + 1) : i);
    Request(store, conversation * 1000, &counted);
  }
  REQUIRE(store.Flush().ok());
  const std::string stats = store.StatsJson();
  REQUIRE(StatOf(stats, "evicted_pages") > 1000);

  CHECK(StatOf(stats, "bytes_put") == counted.put);
  CHECK(Double(stats, "tensor_write_amplification") ==
        Approx(static_cast<double>(counted.written) / static_cast<double>(counted.put)));
  CHECK(counted.revived > 0);
  CHECK(StatOf(stats, "condemned_hits") == counted.revived);

  const auto view = disk.Attach();
  uint64_t segments = 0;
  uint64_t all = 0;
  for (const std::string& name : disk.Files()) {
    const uint64_t bytes = *view->AllocatedBytes(name);
    all += bytes;
    if (name.ends_with(".segment")) segments += bytes;
  }
  const size_t live = SlotsIn(store, SlotState::kLive).size();
  const size_t condemned = SlotsIn(store, SlotState::kCondemned).size();
  CHECK(StatOf(stats, "segment_bytes") == segments);
  CHECK(StatOf(stats, "physical_bytes") == all);
  CHECK(Double(stats, "physical_over_not_condemned") ==
        Approx(static_cast<double>(segments) / static_cast<double>(live * kPage)));
  CHECK(Double(stats, "physical_over_readable") ==
        Approx(static_cast<double>(segments) / static_cast<double>((live + condemned) * kPage)));
}

}  // namespace
}  // namespace lamina::testing
