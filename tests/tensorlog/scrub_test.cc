// erase=physical in the log: what is freed is erased before it is free.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {
namespace {

constexpr size_t kPage = 65536;

struct ScrubLog : TestLog {
  ScrubLog() : TestLog(1) {
    options.physical_erase = true;
    Reopen();
    for (uint64_t i = 1; i <= 8; ++i) pages.emplace_back(i, kPage);
    slots = Put(pages);
    if (slots.size() != 8) std::abort();
  }
  static uint64_t Tag(const TestPage& page) { return TagOfPage(page); }
  bool IsZero(SlotRef slot) {
    const std::string file = ReadWhole(log->log_dirs()[0]->SegmentPath(slot.segment));
    return file.substr(slot.slot * kPage, kPage).find_first_not_of('\0') == std::string::npos;
  }
  SlotCounts Counts() { return log->Stats(false).at(0).slots; }

  std::vector<TestPage> pages;
  std::vector<SlotRef> slots;
};

TEST_CASE("freed and released slots are erased by the next scrub, and free after it") {
  ScrubLog t;
  REQUIRE(t.log->Free(t.slots[1], ScrubLog::Tag(t.pages[1])));
  REQUIRE(t.log->Condemn(t.slots[2], ScrubLog::Tag(t.pages[2])));
  REQUIRE(t.log->Condemn(t.slots[5], ScrubLog::Tag(t.pages[5])));
  REQUIRE(t.log->Free(t.slots[2], ScrubLog::Tag(t.pages[2])));
  const auto taken = t.log->Take(kPage, 8);
  REQUIRE(taken.ok());
  REQUIRE(taken->size() == 1);
  REQUIRE(taken->front().slot(0) == t.slots[5]);  // what was freed is not given out
  t.log->Release(taken->front());
  CHECK(t.Counts().writing == 3);
  CHECK_FALSE(t.IsZero(t.slots[1]));
  REQUIRE(t.log->Scrub().ok());
  CHECK(t.Counts().free == 3);
  for (const size_t i : {1U, 2U, 5U}) CHECK(t.IsZero(t.slots[i]));
  for (const size_t i : {0U, 3U, 4U, 6U, 7U})
    CHECK(t.Get(t.pages[i], t.slots[i]) == ReadOutcome::kOk);
}

TEST_CASE("a page that is being read is erased when its reader is done, and not taken before") {
  ScrubLog t;
  REQUIRE(t.log->Pin(t.slots[3], ScrubLog::Tag(t.pages[3])));
  REQUIRE(t.log->Free(t.slots[3], ScrubLog::Tag(t.pages[3])));
  std::atomic<bool> scrubbed{false};
  std::thread scrubber([&] { scrubbed = t.log->Scrub().ok(); });
  // However long it has waited by now.
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  CHECK_FALSE(scrubbed.load());
  CHECK_FALSE(t.IsZero(t.slots[3]));
  CHECK_FALSE(t.log->Take(kPage, 1).ok());
  t.log->Unpin(t.slots[3]);
  scrubber.join();
  CHECK(scrubbed.load());
  CHECK(t.IsZero(t.slots[3]));
  CHECK(t.log->Take(kPage, 1).ok());
}

TEST_CASE("slots that are free when the log is opened are erased first") {
  TestLog t(1);
  std::vector<TestPage> pages;
  for (uint64_t i = 1; i <= 8; ++i) pages.emplace_back(i, kPage);
  const auto slots = t.Put(pages);
  REQUIRE(t.log->Free(slots[6], TestLog::TagOfPage(pages[6])));
  REQUIRE(t.Checkpoint({2, 0}).ok());
  t.options.physical_erase = true;
  t.Reopen();
  CHECK_FALSE(t.log->Take(kPage, 1).ok());
  REQUIRE(t.log->Scrub().ok());
  const std::string file = ReadWhole(t.log->log_dirs()[0]->SegmentPath(slots[6].segment));
  CHECK(file.substr(6 * kPage, kPage).find_first_not_of('\0') == std::string::npos);
  CHECK(t.log->Take(kPage, 1).ok());
  CHECK(t.Get(pages[5], slots[5]) == ReadOutcome::kOk);
}

TEST_CASE("a scrub that a failed sync made necessary frees what it may") {
  ScrubLog t;
  t.fs.failures.only_in = ".segment";
  t.fs.failures.sync_at = 1;
  CHECK_FALSE(t.Checkpoint({2, 0}).ok());
  t.fs.failures.sync_at = 0;
  CHECK(t.Counts().live == 0);
  CHECK(t.log->Scrub().ok());
  CHECK(t.Counts().free == 8);
  for (const SlotRef slot : t.slots) CHECK(t.IsZero(slot));
}

}  // namespace
}  // namespace lamina
