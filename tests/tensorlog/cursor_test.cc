// Which slots are given out: the log before its first wrap, and the sweep after it.
#include <catch2/catch.hpp>
#include <thread>

#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {
namespace {

constexpr size_t kPage = 65536;
constexpr uint32_t kSlots = 8;  // of a segment, at this capacity

// Names slots by their place in the log and publishes tags without writing payloads.
struct Sweep : TestLog {
  explicit Sweep(size_t segments, size_t dirs = 1) : TestLog(segments, 8 << 20, dirs) {}

  std::vector<uint32_t> Take(size_t count) {
    std::vector<uint32_t> taken;
    auto runs = log->Take(kPage, count);
    if (!runs.ok()) return taken;
    for (const SlotRun& run : *runs) {
      for (uint32_t i = 0; i < run.count; ++i) {
        const uint32_t place = (run.segment - 1) * kSlots + run.first + i;
        log->Publish(run.slot(i), Tag(place), 1, {});
        taken.push_back(place);
      }
    }
    return taken;
  }
  static SlotRef At(uint32_t place) { return {place / kSlots + 1, place % kSlots}; }
  static uint64_t Tag(uint32_t place) { return place + 1000; }
  void Condemn(std::initializer_list<uint32_t> places) {
    for (const uint32_t place : places) REQUIRE(log->Condemn(At(place), Tag(place)));
  }
};

std::vector<uint32_t> Range(uint32_t first, uint32_t count) {
  std::vector<uint32_t> range;
  for (uint32_t i = 0; i < count; ++i) range.push_back(first + i);
  return range;
}

TEST_CASE("until its first wrap the log is a plain log") {
  Sweep s(3);
  CHECK(s.Take(3) == Range(0, 3));
  // Freed slots behind the cursor wait for their turn.
  REQUIRE(s.log->Free(Sweep::At(0), Sweep::Tag(0)));
  CHECK(s.Take(6) == Range(3, 6));
  CHECK(s.Take(15) == Range(9, 15));
  CHECK(s.source.segments.size() == 3);
  CHECK(s.Take(1) == Range(0, 1));
  CHECK(s.log->Take(kPage, 1).status().code() == StatusCode::kNoSpace);
}

TEST_CASE("the sweep overwrites what is condemned, oldest first, and skips what is live") {
  Sweep s(2);
  REQUIRE(s.Take(16).size() == 16);
  s.Condemn({0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15});
  CHECK(s.Take(4) == Range(0, 4));
  // Never over the end of a segment: 6, 7 and 8, 9 are two runs of two, so the next of four is 12.
  CHECK(s.Take(4) == Range(12, 4));
  CHECK(s.log->Bears(Sweep::At(6), Sweep::Tag(6)));
}

TEST_CASE("after a full turn without a long run, the longest is taken") {
  Sweep s(2);
  REQUIRE(s.Take(16).size() == 16);
  s.Condemn({1, 4, 5, 9, 11, 12, 13, 15});
  CHECK(s.Take(4) == std::vector<uint32_t>{11, 12, 13, 15});
  CHECK(s.Take(3) == std::vector<uint32_t>{4, 5, 9});
}

TEST_CASE("a put of one page is content with one slot") {
  Sweep s(2);
  REQUIRE(s.Take(16).size() == 16);
  s.Condemn({2, 8, 9, 10, 11});
  CHECK(s.Take(1) == Range(2, 1));
  CHECK(s.Take(1) == Range(8, 1));
}

TEST_CASE("pinned slots are skipped, and taken at a later turn") {
  Sweep s(1);
  REQUIRE(s.Take(8).size() == 8);
  s.Condemn({0, 1, 2, 3, 4});
  REQUIRE(s.log->Pin(Sweep::At(0), Sweep::Tag(0)));
  CHECK(s.Take(4) == Range(1, 4));
  CHECK(s.Take(1).empty());
  s.log->Unpin(Sweep::At(0));
  CHECK(s.Take(1) == Range(0, 1));
}

TEST_CASE("a whole segment's worth of freed slots is used before another segment is made") {
  Sweep s(4);
  REQUIRE(s.Take(16).size() == 16);
  for (uint32_t place = 0; place < 8; ++place) {
    REQUIRE(s.log->Free(Sweep::At(place), Sweep::Tag(place)));
  }
  CHECK(s.Take(8) == Range(0, 8));
  CHECK(s.Take(8) == Range(16, 8));
  CHECK(s.source.segments.size() == 3);
}

TEST_CASE("directories take turns every stripe, and runs are not cut short by them") {
  TestLog t(100, 8 << 20, 3);
  t.options.stripe_bytes = 5 * kPage;
  t.Open(true);
  t.log->FinishReplay();
  std::vector<uint32_t> dirs;
  for (int i = 0; i < 10; ++i) {
    auto runs = t.log->Take(kPage, 5);
    REQUIRE(runs.ok());
    for (const SlotRun& run : *runs) {
      const auto infos = t.log->Segments();
      for (const SegmentInfo& info : infos) {
        if (info.id == run.segment) dirs.insert(dirs.end(), run.count, info.log_dir);
      }
      t.log->Release(run);
    }
  }
  REQUIRE(dirs.size() == 50);
  std::array<size_t, 3> of{};
  for (const uint32_t dir : dirs) ++of[dir];
  for (const size_t slots : of) CHECK(slots >= 15);
}

TEST_CASE("a latched directory gets nothing more, the others take over") {
  Sweep s(100, 2);
  s.options.stripe_bytes = kPage;
  s.Open(true);
  s.log->FinishReplay();
  REQUIRE(s.Take(8).size() == 8);
  s.log->log_dirs()[0]->Latch(LogDir::Failure::kWrite, Status::IoError("broken"));
  auto runs = s.log->Take(kPage, 20);
  REQUIRE(runs.ok());
  const auto infos = s.log->Segments();
  for (const SlotRun& run : *runs) {
    for (const SegmentInfo& info : infos) {
      if (info.id == run.segment) CHECK(info.log_dir == 1);
    }
  }
  s.log->log_dirs()[1]->Latch(LogDir::Failure::kWrite, Status::IoError("broken too"));
  const auto none = s.log->Take(kPage, 1);
  CHECK(none.status().code() == StatusCode::kIoError);
  CHECK(none.status().message() == "broken");
}

TEST_CASE("a segment that is being drained gets no pages") {
  Sweep s(2);
  REQUIRE(s.Take(16).size() == 16);
  s.Condemn({0, 1, 2, 3, 8, 9});
  REQUIRE(s.log->SetDraining(1, true).ok());
  CHECK(s.Take(4) == std::vector<uint32_t>{8, 9});
  REQUIRE(s.log->SetDraining(1, false).ok());
  CHECK(s.Take(4) == Range(0, 4));
  CHECK_FALSE(s.log->SetDraining(77, true).ok());
}

TEST_CASE("the cursor goes on after a restart where it stood") {
  Sweep s(2);
  REQUIRE(s.Take(16).size() == 16);
  s.Condemn({0, 1, 2, 3, 8, 9, 10, 11});
  REQUIRE(s.Take(4) == Range(0, 4));
  SECTION("by the slot tables") {
    REQUIRE(s.Checkpoint({2, 0}).ok());
    s.Reopen();
  }
  SECTION("by the journal, where it knows more") {
    REQUIRE(s.Checkpoint({2, 0}).ok());
    s.Open(true);
    REQUIRE(s.log->Replay({2, 1}, Sweep::At(6), 1, 1));
    REQUIRE(s.log->Replay({2, 2}, Sweep::At(7), 2, 1));
    s.log->FinishReplay();
  }
  s.log->Condemn(Sweep::At(0), Sweep::Tag(0));
  CHECK(s.Take(4) == Range(8, 4));
}

TEST_CASE("a segment that cannot be made is an error only when nothing else can be given") {
  Sweep s(2);
  REQUIRE(s.Take(8).size() == 8);
  s.source.created_status = Status::IoError("no manifest");
  const auto failed = s.log->Take(kPage, 1);
  CHECK(failed.status().message() == "no manifest");
  CHECK(s.source.failed == 1);
  CHECK(s.log->Segments().size() == 1);
  // The manifest may name it all the same: its file stays, and the next open knows.
  CHECK(std::filesystem::exists(s.log->log_dirs()[0]->SegmentPath(2)));
  s.source.created_status = Status::NoSpace("no room in the manifest");
  CHECK(s.log->Take(kPage, 1).status().code() == StatusCode::kNoSpace);
  CHECK_FALSE(std::filesystem::exists(s.log->log_dirs()[0]->SegmentPath(3)));
  s.Condemn({5});
  CHECK(s.Take(1) == Range(5, 1));
  s.source.created_status = Status::Ok();
  CHECK(s.Take(1).size() == 1);
}

TEST_CASE("classes do not share segments, and a page too large is refused with the reason") {
  TestLog t(4, 8 << 20);
  auto small = t.log->Take(kPage, 1);
  auto odd = t.log->Take(70000, 1);
  REQUIRE(small.ok());
  REQUIRE(odd.ok());
  CHECK((*small)[0].segment != (*odd)[0].segment);
  CHECK(t.log->Stats(false).size() == 2);
  CHECK(t.log->Take(1 << 20, 1).status().message().find("too large") != std::string_view::npos);
  CHECK(t.log->Take(0, 1).status().code() == StatusCode::kInvalidArgument);
  CHECK(t.log->Take(uint64_t{2} << 30, 1).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("concurrent callers never get the same slot, and no slot is lost") {
  Sweep s(4);
  std::vector<std::thread> threads;
  std::array<std::atomic<int>, 4 * kSlots> owners{};
  std::atomic<int> clashes{0};
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int round = 0; round < 3000; ++round) {
        auto runs = s.log->Take(kPage, 1 + random() % 6);
        if (!runs.ok()) continue;
        for (const SlotRun& run : *runs) {
          for (uint32_t i = 0; i < run.count; ++i) {
            const SlotRef slot = run.slot(i);
            auto& owner = owners[(slot.segment - 1) * kSlots + slot.slot];
            if (owner.fetch_add(1) != 0) ++clashes;
            const uint64_t tag = random() | 1;
            const uint64_t fate = random() % 3;
            owner.fetch_sub(1);
            if (fate == 0) {
              s.log->Release(slot);
            } else {
              s.log->Publish(slot, tag, 1, {});
              if (!(fate == 1 ? s.log->Condemn(slot, tag) : s.log->Free(slot, tag))) ++clashes;
            }
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(clashes == 0);
  const ClassStats stats = s.log->Stats(true).at(0);
  CHECK(stats.slots.total() == stats.segments * kSlots);
  CHECK(stats.slots.live == 0);
  CHECK(stats.slots.writing == 0);
  CHECK(stats.pinned == 0);
}

}  // namespace
}  // namespace lamina
