// A picked job as background work: moves and merges alike, step by step, and its installation.
#ifndef LAMINA_COMPACTION_COMPACTION_TASK_H_
#define LAMINA_COMPACTION_COMPACTION_TASK_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "compaction/job.h"
#include "compaction/picker.h"
#include "compaction/scheduler.h"

namespace lamina {

// What its owner does about it. Called by whichever thread has the task, never two at a time.
struct CompactionHooks {
  // The outputs are complete and the owner's: makes EditFor(job, ...) durable and the current tree.
  // An error fails the task; the outputs stay, since it may not be known whether the edit is on
  // disk. What nothing names is an orphan at the next open.
  std::function<Status(const Job& job, std::vector<TableMeta> outputs)> install;
  // The task is over, whatever became of it: JobsInFlight::Remove, and the stats into the sums.
  // Stats are empty for a move.
  std::function<void(const Job& job, const MergeJobStats& stats)> release;
};

class CompactionTask final : public BackgroundTask {
 public:
  // `step_bytes`: input worked through before more urgent work may come between.
  CompactionTask(Job job, MergeJobOptions options, uint64_t step_bytes,
                 CompactionHooks hooks) noexcept;
  ~CompactionTask() override;

  Result<Progress> Step() noexcept override;
  void Cancel() noexcept override;
  // Jobs into upper levels go first: they make room for flushes and are short.
  [[nodiscard]] uint32_t rank() const noexcept override { return job_.target_level; }

 private:
  const Job job_;
  const uint64_t step_bytes_;
  const CompactionHooks hooks_;
  std::optional<MergeJob> merge_;  // none for a move
};

}  // namespace lamina

#endif  // LAMINA_COMPACTION_COMPACTION_TASK_H_
