#include "compaction/simulate.h"

#include <utility>

namespace lamina {

CompactionSimulator::CompactionSimulator(const Shape& shape, const PickerOptions& options,
                                         TreePtr start) noexcept
    : shape_(shape),
      options_(options),
      tree_(start != nullptr ? std::move(start) : std::make_shared<const Tree>()) {}

double CompactionSimulator::Costs::CopiesPerEntry(uint32_t level) const noexcept {
  if (level >= levels.size() || flushed_entries == 0) return 0;
  // What moves into a level below 1 was written above and is no copy.
  const uint64_t moved = level == 1 ? levels[level].moved_entries : 0;
  return static_cast<double>(levels[level].merged_entries + moved) /
         static_cast<double>(flushed_entries);
}

double CompactionSimulator::Costs::MeanRuns(uint32_t level) const noexcept {
  if (level >= levels.size() || flushes == 0) return 0;
  return static_cast<double>(levels[level].run_samples) / static_cast<double>(flushes);
}

double CompactionSimulator::Costs::WritesPerEntry() const noexcept {
  if (flushed_entries == 0) return 0;
  uint64_t written = flushed_entries;
  for (const LevelCosts& level : levels) written += level.merged_entries;
  return static_cast<double>(written) / static_cast<double>(flushed_entries);
}

CompactionSimulator::LevelCosts& CompactionSimulator::CostsOf(uint32_t level) noexcept {
  if (level >= costs_.levels.size()) costs_.levels.resize(level + 1);
  return costs_.levels[level];
}

TableMeta CompactionSimulator::FullRangeTable(uint64_t number, uint64_t entries) noexcept {
  TableMeta table;
  table.number = number;
  table.entry_count = entries;
  table.page_count = entries;
  table.file_bytes = entries * 40;  // about what an entry takes on disk
  table.smallest.fingerprints = {1};
  table.largest.anchor = {UINT64_MAX, UINT64_MAX};
  table.largest.fingerprints = {UINT64_MAX};
  return table;
}

void CompactionSimulator::Flush(uint64_t entries) noexcept {
  Run run;
  run.id = next_id_++;
  run.oldest_flush = run.newest_flush = next_flush_++;
  run.tables.push_back(FullRangeTable(next_id_++, entries));
  run.Summarize();
  TreeEdit edit;
  edit.add_runs.push_back(std::move(run));
  Result<TreePtr> next = tree_->Apply(edit);
  LAMINA_CHECK(next.ok());
  tree_ = *next;
  ++costs_.flushes;
  costs_.flushed_entries += entries;

  while (std::optional<Job> job = PickCompaction(*tree_, shape_, options_, JobsInFlight())) {
    Execute(*job);
  }
  for (uint32_t level = 0; level <= tree_->last_level(); ++level) {
    CostsOf(level).run_samples += tree_->level(level).runs.size();
  }
}

void CompactionSimulator::Execute(const Job& job) noexcept {
  const uint64_t entries = job.input_entries();
  std::vector<TableMeta> outputs;
  if (job.kind == Job::Kind::kMove) {
    CostsOf(job.target_level).moved_entries += entries;
  } else {
    CostsOf(job.target_level).merged_entries += entries;
    outputs.push_back(FullRangeTable(next_id_++, entries));
  }
  Result<TreePtr> next = tree_->Apply(EditFor(job, next_id_++, std::move(outputs)));
  LAMINA_CHECK(next.ok());
  tree_ = *next;
}

}  // namespace lamina
