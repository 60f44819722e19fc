#include "engine/store/root_table.h"

#include <algorithm>

namespace lamina {

std::shared_ptr<RootState> RootTable::FindOrAdd(Digest name, std::string_view text) noexcept {
  {
    std::shared_lock lock(mutex_);
    const auto found = roots_.find(name);
    if (found != roots_.end() && (text.empty() || !found->second.text.empty()))
      return found->second.state;
  }
  std::unique_lock lock(mutex_);
  Known& root = roots_[name];
  if (root.state == nullptr) {
    root.state = std::make_shared<RootState>();
    root.state->name = name;
    root.state->number = next_number_++;
  }
  if (root.text.empty()) root.text = text;
  return root.state;
}

std::shared_ptr<RootState> RootTable::Find(Digest name) const noexcept {
  std::shared_lock lock(mutex_);
  const auto found = roots_.find(name);
  return found == roots_.end() ? nullptr : found->second.state;
}

void RootTable::Restore(const RootRecord& record) noexcept {
  std::unique_lock lock(mutex_);
  Known& root = roots_[record.name];
  root.state = std::make_shared<RootState>();
  root.state->name = record.name;
  root.state->number = record.number;
  root.state->epoch = record.epoch;
  root.text = record.text;
  next_number_ = std::max(next_number_, record.number + 1);
}

std::vector<std::shared_ptr<RootState>> RootTable::All() const noexcept {
  std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<RootState>> all;
  all.reserve(roots_.size());
  for (const auto& [name, root] : roots_) all.push_back(root.state);
  return all;
}

std::vector<RootRecord> RootTable::Records() const noexcept {
  std::shared_lock lock(mutex_);
  std::vector<RootRecord> records;
  records.reserve(roots_.size());
  for (const auto& [name, root] : roots_)
    records.push_back({name, root.text, root.state->number, root.state->epoch.load()});
  std::sort(records.begin(), records.end(),
            [](const RootRecord& a, const RootRecord& b) { return a.number < b.number; });
  return records;
}

}  // namespace lamina
