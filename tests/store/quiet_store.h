// A store on a simulated disk that does nothing by itself: background work runs when a test asks
// for it, and within puts that wait for it.
#ifndef LAMINA_TESTS_STORE_QUIET_STORE_H_
#define LAMINA_TESTS_STORE_QUIET_STORE_H_

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "tests/store/simulated_store.h"

namespace lamina::testing {

class QuietStore {
 public:
  static constexpr size_t kPages = 2000;

  // `arrange` may change what the store is opened with.
  using Arrange = ArrangeStore;
  explicit QuietStore(const std::string& options, Arrange arrange = {})
      : arrange_(std::move(arrange)) {
    SetOptions(options);
    Reopen();
  }

  // For the next Reopen.
  void SetOptions(const std::string& options) { options_ = "memtable_bytes=4M;" + options; }

  // `meanwhile`: while it is closed.
  void Reopen(const std::function<void()>& meanwhile = [] {}) {
    path_.path.reset();
    store_.reset();
    meanwhile();
    auto opened = OpenSimulatedStore(disk_.Restart(), options_, 0, {}, arrange_);
    REQUIRE(opened.ok());
    store_ = std::move(*opened);
    path_ = MakePath(*store_, "model", Tokens(0, kPages));
  }

  // One page and a flush of it, as a checkpoint that is due by time makes one of whatever there is.
  bool PutAndFlush(size_t page) {
    const bool stored = CountOk(PutPages(*store_, path_, page, 1, kPage)) == 1;
    REQUIRE(store_->Flush().ok());
    return stored;
  }
  // Without payloads.
  void PutEntries(size_t first, size_t count) {
    REQUIRE(*store_->impl()->PutEntries(*path_.path->impl(), first, count, kPage) == count);
  }
  bool Reads(size_t pages) {
    const GetOutcome got = GetPages(*store_, path_, 0, pages, kPage);
    return CountOk(got.states) == pages && got.wrong == 0;
  }
  size_t LevelZeroRuns() { return store_->impl()->CurrentView()->tree->level(0).runs.size(); }
  Store& store() { return *store_; }
  TestPath& path() { return path_; }
  Scheduler& scheduler() { return store_->impl()->scheduler(); }
  SimulatedDisk& disk() { return disk_; }
  std::string Stats() { return store_->StatsJson(); }

 private:
  static constexpr size_t kPage = 4096;
  SimulatedDisk disk_{3};
  const Arrange arrange_;
  std::string options_;
  std::unique_ptr<Store> store_;
  TestPath path_;
};

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_STORE_QUIET_STORE_H_
