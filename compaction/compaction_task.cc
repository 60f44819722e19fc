#include "compaction/compaction_task.h"

#include <utility>

namespace lamina {

CompactionTask::CompactionTask(Job job, MergeJobOptions options, uint64_t step_bytes,
                               CompactionHooks hooks) noexcept
    : job_(std::move(job)), step_bytes_(step_bytes), hooks_(std::move(hooks)) {
  if (job_.kind != Job::Kind::kMove) merge_.emplace(job_, std::move(options));
}

CompactionTask::~CompactionTask() {
  // Files that were not installed go before the claim on the inputs does.
  if (merge_) merge_->Cancel();
  hooks_.release(job_, merge_ ? merge_->stats() : MergeJobStats());
}

Result<BackgroundTask::Progress> CompactionTask::Step() noexcept {
  if (!merge_) {
    LAMINA_RETURN_IF_ERROR(hooks_.install(job_, {}));
    return Progress::kDone;
  }
  LAMINA_ASSIGN_OR_RETURN(const bool done, merge_->Step(step_bytes_));
  if (!done) return Progress::kMore;
  // From here on the outputs stay: an edit that failed may be on disk all the same.
  merge_->Commit();
  LAMINA_RETURN_IF_ERROR(hooks_.install(job_, merge_->outputs()));
  return Progress::kDone;
}

void CompactionTask::Cancel() noexcept {
  if (merge_) merge_->Cancel();
}

}  // namespace lamina
