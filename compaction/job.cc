#include "compaction/job.h"

#include <algorithm>
#include <utility>

#include "engine/base/mutation.h"

namespace lamina {

MergeJob::MergeJob(Job job, MergeJobOptions options) noexcept
    : job_(std::move(job)), options_(std::move(options)) {
  LAMINA_CHECK(job_.kind != Job::Kind::kMove && !job_.inputs.empty());
  LAMINA_CHECK(options_.file_system && options_.new_table && options_.open_table &&
               options_.filter_bits_per_key);
  entry_bytes_ = static_cast<double>(job_.input_bytes()) /
                 static_cast<double>(std::max<uint64_t>(job_.input_entries(), 1));
}

MergeJob::~MergeJob() { Cancel(); }

Result<bool> MergeJob::Step(uint64_t max_bytes) noexcept {
  if (done_) return true;
  if (!merged_) OpenInputs();
  const double entries = static_cast<double>(max_bytes) / std::max(entry_bytes_, 1.0);
  Status status = CopyEntries(static_cast<uint64_t>(std::max(entries, 1.0)));
  if (status.ok() && !merged_->Valid()) {
    status = merged_->status();
    if (status.ok() && builder_) status = FinishOutput();
    if (status.ok() && !outputs_.empty()) {
      status = options_.file_system->SyncDirectory(options_.directory);
    }
    done_ = status.ok();
  }
  if (!status.ok()) {
    Cancel();
    return status;
  }
  return done_;
}

void MergeJob::Cancel() noexcept {
  merged_.reset();
  builder_.reset();  // removes its file
  // A file that cannot be removed is an orphan, which the next open of the store removes.
  for (const std::string& path : output_paths_) (void)options_.file_system->Remove(path).ok();
  output_paths_.clear();
  outputs_.clear();
}

void MergeJob::Commit() noexcept {
  LAMINA_CHECK(done_);
  output_paths_.clear();
}

void MergeJob::OpenInputs() noexcept {
  std::vector<std::unique_ptr<EntryIterator>> newest_first;
  for (const JobInput& input : job_.inputs) {
    RunIterator::Options how;
    how.open = options_.open_table;
    how.table.readahead_bytes = options_.readahead_bytes;
    how.table.on_damage = [this](const Status& damage) {
      ++stats_.damaged_blocks;
      CountDamage(damage);
    };
    if (options_.give_up) {
      how.table.give_up = [this](const Table& table, const Status& why) {
        return options_.give_up(table.number(), why);
      };
      how.give_up = [this](const TableMeta& table, const Status& why) {
        return options_.give_up(table.number, why);
      };
    }
    how.on_table = [this, level = input.run->level](const TableMeta& table) {
      CountTable(level, table);
    };
    how.on_lost_table = [this](const TableMeta& table, const Status& damage) {
      ++stats_.damaged_tables;
      stats_.entries_lost += table.entry_count;
      CountDamage(damage);
    };
    newest_first.push_back(std::make_unique<RunIterator>(input.tables(), std::move(how)));
  }
  merged_ = std::make_unique<MergingIterator>(std::move(newest_first));
  merged_->SeekToFirst();
}

Status MergeJob::CopyEntries(uint64_t count) noexcept {
  for (; count > 0 && merged_->Valid(); --count) {
    LAMINA_RETURN_IF_ERROR(CopyEntry(merged_->key(), merged_->entry()));
    merged_->Next();
  }
  return Status::Ok();
}

Status MergeJob::CopyEntry(const StemKey& key, const Entry& entry) noexcept {
  ++stats_.entries_read;
  if (Mutated(Mutation::kDropStemEntries) && key.fingerprints.size() > 1) return Status::Ok();
  const PageKey page = key.page_key();
  if (page != page_) {
    page_ = page;
    kept_.clear();
  }
  if (options_.slots != nullptr &&
      !options_.slots->Bears(entry.slot, entry.tag(page.fingerprint))) {
    ++stats_.entries_dead;
    ++dropped_;
    return Status::Ok();
  }
  const bool duplicate = std::any_of(kept_.begin(), kept_.end(), [&](const Entry& newer) {
    return newer.slot == entry.slot && newer.checksum == entry.checksum;
  });
  if (duplicate) {
    ++stats_.entries_duplicate;
    return Status::Ok();
  }
  if (builder_ && CutsBefore(key)) LAMINA_RETURN_IF_ERROR(FinishOutput());
  if (!builder_) LAMINA_RETURN_IF_ERROR(StartOutput());
  LAMINA_RETURN_IF_ERROR(builder_->Add(key, entry));
  ++stats_.entries_written;
  kept_.push_back(entry);
  if (builder_->data_bytes() >= options_.table_bytes) last_written_ = OwnedStemKey(key);
  return Status::Ok();
}

bool MergeJob::CutsBefore(const StemKey& key) const noexcept {
  const std::vector<Fingerprint>& last = last_written_.fingerprints;
  if (last.empty()) return false;  // not of that size yet
  if (key.anchor != last_written_.anchor) return true;
  const auto fork =
      std::mismatch(key.fingerprints.begin(), key.fingerprints.end(), last.begin(), last.end());
  const auto shared = static_cast<uint64_t>(fork.first - key.fingerprints.begin());
  if (shared == last.size() && shared == key.fingerprints.size()) return false;  // the same page
  const uint64_t beyond = builder_->data_bytes() - options_.table_bytes;
  return shared * options_.table_bytes <= beyond * kMaxStemPages;
}

Status MergeJob::StartOutput() noexcept {
  const MergeJobOptions::NewTable table = options_.new_table();
  TableBuilderOptions how;
  how.number = table.number;
  how.filter_bits_per_key = options_.filter_bits_per_key();
  how.store_id = options_.store_id;
  how.job_id = options_.job_id;
  how.shape = options_.shape;
  how.before_write = options_.before_write;
  LAMINA_ASSIGN_OR_RETURN(builder_,
                          TableBuilder::Create(options_.file_system, table.path, std::move(how)));
  output_paths_.push_back(table.path);
  return Status::Ok();
}

Status MergeJob::FinishOutput() noexcept {
  builder_->AddDropped(std::exchange(dropped_, 0));
  LAMINA_ASSIGN_OR_RETURN(TableMeta meta, builder_->Finish());
  builder_.reset();
  last_written_.fingerprints.clear();
  stats_.bytes_written += meta.file_bytes;
  ++stats_.tables_written;
  outputs_.push_back(std::move(meta));
  return Status::Ok();
}

void MergeJob::CountTable(uint32_t level, const TableMeta& table) noexcept {
  const auto at = std::find_if(stats_.bytes_read.begin(), stats_.bytes_read.end(),
                               [=](const auto& read) { return read.level == level; });
  if (at != stats_.bytes_read.end()) {
    at->bytes += table.file_bytes;
  } else {
    stats_.bytes_read.push_back({level, table.file_bytes});
  }
}

void MergeJob::CountDamage(const Status& damage) noexcept {
  if (options_.on_damage) options_.on_damage(damage);
}

}  // namespace lamina
