#include "engine/store/view.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <utility>

namespace lamina {

size_t OpenRun::IndexFor(const StemKey& key) const noexcept {
  const auto& metas = run->tables;
  const auto at = std::lower_bound(
      metas.begin(), metas.end(), key,
      [](const TableMeta& meta, const StemKey& k) { return Compare(meta.largest.view(), k) < 0; });
  if (at == metas.end() || Compare(key, at->smallest.view()) < 0) return metas.size();
  return static_cast<size_t>(at - metas.begin());
}

std::string TablePath(const std::string& directory, uint64_t number) noexcept {
  char name[32];
  std::snprintf(name, sizeof name, "/%010llu.sst", static_cast<unsigned long long>(number));
  return directory + name;
}

bool ParseTableFileName(std::string_view name, uint64_t* number) noexcept {
  constexpr std::string_view kSuffix = ".sst";
  if (!name.ends_with(kSuffix)) return false;
  const char* digits_end = name.data() + name.size() - kSuffix.size();
  const auto [end, error] = std::from_chars(name.data(), digits_end, *number);
  return error == std::errc() && end == digits_end && TablePath("", *number).substr(1) == name;
}

OpenTables::OpenTables(FileSystem& fs, std::string directory, BlockCache* cache,
                       IndexCounters* counters) noexcept
    : fs_(fs), directory_(std::move(directory)), cache_(cache), counters_(counters) {}

Result<std::shared_ptr<Table>> OpenTables::Get(const TableMeta& meta) noexcept {
  {
    std::lock_guard lock(mutex_);
    if (const auto found = tables_.find(meta.number); found != tables_.end()) return found->second;
    if (const auto lost = lost_.find(meta.number); lost != lost_.end()) return lost->second;
  }
  auto opened =
      Table::Open(&fs_, TablePath(directory_, meta.number), meta.number, cache_, counters_);
  if (!opened.ok()) {
    Status why = opened.status();
    // A file that is gone is lost for good, and so is a damaged one. Anything else may pass.
    const auto exists = fs_.Exists(TablePath(directory_, meta.number));
    if (exists.ok() && !*exists)
      why = Status::Corruption(TablePath(directory_, meta.number) + ": the file is missing");
    NoteFailure(meta.number, why);
    return why;
  }
  std::lock_guard lock(mutex_);
  return tables_.emplace(meta.number, std::move(*opened)).first->second;
}

void OpenTables::NoteFailure(uint64_t number, const Status& why) noexcept {
  std::lock_guard lock(mutex_);
  ++open_failures_;
  if (why.code() == StatusCode::kCorruption) {
    lost_.insert_or_assign(number, why);
    unopened_.erase(number);
  } else {
    unopened_.insert_or_assign(number, why);
  }
  unopened_count_ = unopened_.size();
}

// Only when lookups have it: that a merge or a walk could open it since is of no use to them.
void OpenTables::NoteOpened(uint64_t number) noexcept {
  std::lock_guard lock(mutex_);
  unopened_.erase(number);
  unopened_count_ = unopened_.size();
}

std::vector<OpenRun> OpenTables::OpenRuns(const Tree& tree) noexcept {
  std::vector<OpenRun> runs;
  for (const RunPtr& run : tree.RunsNewestFirst()) {
    OpenRun& open = runs.emplace_back(OpenRun{run, {}});
    for (const TableMeta& meta : run->tables) {
      auto table = Get(meta);
      if (table.ok()) NoteOpened(meta.number);
      open.tables.push_back(table.ok() ? std::move(*table) : nullptr);
    }
  }
  return runs;
}

Status OpenTables::Remove(uint64_t number) noexcept {
  {
    std::lock_guard lock(mutex_);
    tables_.erase(number);
    lost_.erase(number);
    unopened_.erase(number);
    unopened_count_ = unopened_.size();
  }
  if (cache_ != nullptr) cache_->EraseTable(number);
  return fs_.Remove(TablePath(directory_, number));
}

std::vector<std::string> OpenTables::problems() const noexcept {
  std::lock_guard lock(mutex_);
  std::vector<std::string> problems;
  for (const auto* tables : {&lost_, &unopened_}) {
    for (const auto& [number, status] : *tables) problems.emplace_back(status.message());
  }
  return problems;
}

uint64_t OpenTables::lost() const noexcept {
  std::lock_guard lock(mutex_);
  return lost_.size();
}

bool OpenTables::IsLost(uint64_t number) const noexcept {
  std::lock_guard lock(mutex_);
  return lost_.contains(number);
}

uint64_t OpenTables::memory_bytes() const noexcept {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [number, table] : tables_) bytes += table->memory_bytes();
  return bytes;
}

uint64_t OpenTables::index_bytes() const noexcept {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [number, table] : tables_)
    bytes += table->memory_bytes() - table->meta().filter_bytes;
  return bytes;
}

}  // namespace lamina
