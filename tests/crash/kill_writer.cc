#include "tests/crash/kill_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <set>
#include <thread>

namespace lamina::testing {
namespace {

using Kind = KillReport::Kind;

class Writer {
 public:
  Writer(Store& store, const KillSetup& setup, uint64_t seed, uint32_t first_path, uint32_t step,
         int pipe)
      : store_(store),
        evicts_(setup.evicts),
        live_(store),
        random_(seed),
        first_path_(first_path),
        step_(step),
        pipe_(pipe) {}

  // How many pages that were promised are missing.
  void ReportOpened(const KillLedger& ledger) {
    uint32_t missing = 0;
    for (uint32_t number = 0; number < kKillPaths; ++number) {
      TestPath path = MakeKillPath(store_, number);
      const auto states = ProbePages(store_, path, 0, kKillPages);
      live_.Note(number, path);
      for (uint32_t page = 0; page < kKillPages; ++page) {
        const bool there = states[page] == PageState::kOk;
        if (ledger.Promised(number, page) && !there) ++missing;
        if (ledger.Absent(number, page) && there) Fail("an erased page is back");
      }
    }
    Report({.kind = Kind::kOpened, .count = static_cast<uint16_t>(missing)});
  }

  [[noreturn]] void Run() {
    for (;;) Step();
  }

 private:
  void Report(KillReport report) {
    if (evicts_ && report.kind != Kind::kPutBegun) report.live = live_.Look();
    if (write(pipe_, &report, sizeof report) != static_cast<ssize_t>(sizeof report)) _exit(1);
  }
  [[noreturn]] void Fail(const std::string& why) {
    std::fprintf(stderr, "writer: %s\n", why.c_str());
    Report({.kind = Kind::kFailed});
    _exit(1);
  }
  void Expect(const Status& status) {
    if (!status.ok()) Fail(status.ToString());
  }
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

  void Step() {
    number_ = first_path_ + step_ * Below(kKillPaths / step_);
    first_ = Below(kKillPages);
    count_ = 1 + Below(kKillPages - first_);
    const uint32_t what = Below(100);
    if (what < 60) {
      Put();
    } else if (what < 75) {
      Get();
    } else if (what < 86) {
      Erase();
    } else if (what < 94) {
      Expect(store_.Flush());
      Report({});
    } else if (what < 97) {
      EraseRoot();
    } else {
      // What is busy is left alone.
      const auto report = store_.CollectGarbage("");
      if (!report.ok() && report.status().code() != StatusCode::kBusy) Expect(report.status());
      Report({});
    }
  }

  KillReport About(Kind kind) const {
    return {.kind = kind,
            .path = static_cast<uint8_t>(number_),
            .first = static_cast<uint8_t>(first_),
            .count = static_cast<uint16_t>(count_)};
  }

  void Put() {
    Report(About(Kind::kPutBegun));
    TestPath path = MakeKillPath(store_, number_);
    const auto states = PutPages(store_, path, first_, count_, kKillPageBytes);
    live_.Note(number_, path);
    KillReport done = About(Kind::kPutDone);
    for (uint32_t i = 0; i < count_; ++i)
      if (states[i] == PageState::kOk) done.pages |= 1u << (first_ + i);
    if (!evicts_ && CountOk(states) != count_) Fail("a page was rejected: " + store_.StatsJson());
    Report(done);
  }

  void Get() {
    TestPath path = MakeKillPath(store_, number_);
    if (GetPages(store_, path, first_, count_, kKillPageBytes).wrong > 0)
      Fail("a get gave wrong bytes");
    Report({});
  }

  void Erase() {
    Report(About(Kind::kEraseBegun));
    TestPath path = MakeKillPath(store_, number_);
    Expect(store_.Erase(*path.path, first_, count_));
    Report(About(Kind::kEraseDone));
  }

  void EraseRoot() {
    Report(About(Kind::kRootBegun));
    Expect(store_.EraseRoot(KillRoot(number_)));
    Report(About(Kind::kRootDone));
  }

  Store& store_;
  const bool evicts_;
  LivePages live_;
  std::mt19937_64 random_;
  const uint32_t first_path_;
  const uint32_t step_;
  const int pipe_;
  uint32_t number_ = 0;
  uint32_t first_ = 0;
  uint32_t count_ = 0;
};

}  // namespace

Result<std::unique_ptr<Store>> OpenKillStore(const KillSetup& setup) {
  StoreEnvironment environment;
  environment.single_threaded = setup.evicts;
  if (setup.evicts) environment.capacity_bytes = uint64_t{5} << 20;
  auto impl =
      Store::Impl::Open(setup.directory, TestOptions(setup.options), std::move(environment));
  if (!impl.ok()) return impl.status();
  return std::make_unique<Store>(std::move(*impl));
}

void LivePages::Note(uint32_t path, const TestPath& made) {
  const Path::Impl& impl = *made.path->impl();
  for (uint32_t page = 0; page < kKillPages; ++page) {
    const Location& at = impl.locations[page];
    if (at.found) places_[{path, page}] = {at.entry.slot, at.entry.tag(impl.fingerprints[page])};
  }
}

PageSet LivePages::Look() {
  std::set<Place> live;
  store_.impl()->log().ForEachSlot([&](Segment& segment, uint32_t number, Slot& slot) {
    if (slot.state() == SlotState::kLive) live.insert({{segment.id(), number}, slot.tag()});
  });
  std::erase_if(places_, [&](const auto& place) { return !live.contains(place.second); });
  PageSet pages = {};
  for (const auto& [page, place] : places_) pages[page.first] |= 1u << page.second;
  return pages;
}

void RunKillWriter(const KillSetup& setup, const KillLedger& ledger, uint64_t seed, int pipe) {
  auto opened = OpenKillStore(setup);
  if (!opened.ok()) {
    std::fprintf(stderr, "writer: open: %s\n", opened.status().ToString().c_str());
    const KillReport failed = {.kind = Kind::kFailed};
    if (write(pipe, &failed, sizeof failed) < 0) _exit(2);
    _exit(1);
  }
  Store& store = **opened;
  const uint32_t writers = setup.evicts ? 1 : kKillRoots;
  Writer first(store, setup, seed, 0, writers, pipe);
  first.ReportOpened(ledger);
  // Each with a root of its own.
  if (writers > 1) {
    std::thread([&] { Writer(store, setup, seed + 1, 1, writers, pipe).Run(); }).detach();
  }
  first.Run();
}

}  // namespace lamina::testing
