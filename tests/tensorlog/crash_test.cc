// A crash at every operation on the disk: puts, overwriting, checkpoints, journal rotation. No
// wrong page afterwards, and none lost that was acknowledged and not condemned.
#include <catch2/catch.hpp>

#include "engine/io/simulated_file_system.h"
#include "tensorlog/journal_reader.h"
#include "tensorlog/journal_writer.h"
#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {
namespace {

constexpr size_t kBytes = 8192;
constexpr uint32_t kSlots = 8;
constexpr size_t kSegments = 2;
constexpr char kTables[] = "/store/slots";
constexpr char kJournal[] = "/store/journal";

struct Entry {
  SlotRef slot;
  uint64_t checksum = 0;
};

// What outlives a crash: the disk, and what a manifest and tables would hold, taken as durable in
// the moment in which the real ones would be.
struct Durable {
  explicit Durable(uint64_t seed) : disk(seed) {}
  SimulatedDisk disk;
  std::vector<SegmentInfo> segments;
  std::map<uint32_t, uint64_t> slot_tables;
  std::multimap<uint64_t, Entry> index;  // by page name
  JournalPosition checkpoint;
  uint64_t epoch = 0;
  bool known = false;
};

// Pages by name that were acknowledged and not condemned since, and those of them that a checkpoint
// has covered. What must be found after a crash is one or the other; anything else may be.
struct Acknowledged {
  std::set<uint64_t> put;
  std::set<uint64_t> flushed;
};

struct Payload {
  AlignedBuffer memory{kBytes};
  iovec fragment{memory.data(), kBytes};
  explicit Payload(uint64_t name) {
    for (size_t i = 0; i < kBytes; i += 8) std::memcpy(memory.data() + i, &name, 8);
  }
  [[nodiscard]] bool Is(uint64_t name) const {
    for (size_t i = 0; i < kBytes; i += 8) {
      if (std::memcmp(memory.data() + i, &name, 8) != 0) return false;
    }
    return true;
  }
};

// One process: opens, recovers, and then puts.
class Process final : private SegmentSource, private JournalVisitor {
 public:
  Process(Durable& durable, bool sync)
      : durable_(durable), sync_(sync), fs_(durable.disk.Restart()), bounce_(1 << 20, 2 << 20) {}

  Status Open() {
    LAMINA_RETURN_IF_ERROR(fs_->MakeDirectory("/store"));
    LAMINA_RETURN_IF_ERROR(fs_->MakeDirectory(kTables));
    LAMINA_RETURN_IF_ERROR(fs_->MakeDirectory(kJournal));
    TensorLogOptions options;
    options.store_id = kTestStore;
    options.log_dirs = {"/store/log"};
    options.slot_table_dir = kTables;
    options.capacity_bytes = uint64_t{kBytes} * kSlots * 64;
    LAMINA_ASSIGN_OR_RETURN(log_, TensorLog::Open(*fs_, bounce_, options, {durable_.known}, *this));
    durable_.known = true;
    for (const SegmentInfo& info : durable_.segments) {
      const auto table = durable_.slot_tables.find(info.id);
      LAMINA_ASSIGN_OR_RETURN(
          const auto recovered,
          log_->AddSegment(info, table == durable_.slot_tables.end() ? 0 : table->second));
      LAMINA_RETURN_IF_ERROR(recovered.problem);
    }
    index_ = durable_.index;
    LAMINA_ASSIGN_OR_RETURN(const JournalReplay replay,
                            ReplayJournal(*fs_, kJournal, kTestStore, durable_.checkpoint, *this));
    LAMINA_RETURN_IF_ERROR(replay.first_problem);
    log_->FinishReplay();
    LAMINA_RETURN_IF_ERROR(log_->RemoveOrphans().status());
    durable_.epoch = std::max(durable_.epoch, replay.max_epoch) + 1;
    LAMINA_ASSIGN_OR_RETURN(journal_,
                            JournalWriter::Open(*fs_, {.directory = kJournal,
                                                       .store_id = kTestStore,
                                                       .epoch = durable_.epoch,
                                                       .sync = sync_,
                                                       .file_bytes = 5 * kJournalBlockBytes}));
    LAMINA_ASSIGN_OR_RETURN(queue_, fs_->NewQueue(4));
    return Status::Ok();
  }

  // What each page reads as: nothing, itself, or (never) something else.
  void Check(const std::set<uint64_t>& expected) {
    std::set<uint64_t> found;
    for (const auto& [name, entry] : index_) {
      Payload payload(0);
      PageRead read{.slot = entry.slot,
                    .fingerprint = name,
                    .checksum = entry.checksum,
                    .length = kBytes,
                    .fragments = {&payload.fragment, 1}};
      log_->ReadPages(*queue_, std::span(&read, 1), {}, nullptr, nullptr);
      if (read.outcome != ReadOutcome::kOk) continue;
      REQUIRE(payload.Is(name));
      found.insert(name);
    }
    for (const uint64_t name : expected) REQUIRE(found.contains(name));
    const auto stats = log_->Stats(true);
    for (const ClassStats& slots : stats) {
      REQUIRE(slots.pinned == 0);
      REQUIRE(slots.slots.writing == 0);
      REQUIRE(slots.slots.total() == slots.segments * kSlots);
    }
  }

  Status Put(uint64_t first_name, size_t count, Acknowledged* acknowledged) {
    auto runs = log_->Take(kBytes, count);
    while (runs.status().code() == StatusCode::kNoSpace) {
      LAMINA_RETURN_IF_ERROR(CondemnOldest(acknowledged));
      runs = log_->Take(kBytes, count);
    }
    LAMINA_RETURN_IF_ERROR(runs.status());
    std::vector<Payload> payloads;
    std::vector<PageWrite> writes;
    payloads.reserve(count);
    for (const SlotRun& run : *runs) {
      for (uint32_t i = 0; i < run.count; ++i) {
        const uint64_t name = first_name + writes.size();
        payloads.emplace_back(name);
        writes.push_back({.slot = run.slot(i),
                          .fingerprint = name,
                          .fragments = {&payloads.back().fragment, 1}});
      }
    }
    const auto guard = journal_->Begin();
    Status status = log_->WritePages(*queue_, writes, {}, sync_, nullptr);
    JournalRecords records;
    for (const PageWrite& write : writes) {
      const JournalPage page{write.slot, kBytes, 1, write.checksum};
      records.AddPut({{1, 1}, 0, {write.fingerprint, 0}, {&write.fingerprint, 1}, 0, {&page, 1}});
    }
    JournalWriter::Appended appended;
    if (status.ok()) {
      auto result = journal_->Append(guard, records);
      status = result.status();
      if (status.ok()) appended = *result;
    }
    for (const PageWrite& write : writes) {
      if (!status.ok()) {
        log_->Release(write.slot);
        continue;
      }
      log_->Publish(write.slot, TagOf(write.fingerprint, write.checksum), 1, appended.last);
      index_.insert({write.fingerprint, {write.slot, write.checksum}});
      acknowledged->put.insert(write.fingerprint);
    }
    return status;
  }

  Status Checkpoint(Acknowledged* acknowledged) {
    const JournalPosition position = journal_->LowWater();
    const auto index = index_;
    const uint64_t generation = ++generation_ + durable_.epoch * 1000;
    LAMINA_ASSIGN_OR_RETURN(const auto saved, log_->SaveSlotTables(position, generation, false));
    LAMINA_RETURN_IF_ERROR(log_->SyncPayloads());
    LAMINA_RETURN_IF_ERROR(journal_->Sync());
    const JournalPosition keep = durable_.checkpoint;
    // The manifest edit.
    if (durable_.disk.crashed()) return Status::IoError("crashed");
    durable_.checkpoint = position;
    durable_.index = index;
    for (const SavedSlotTable& table : saved) durable_.slot_tables[table.segment] = generation;
    acknowledged->flushed = acknowledged->put;
    log_->CheckpointDone(position, saved);
    return journal_->DeleteBelow(keep);
  }

 private:
  // Condemning is legal at any time; what is condemned may be gone after a crash.
  Status CondemnOldest(Acknowledged* acknowledged) {
    std::set<uint64_t>& pages = acknowledged->put;
    if (pages.empty()) return Status::NoSpace("nothing left to condemn");
    for (int i = 0; i < 3 && !pages.empty(); ++i) {
      const uint64_t name = *pages.begin();
      pages.erase(pages.begin());
      acknowledged->flushed.erase(name);
      for (auto [at, end] = index_.equal_range(name); at != end; ++at) {
        log_->Condemn(at->second.slot, TagOf(name, at->second.checksum));
      }
    }
    return Status::Ok();
  }

  Result<uint32_t> ReserveSegment(uint32_t, uint32_t, uint32_t*) noexcept override {
    if (durable_.segments.size() >= kSegments) return Status::NoSpace("enough");
    return static_cast<uint32_t>(durable_.segments.size()) + 1;
  }
  Status SegmentCreated(const SegmentInfo& info) noexcept override {
    if (durable_.disk.crashed()) return Status::IoError("crashed");
    durable_.segments.push_back(info);
    return Status::Ok();
  }
  void SegmentFailed(const SegmentInfo&, const Status&) noexcept override {}

  void OnPut(JournalPosition at, const PutRecord& put) noexcept override {
    const JournalPage& page = put.pages[0];
    const uint64_t name = put.fingerprints[0];
    log_->Replay(at, page.slot, TagOf(name, page.checksum), 1);
    index_.insert({name, {page.slot, page.checksum}});
  }
  void OnMove(JournalPosition, const MoveRecord&) noexcept override {}
  void OnSegmentStarted(JournalPosition, const SegmentInfo&) noexcept override {}

  Durable& durable_;
  const bool sync_;
  std::unique_ptr<FileSystem> fs_;
  BufferPool bounce_;
  std::unique_ptr<TensorLog> log_;
  std::unique_ptr<JournalWriter> journal_;
  std::unique_ptr<IoQueue> queue_;
  std::multimap<uint64_t, Entry> index_;
  uint64_t generation_ = 0;
};

// Puts until the disk crashes or the history ends.
void RunHistory(Process& process, uint64_t* name, Acknowledged* acknowledged) {
  for (int put = 0; put < 24; ++put) {
    const size_t count = 1 + static_cast<size_t>(put) % 3;
    if (!process.Put(*name, count, acknowledged).ok()) return;
    *name += count;
    if (put % 7 == 6 && !process.Checkpoint(acknowledged).ok()) return;
  }
}

void CrashEverywhere(SimulatedCrash kind, bool sync, uint64_t seed) {
  uint64_t crashes = 0;
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n, seed, static_cast<int>(kind));
    Durable durable(seed * 1000 + n);
    Acknowledged acknowledged;
    // Without syncs, a power cut may cost what no checkpoint has covered.
    const std::set<uint64_t>& expected =
        kind == SimulatedCrash::kPower && !sync ? acknowledged.flushed : acknowledged.put;
    uint64_t name = 1;
    bool crashed = false;
    {
      // The first life fills the log, so that the second overwrites.
      Process process(durable, sync);
      REQUIRE(process.Open().ok());
      RunHistory(process, &name, &acknowledged);
      // It ends without a last checkpoint: the next life replays.
    }
    {
      Process process(durable, sync);
      durable.disk.SetCrashAt(n, kind);
      if (process.Open().ok()) RunHistory(process, &name, &acknowledged);
      crashed = durable.disk.crashed();
    }
    // A put that failed at the crash may have used its names.
    name += 10;
    Process process(durable, sync);
    REQUIRE(process.Open().ok());
    process.Check(expected);
    // And life goes on.
    RunHistory(process, &name, &acknowledged);
    process.Check(expected);
    if (!crashed) break;
    ++crashes;
  }
  CHECK(crashes > 100);
}

uint64_t Seed() {
  const char* const text = std::getenv("LAMINA_TEST_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

TEST_CASE("a power cut at any operation costs nothing that was acknowledged with a sync") {
  CrashEverywhere(SimulatedCrash::kPower, /*sync=*/true, Seed());
}

TEST_CASE("a power cut at any operation costs nothing that a checkpoint has covered") {
  CrashEverywhere(SimulatedCrash::kPower, /*sync=*/false, Seed());
}

TEST_CASE("the death of the process at any operation costs nothing that was acknowledged") {
  CrashEverywhere(SimulatedCrash::kProcess, /*sync=*/false, Seed());
}

}  // namespace
}  // namespace lamina
