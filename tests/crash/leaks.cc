#include "tests/crash/leaks.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <map>
#include <string>

#include "engine/store/store_impl.h"
#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

// Work that has failed is tried again, as when a while has passed since.
void Settle(Store::Impl& impl) {
  for (size_t work = 0; work < kWorkClasses; ++work)
    impl.scheduler().ClearError(static_cast<WorkClass>(work));
  const auto deadline = Scheduler::Clock::now() + std::chrono::seconds(120);
  const Status idle = impl.scheduler().WaitIdle(deadline);
  CAPTURE(idle.ToString());
  CHECK(idle.ok());
  // What a checkpoint has no use for any more goes with the next one.
  CHECK(impl.Checkpoint(false).ok());
  CHECK(impl.Checkpoint(false).ok());
  // Behind a checkpoint the store may find that its metadata has grown, and give up a segment: that
  // leaves dead entries.
  const auto retired = [&] { return impl.counters().segments_retired.load(); };
  for (uint64_t before = UINT64_MAX; before != retired();) {
    before = retired();
    const Status compacted = impl.CompactAll();
    CAPTURE(compacted.ToString());
    CHECK(compacted.ok());
  }
}

uint64_t TaggedSlots(TensorLog& log) {
  uint64_t tagged = 0;
  log.ForEachSlot([&](Segment& segment, uint32_t number, Slot& slot) {
    CAPTURE(segment.id(), number);
    if (slot.pins() != 0) FAIL_CHECK("a slot stays pinned");
    if (slot.state() == SlotState::kWriting) FAIL_CHECK("a slot stays taken");
    if ((slot.tag() != 0) == (slot.state() == SlotState::kFree)) FAIL_CHECK("a slot is half free");
    tagged += slot.tag() != 0 ? 1 : 0;
  });
  return tagged;
}

// Files by what they are for, and what they take together with their directories.
class Files {
 public:
  void Look(FileSystem& fs, const std::string& directory) {
    if (const auto own = fs.AllocatedBytes(directory); own.ok()) bytes_ += *own;
    const auto names = fs.List(directory);
    REQUIRE(names.ok());
    for (const std::string& name : *names) {
      if (name == "log") continue;  // a directory
      const auto bytes = fs.AllocatedBytes(directory + "/" + name);
      REQUIRE(bytes.ok());
      bytes_ += *bytes;
      const size_t dot = name.rfind('.');
      ++kinds_[name.starts_with("MANIFEST-") ? "MANIFEST"
               : dot == std::string::npos    ? name
                                             : name.substr(dot)];
    }
  }
  void Expect(const std::string& kind, size_t least, size_t most) {
    CAPTURE(kind, kinds_[kind], least, most);
    CHECK((kinds_[kind] >= least && kinds_[kind] <= most));
    kinds_.erase(kind);
  }
  void ExpectNoOthers() {
    for (const auto& [kind, count] : kinds_) FAIL_CHECK(count << " files of the kind " << kind);
  }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  std::map<std::string, size_t> kinds_;
  uint64_t bytes_ = 0;
};

}  // namespace

void CheckNothingLeaks(Store& store, FileSystem& fs, const std::string& directory) {
  Store::Impl& impl = *store.impl();
  Settle(impl);
  const auto view = impl.CurrentView();
  CHECK(view->tree->entries() == TaggedSlots(impl.log()));
  CHECK(impl.budget().OverBytes() == 0);

  Files files;
  files.Look(fs, directory);
  const size_t log_dirs = impl.log().log_dirs().size();
  for (const auto& dir : impl.log().log_dirs()) files.Look(fs, dir->path());
  size_t tables = 0;
  for (const RunPtr& run : view->tree->RunsNewestFirst()) tables += run->tables.size();
  const size_t segments = impl.log().Segments().size();
  files.Expect("CURRENT", 1, 1);
  files.Expect("MANIFEST", 1, 1);
  files.Expect("LOCK", 1, 1);
  files.Expect("LAMINA_LOG", log_dirs, log_dirs);
  files.Expect(".sst", tables, tables);
  files.Expect(".segment", segments, segments);
  files.Expect(".slots", 0, segments);
  files.Expect(".journal", 1, 3);
  files.Expect(".policy", 0, 1);
  files.Expect("BALLAST", 0, 1);
  files.Expect("TUNER-JOURNAL", 0, 1);
  files.ExpectNoOthers();

  const std::string stats = store.StatsJson();
  CHECK(StatOf(stats, "physical_bytes") == files.bytes());
  CHECK(StatOf(stats, "segment_bytes") == impl.budget().segment_bytes());
}

}  // namespace lamina::testing
