#include "bench/peers_run.h"

#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <optional>
#include <utility>

#include "bench/directory.h"
#include "bench/peers_phases.h"

namespace lamina::bench {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
// Of the memory that is available, so that the page cache keeps some.
constexpr double kMemoryShare = 0.75;
// Puts in place of which a round's pages come until a bounded engine overwrites.
constexpr size_t kFillRounds = 5;

// What each round's generations of page names begin at.
enum Generation : uint64_t { kStored, kMixedIn, kWritten, kMissing, kGenerationsPerRound };

struct Pools {
  PageBuffers source;
  PageBuffers target;

  static Result<Pools> Allocate(size_t pages, size_t page_bytes, BufferLayout layout) {
    Result<PageBuffers> source = PageBuffers::Allocate(pages, page_bytes, layout);
    if (!source.ok()) return source.status();
    Result<PageBuffers> target = PageBuffers::Allocate(pages, page_bytes, layout);
    if (!target.ok()) return target.status();
    return Pools{std::move(*source), std::move(*target)};
  }
};

// An engine with a directory of its own, which goes with it.
class Subject {
 public:
  static Result<std::unique_ptr<Subject>> Open(const Contender& contender, EngineConfig config,
                                               size_t contender_index) {
    const Status status = MakeDirectory(config.dir);
    if (!status.ok()) return status;
    std::unique_ptr<Subject> subject(new Subject(config.dir, contender_index));
    Result<std::unique_ptr<Engine>> engine = OpenEngine(contender.engine, config);
    if (!engine.ok()) return engine.status();
    subject->engine_ = std::move(*engine);
    return subject;
  }
  ~Subject() {
    engine_.reset();
    RemoveTree(dir_);
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  Engine& engine() { return *engine_; }
  // Index in the plan.
  [[nodiscard]] size_t contender() const { return contender_; }

 private:
  Subject(std::string dir, size_t contender) : dir_(std::move(dir)), contender_(contender) {}
  const std::string dir_;
  const size_t contender_;
  std::unique_ptr<Engine> engine_;
};

// The rounds of one shape.
class ShapeRun {
 public:
  ShapeRun(const PeersPlan& plan, size_t shape_index,
           const std::function<void(const std::string&)>& progress, const std::atomic<bool>& stop,
           std::vector<Measurement>* measurements)
      : plan_(plan),
        shape_index_(shape_index),
        shape_(plan.shapes[shape_index]),
        sequences_(SequencesOf(plan, shape_)),
        progress_(progress),
        stop_(stop),
        measurements_(*measurements) {}

  Status Run() {
    Status status = AllocatePools();
    for (size_t round = 0; round < plan_.rounds && status.ok() && !stop_; ++round) {
      if (subjects_.empty()) status = OpenAll();
      if (status.ok()) status = Round(round);
      if (!shape_.recycled) CloseAll();
    }
    CloseAll();
    return status;
  }

 private:
  [[nodiscard]] SequenceNames Names(uint64_t generation) const {
    return SequenceNames(plan_.engine.root, generation, sequences_, shape_.batch);
  }

  Status AllocatePools() {
    const size_t pages = sequences_ * shape_.batch;
    const BufferLayout layout = {shape_.fragments, shape_.misalign_bytes};
    Result<Pools> pools = Pools::Allocate(pages, shape_.page_bytes, layout);
    if (!pools.ok()) return pools.status();
    pools_.emplace(std::move(*pools));
    if (IsPlain(shape_)) return Status::Ok();
    Result<Pools> raw_pools = Pools::Allocate(pages, shape_.page_bytes, {});
    if (!raw_pools.ok()) return raw_pools.status();
    raw_pools_.emplace(std::move(*raw_pools));
    return Status::Ok();
  }

  [[nodiscard]] const Contender& ContenderOf(const Subject& subject) const {
    return plan_.contenders[subject.contender()];
  }

  Status Named(const Subject& subject, const Status& status) const {
    if (status.ok()) return status;
    return Status(status.code(), ContenderOf(subject).label + ": " + std::string(status.message()));
  }

  PhaseContext ContextOf(Subject* subject, const SequenceNames& names) {
    const bool own = raw_pools_.has_value() && ContenderOf(*subject).engine == "raw";
    const Pools& pools = own ? *raw_pools_ : *pools_;
    return {&subject->engine(), shape_.page_bytes, &names, &pools.source, &pools.target};
  }

  Status OpenAll() {
    for (size_t i = 0; i < plan_.contenders.size(); ++i) {
      const Contender& contender = plan_.contenders[i];
      if (shape_.recycled && !CanRecycle(contender.engine)) continue;
      EngineConfig config = ConfigOf(plan_, shape_, contender);
      config.dir = plan_.dir + "/" + contender.label;
      Result<std::unique_ptr<Subject>> subject = Subject::Open(contender, std::move(config), i);
      if (!subject.ok()) {
        return Status(subject.status().code(),
                      contender.label + ": " + std::string(subject.status().message()));
      }
      subjects_.push_back(std::move(*subject));
    }
    return shape_.recycled ? FillAll() : Status::Ok();
  }

  // Until every block was written.
  Status FillAll() {
    for (size_t i = 0; i < kFillRounds; ++i) {
      const SequenceNames names = Names((plan_.rounds + i) * kGenerationsPerRound);
      for (const std::unique_ptr<Subject>& subject : subjects_) {
        Tell("fill", i, *subject);
        const Result<PhaseResult> put = RunPut(ContextOf(subject.get(), names), names);
        if (!put.ok()) return Named(*subject, put.status());
        if (stop_) return Status::Ok();
      }
    }
    return Status::Ok();
  }

  void CloseAll() {
    if (subjects_.empty()) return;
    subjects_.clear();
    // What removing them leaves to do, a journal's commit and discards, is not the next round's.
    (void)SyncFileSystem(plan_.dir);
  }

  Status Round(size_t round) {
    const SequenceNames names = Names(round * kGenerationsPerRound + kStored);
    FillSequences(names, pools_->source);
    if (raw_pools_) FillSequences(names, raw_pools_->source);
    for (const PeerOp op : plan_.ops) {
      const bool threaded = op == PeerOp::kRestore || op == PeerOp::kRestoreRandom;
      for (const unsigned threads : threaded ? plan_.threads : std::vector<unsigned>{1}) {
        for (size_t i = 0; i < subjects_.size(); ++i) {
          if (stop_) return Status::Ok();
          // Forwards in one round, backwards in the next.
          const size_t at = round % 2 == 0 ? i : subjects_.size() - 1 - i;
          const Status status = Phase(round, op, threads, names, subjects_[at].get());
          if (!status.ok()) return Named(*subjects_[at], status);
        }
      }
    }
    return Status::Ok();
  }

  Status Phase(size_t round, PeerOp op, unsigned threads, const SequenceNames& names,
               Subject* subject) {
    Tell(PeerOpName(op), round, *subject);
    // Nobody else's dirty pages, as far as they are this process's doing.
    Status status = SyncFileSystem(plan_.dir);
    if (!status.ok()) return status;
    Result<PhaseResult> result = Run(round, op, threads, ContextOf(subject, names));
    subject->engine().AwaitBackground();
    if (!result.ok()) return result.status();
    measurements_.push_back(
        {shape_index_, subject->contender(), op, threads, round, std::move(*result)});
    return Status::Ok();
  }

  Result<PhaseResult> Run(size_t round, PeerOp op, unsigned threads, const PhaseContext& context) {
    const auto generation = [&](Generation g) { return Names(round * kGenerationsPerRound + g); };
    // The same order for all engines.
    const auto shuffled = [&] { return Shuffled(sequences_, round * std::size(kPeerOps)); };
    switch (op) {
      case PeerOp::kPut:
        return RunPut(context, *context.names);
      case PeerOp::kRestore:
        return RunRestore(context, InOrder(sequences_), threads);
      case PeerOp::kRestoreRandom:
        return RunRestore(context, shuffled(), threads);
      case PeerOp::kProbeHit:
        return RunProbe(context, *context.names, true);
      case PeerOp::kProbeMiss:
        return RunProbe(context, generation(kMissing), false);
      case PeerOp::kMixed:
        return RunMixed(context, shuffled(), generation(kMixedIn));
      case PeerOp::kRestoreBesideWriter:
        return RunRestoreBesideWriter(context, shuffled(), generation(kWritten),
                                      plan_.writer_seconds);
    }
    return Status::InvalidArgument("no such operation");
  }

  void Tell(std::string_view what, size_t round, const Subject& subject) {
    progress_(fmt::format("{} bytes x {}, round {}: {} {}", shape_.page_bytes, shape_.batch,
                          round + 1, ContenderOf(subject).label, what));
  }

  const PeersPlan& plan_;
  const size_t shape_index_;
  const Shape& shape_;
  const size_t sequences_;
  const std::function<void(const std::string&)>& progress_;
  const std::atomic<bool>& stop_;
  std::vector<Measurement>& measurements_;
  std::optional<Pools> pools_;
  std::optional<Pools> raw_pools_;  // where raw cannot use the others
  std::vector<std::unique_ptr<Subject>> subjects_;
};

std::optional<uint64_t> AvailableMemoryBytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string name;
  uint64_t kib = 0;
  std::string unit;
  while (meminfo >> name >> kib >> unit) {
    if (name == "MemAvailable:") return kib << 10;
  }
  return std::nullopt;
}

}  // namespace

Status CheckRoom(const PeersPlan& plan) {
  const Result<PlanNeeds> needs = NeedsOf(plan);
  if (!needs.ok()) return needs.status();
  const Result<uint64_t> free = FreeBytes(plan.dir);
  if (!free.ok()) return free.status();
  if (needs->disk_bytes > *free) {
    return Status::NoSpace(fmt::format(
        "the engines together need up to {:.1f} GiB in {}, which has {:.1f} GiB free; use fewer "
        "--bytes or --engines, or --dir on another disk",
        static_cast<double>(needs->disk_bytes) / kGiB, plan.dir,
        static_cast<double>(*free) / kGiB));
  }
  const std::optional<uint64_t> memory = AvailableMemoryBytes();
  if (memory &&
      static_cast<double>(needs->memory_bytes) > static_cast<double>(*memory) * kMemoryShare) {
    return Status::NoSpace(fmt::format(
        "page buffers need {:.1f} GiB of memory, and {:.1f} GiB is available; use "
        "fewer --bytes",
        static_cast<double>(needs->memory_bytes) / kGiB, static_cast<double>(*memory) / kGiB));
  }
  return Status::Ok();
}

Result<std::vector<Measurement>> RunPeers(const PeersPlan& plan,
                                          const std::function<void(const std::string&)>& progress,
                                          const std::atomic<bool>& stop) {
  std::vector<Measurement> measurements;
  for (size_t i = 0; i < plan.shapes.size() && !stop; ++i) {
    const Status status = ShapeRun(plan, i, progress, stop, &measurements).Run();
    if (!status.ok()) return status;
  }
  return measurements;
}

}  // namespace lamina::bench
