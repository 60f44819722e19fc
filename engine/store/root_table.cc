#include "engine/store/root_table.h"

#include <algorithm>
#include <utility>

#include "engine/base/mutation.h"

namespace lamina {

std::shared_ptr<RootState> RootTable::Hold(Digest name, std::string_view text) noexcept {
  {
    std::shared_lock lock(mutex_);
    const auto found = roots_.find(name);
    if (found != roots_.end() && (text.empty() || !found->second.text.empty()))
      return found->second.state;
  }
  std::unique_lock lock(mutex_);
  const auto found = roots_.find(name);
  if (found == roots_.end()) return AddUnregistered(name, text);
  if (found->second.text.empty()) found->second.text = text;
  return found->second.state;
}

std::shared_ptr<RootState> RootTable::AddUnregistered(Digest name, std::string_view text) noexcept {
  if (unregistered_.size() >= sweep_at_) {
    std::erase_if(unregistered_, [](const auto& root) { return root.second.state.expired(); });
    sweep_at_ = std::max(kMinSweep, 2 * unregistered_.size());
  }
  Unregistered& root = unregistered_[name];
  std::shared_ptr<RootState> state = root.state.lock();
  if (state == nullptr) {
    state = std::make_shared<RootState>();
    state->name = name;
    root.state = state;
  }
  if (root.text.empty()) root.text = text;
  return state;
}

void RootTable::Register(const std::shared_ptr<RootState>& root) noexcept {
  if (root->number.load(std::memory_order_acquire) != 0) return;
  std::unique_lock lock(mutex_);
  if (root->number.load(std::memory_order_relaxed) != 0) return;
  Known& known = roots_[root->name];
  known.state = root;
  if (const auto found = unregistered_.find(root->name); found != unregistered_.end()) {
    known.text = std::move(found->second.text);
    unregistered_.erase(found);
  }
  root->number.store(next_number_++, std::memory_order_release);
}

void RootTable::Restore(const RootRecord& record) noexcept {
  std::unique_lock lock(mutex_);
  Known& root = roots_[record.name];
  root.state = std::make_shared<RootState>();
  root.state->name = record.name;
  root.state->number = record.number;
  root.state->epoch = Mutated(Mutation::kForgetEpoch) ? 0 : record.epoch;
  root.text = record.text;
  next_number_ = std::max(next_number_, record.number + 1);
}

std::shared_ptr<RootState> RootTable::Find(Digest name) const noexcept {
  std::shared_lock lock(mutex_);
  const auto found = roots_.find(name);
  return found == roots_.end() ? nullptr : found->second.state;
}

std::vector<RootRecord> RootTable::Records() const noexcept {
  std::shared_lock lock(mutex_);
  std::vector<RootRecord> records;
  records.reserve(roots_.size());
  for (const auto& [name, root] : roots_)
    records.push_back({name, root.text, root.state->number.load(), root.state->epoch.load()});
  std::sort(records.begin(), records.end(),
            [](const RootRecord& a, const RootRecord& b) { return a.number < b.number; });
  return records;
}

size_t RootTable::unregistered() const noexcept {
  std::shared_lock lock(mutex_);
  return unregistered_.size();
}

}  // namespace lamina
