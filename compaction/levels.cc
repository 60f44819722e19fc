#include "compaction/levels.h"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>

namespace lamina {
namespace {

std::string NameOf(const Run& run) noexcept {
  return "run " + std::to_string(run.id) + " of level " + std::to_string(run.level);
}

std::string IntervalOf(const Run& run) noexcept {
  return "flushes " + std::to_string(run.oldest_flush) + " to " + std::to_string(run.newest_flush);
}

bool KeyLess(const OwnedStemKey& a, const OwnedStemKey& b) noexcept {
  return Compare(a.view(), b.view()) < 0;
}

bool NewerFirst(const RunPtr& a, const RunPtr& b) noexcept {
  return a->newest_flush > b->newest_flush;
}

template <class Values, class F>
uint64_t SumOf(const Values& values, F f) noexcept {
  uint64_t sum = 0;
  for (const auto& value : values) sum += f(value);
  return sum;
}

}  // namespace

void Run::Summarize() noexcept {
  entries = SumOf(tables, [](const TableMeta& t) { return t.entry_count; });
  bytes = SumOf(tables, [](const TableMeta& t) { return t.file_bytes; });
  filter_bits = SumOf(tables, [](const TableMeta& t) { return t.filter_bytes * 8; });
}

Status Run::Check() const noexcept {
  const auto bad = [this](const std::string& what) {
    return Status::Corruption(NameOf(*this) + " " + what);
  };
  if (tables.empty()) return bad("has no tables");
  if (level > kMaxLevels) return bad("is deeper than any level may be");
  if (oldest_flush > newest_flush) return bad("spans " + IntervalOf(*this));
  for (size_t i = 0; i < tables.size(); ++i) {
    const TableMeta& table = tables[i];
    const std::string name = "table " + std::to_string(table.number);
    if (table.smallest.fingerprints.empty() || table.largest.fingerprints.empty() ||
        KeyLess(table.largest, table.smallest)) {
      return bad("holds " + name + " whose keys end before they begin");
    }
    if (i > 0 && !KeyLess(tables[i - 1].largest, table.smallest)) {
      return bad("holds " + name + " which overlaps table " + std::to_string(tables[i - 1].number));
    }
  }
  Run sums;
  sums.tables = tables;
  sums.Summarize();
  if (sums.entries != entries || sums.bytes != bytes || sums.filter_bits != filter_bits) {
    return bad("does not sum up its tables");
  }
  return Status::Ok();
}

uint64_t Level::entries() const noexcept {
  return SumOf(runs, [](const RunPtr& run) { return run->entries; });
}
uint64_t Level::bytes() const noexcept {
  return SumOf(runs, [](const RunPtr& run) { return run->bytes; });
}
uint64_t Level::filter_bits() const noexcept {
  return SumOf(runs, [](const RunPtr& run) { return run->filter_bits; });
}

const Level& Tree::level(uint32_t number) const noexcept {
  static const Level kEmpty;
  return number < levels_.size() ? levels_[number] : kEmpty;
}

uint32_t Tree::last_level() const noexcept {
  return levels_.empty() ? 0 : static_cast<uint32_t>(levels_.size() - 1);
}

std::vector<RunPtr> Tree::RunsNewestFirst() const noexcept {
  std::vector<RunPtr> runs;
  for (const Level& level : levels_) runs.insert(runs.end(), level.runs.begin(), level.runs.end());
  std::sort(runs.begin(), runs.end(), NewerFirst);
  return runs;
}

RunPtr Tree::FindRun(RunId id) const noexcept {
  for (const Level& level : levels_) {
    for (const RunPtr& run : level.runs) {
      if (run->id == id) return run;
    }
  }
  return nullptr;
}

size_t Tree::run_count() const noexcept {
  return SumOf(levels_, [](const Level& level) { return level.runs.size(); });
}
size_t Tree::table_count() const noexcept {
  return SumOf(levels_, [](const Level& level) {
    return SumOf(level.runs, [](const RunPtr& run) { return run->tables.size(); });
  });
}
uint64_t Tree::entries() const noexcept {
  return SumOf(levels_, [](const Level& level) { return level.entries(); });
}
uint64_t Tree::bytes() const noexcept {
  return SumOf(levels_, [](const Level& level) { return level.bytes(); });
}
uint64_t Tree::filter_bits() const noexcept {
  return SumOf(levels_, [](const Level& level) { return level.filter_bits(); });
}

Result<TreePtr> Tree::Apply(const TreeEdit& edit) const noexcept {
  auto next = std::make_shared<Tree>(*this);
  LAMINA_RETURN_IF_ERROR(next->Remove(edit.remove_runs));
  for (const TreeEdit::TableChange& change : edit.change_runs) {
    LAMINA_RETURN_IF_ERROR(next->Change(change));
  }
  for (const Run& run : edit.add_runs) {
    if (!run.tables.empty()) LAMINA_RETURN_IF_ERROR(next->Add(run));
  }
  while (!next->levels_.empty() && next->levels_.back().runs.empty()) next->levels_.pop_back();
  LAMINA_RETURN_IF_ERROR(next->CheckOrder());
  return TreePtr(std::move(next));
}

Status Tree::Remove(std::span<const RunId> runs) noexcept {
  for (const RunId id : runs) {
    size_t removed = 0;
    for (Level& level : levels_) {
      removed += std::erase_if(level.runs, [id](const RunPtr& run) { return run->id == id; });
    }
    if (removed == 0) {
      return Status::Corruption("an edit removes run " + std::to_string(id) +
                                ", which is not in the tree");
    }
  }
  return Status::Ok();
}

Status Tree::Change(const TreeEdit::TableChange& change) noexcept {
  for (Level& level : levels_) {
    const auto at = std::find_if(level.runs.begin(), level.runs.end(),
                                 [&](const RunPtr& run) { return run->id == change.run; });
    if (at == level.runs.end()) continue;
    Run run = **at;
    for (const TableNumber number : change.remove) {
      if (std::erase_if(run.tables, [=](const TableMeta& t) { return t.number == number; }) == 0) {
        return Status::Corruption("an edit removes table " + std::to_string(number) +
                                  ", which is not in " + NameOf(run));
      }
    }
    run.tables.insert(run.tables.end(), change.add.begin(), change.add.end());
    std::sort(run.tables.begin(), run.tables.end(), [](const TableMeta& a, const TableMeta& b) {
      return KeyLess(a.smallest, b.smallest);
    });
    run.Summarize();
    if (run.tables.empty()) {
      level.runs.erase(at);
      return Status::Ok();
    }
    LAMINA_RETURN_IF_ERROR(run.Check());
    *at = std::make_shared<const Run>(std::move(run));
    return Status::Ok();
  }
  return Status::Corruption("an edit changes run " + std::to_string(change.run) +
                            ", which is not in the tree");
}

Status Tree::Add(const Run& run) noexcept {
  LAMINA_RETURN_IF_ERROR(run.Check());
  if (FindRun(run.id) != nullptr) {
    return Status::Corruption("an edit adds " + NameOf(run) + ", which is in the tree already");
  }
  if (run.level >= levels_.size()) levels_.resize(run.level + 1);
  std::vector<RunPtr>& runs = levels_[run.level].runs;
  const auto at = std::find_if(runs.begin(), runs.end(), [&](const RunPtr& other) {
    return other->newest_flush < run.newest_flush;
  });
  runs.insert(at, std::make_shared<const Run>(run));
  return Status::Ok();
}

Status Tree::CheckOrder() const noexcept {
  const auto bad = [](const Run& run, const char* relation, const Run& other) {
    return Status::Corruption(NameOf(run) + " with " + IntervalOf(run) + relation + NameOf(other) +
                              " with " + IntervalOf(other));
  };
  for (const Level& level : levels_) {
    for (size_t i = 1; i < level.runs.size(); ++i) {
      if (NewerFirst(level.runs[i], level.runs[i - 1])) {
        return bad(*level.runs[i], " lies behind ", *level.runs[i - 1]);
      }
    }
  }
  const std::vector<RunPtr> runs = RunsNewestFirst();
  for (size_t i = 1; i < runs.size(); ++i) {
    if (runs[i]->newest_flush >= runs[i - 1]->oldest_flush) {
      return bad(*runs[i], " meets ", *runs[i - 1]);
    }
  }
  return Status::Ok();
}

Status Tree::Check() const noexcept {
  std::unordered_set<RunId> run_ids;
  std::unordered_set<TableNumber> table_numbers;
  for (uint32_t number = 0; number < levels_.size(); ++number) {
    for (const RunPtr& run : levels_[number].runs) {
      LAMINA_RETURN_IF_ERROR(run->Check());
      if (run->level != number) {
        return Status::Corruption(NameOf(*run) + " lies in level " + std::to_string(number));
      }
      if (!run_ids.insert(run->id).second) {
        return Status::Corruption(NameOf(*run) + " is in the tree twice");
      }
      for (const TableMeta& table : run->tables) {
        if (!table_numbers.insert(table.number).second) {
          return Status::Corruption("table " + std::to_string(table.number) +
                                    " is in the tree twice");
        }
      }
    }
  }
  if (!levels_.empty() && levels_.back().runs.empty()) {
    return Status::Corruption("the tree ends in an empty level");
  }
  return CheckOrder();
}

}  // namespace lamina
