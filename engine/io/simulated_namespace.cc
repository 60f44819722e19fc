#include "engine/io/simulated_namespace.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace lamina {
namespace {

std::vector<std::string_view> Split(std::string_view path) noexcept {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    if (!name.empty() && name != ".") names.push_back(name);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return names;
}

void CollectFiles(const SimulatedInode& directory, const std::string& prefix,
                  std::vector<std::string>* files) noexcept {
  for (const auto& [name, inode] : directory.entries) {
    const std::string path = prefix + "/" + name;
    if (inode->directory) {
      CollectFiles(*inode, path, files);
    } else {
      files->push_back(path);
    }
  }
}

// Everything below a directory becomes what is durable.
void SettleTree(SimulatedInode* directory, SimulatedRandom* random, double garbage) noexcept {
  directory->entries = directory->durable_entries;
  for (const auto& [name, inode] : directory->entries) {
    inode->links = 1;
    if (inode->directory) {
      SettleTree(inode.get(), random, garbage);
      continue;
    }
    for (const SimulatedChange& change : inode->unsynced)
      change.ApplyTornTo(&inode->durable, random, garbage);
    inode->unsynced.clear();
    inode->current = inode->durable;
  }
}

}  // namespace

void SimulatedInode::Change(SimulatedChange change) noexcept {
  change.ApplyTo(&current);
  unsynced.push_back(std::move(change));
}

void SimulatedInode::Sync() noexcept {
  for (const SimulatedChange& change : unsynced) change.ApplyTo(&durable);
  unsynced.clear();
}

void SimulatedInode::FailSync(SimulatedRandom* random) noexcept {
  for (const SimulatedChange& change : unsynced) change.ApplyTornTo(&durable, random);
  unsynced.clear();
}

void SimulatedInode::Decay(uint64_t offset, uint64_t bytes,
                           const std::function<void(size_t, std::byte&)>& change) noexcept {
  current.Decay(offset, bytes, change);
  durable.Decay(offset, bytes, change);
  for (SimulatedChange& write : unsynced) {
    const uint64_t from = std::max(offset, write.offset);
    const uint64_t to = std::min(offset + bytes, write.offset + write.data.size());
    for (uint64_t at = from; at < to; ++at)
      change(static_cast<size_t>(at - offset), write.data[static_cast<size_t>(at - write.offset)]);
  }
}

SimulatedNamespace::SimulatedNamespace() noexcept : root_(std::make_shared<SimulatedInode>()) {
  root_->directory = true;
  root_->links = 1;
}

SimulatedInodePtr SimulatedNamespace::Find(std::string_view path) const noexcept {
  SimulatedInodePtr at = root_;
  for (const std::string_view name : Split(path)) {
    const auto found = at->entries.find(std::string(name));
    if (found == at->entries.end()) return nullptr;
    at = found->second;
  }
  return at;
}

int SimulatedNamespace::Resolve(std::string_view path, Place* place) const noexcept {
  std::vector<std::string_view> names = Split(path);
  if (names.empty()) return EINVAL;
  place->name = names.back();
  names.pop_back();
  SimulatedInodePtr at = root_;
  for (const std::string_view name : names) {
    const auto found = at->entries.find(std::string(name));
    if (found == at->entries.end()) return ENOENT;
    at = found->second;
    if (!at->directory) return ENOTDIR;
  }
  place->directory = at;
  return 0;
}

SimulatedInodePtr SimulatedNamespace::Create(const Place& place, bool directory) noexcept {
  auto inode = std::make_shared<SimulatedInode>();
  inode->directory = directory;
  inode->links = 1;
  std::erase_if(inodes_, [](const auto& weak) { return weak.expired(); });
  inodes_.push_back(inode);
  place.directory->entries[place.name] = inode;
  Note({.to = place, .target = inode, .from = {}});
  return inode;
}

void SimulatedNamespace::Unlink(const Place& place) noexcept {
  const auto found = place.directory->entries.find(place.name);
  found->second->links = 0;
  place.directory->entries.erase(found);
  Note({.to = place, .target = nullptr, .from = {}});
}

void SimulatedNamespace::Move(const Place& from, const Place& to) noexcept {
  if (from == to) return;
  const SimulatedInodePtr inode = from.directory->entries[from.name];
  SimulatedInodePtr& target = to.directory->entries[to.name];
  if (target != nullptr) target->links = 0;
  target = inode;
  from.directory->entries.erase(from.name);
  Note({.to = to, .target = inode, .from = from});
}

void SimulatedNamespace::Note(NameChange change) noexcept {
  unsynced_.push_back(std::move(change));
}

void SimulatedNamespace::ApplyToDurable(const NameChange& change) noexcept {
  if (change.from.directory != nullptr)
    change.from.directory->durable_entries.erase(change.from.name);
  if (change.target == nullptr) {
    change.to.directory->durable_entries.erase(change.to.name);
  } else {
    change.to.directory->durable_entries[change.to.name] = change.target;
  }
}

void SimulatedNamespace::SyncDirectory(const SimulatedInodePtr& directory) noexcept {
  // From the newest change backwards: one that must be durable needs the earlier ones of its names,
  // in whichever directory they are.
  std::set<Place> needed;
  std::vector<bool> commits(unsynced_.size());
  for (size_t i = unsynced_.size(); i-- > 0;) {
    const NameChange& change = unsynced_[i];
    commits[i] = change.to.directory == directory || change.from.directory == directory ||
                 needed.contains(change.to) || needed.contains(change.from);
    if (!commits[i]) continue;
    needed.insert(change.to);
    if (change.from.directory != nullptr) needed.insert(change.from);
  }
  std::vector<NameChange> others;
  for (size_t i = 0; i < unsynced_.size(); ++i) {
    if (commits[i]) {
      ApplyToDurable(unsynced_[i]);
    } else {
      others.push_back(std::move(unsynced_[i]));
    }
  }
  unsynced_ = std::move(others);
}

void SimulatedNamespace::CutPower(SimulatedRandom* random, double garbage) noexcept {
  // Changes of different names are independent. What happened to a name after a change of it that
  // was lost is lost as well: no file system reorders those.
  std::set<Place> lost;
  for (const NameChange& change : unsynced_) {
    const bool renamed = change.from.directory != nullptr;
    const bool follows_lost = lost.contains(change.to) || (renamed && lost.contains(change.from));
    if (!follows_lost && random->Coin()) {
      ApplyToDurable(change);
      continue;
    }
    lost.insert(change.to);
    if (renamed) lost.insert(change.from);
  }
  unsynced_.clear();
  for (const auto& weak : inodes_)
    if (const SimulatedInodePtr inode = weak.lock()) inode->links = 0;
  SettleTree(root_.get(), random, garbage);
}

std::vector<std::string> SimulatedNamespace::Files() const noexcept {
  std::vector<std::string> files;
  CollectFiles(*root_, "", &files);
  std::sort(files.begin(), files.end());
  return files;
}

void SimulatedNamespace::ForgetOpens() noexcept {
  for (const auto& weak : inodes_)
    if (const SimulatedInodePtr inode = weak.lock()) inode->opens = 0;
}

uint64_t SimulatedNamespace::AllocatedBytes() const noexcept {
  uint64_t bytes = 0;
  for (const auto& weak : inodes_) {
    const SimulatedInodePtr inode = weak.lock();
    if (inode != nullptr && (inode->links > 0 || inode->opens > 0))
      bytes += inode->current.allocated_bytes();
  }
  return bytes;
}

}  // namespace lamina
