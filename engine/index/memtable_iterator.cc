// Sorting a frozen memtable, and walking it in key order.
#include <algorithm>

#include "engine/index/memtable.h"
#include "engine/index/memtable_nodes.h"

namespace lamina {

// Children of most nodes are one: nothing to do for them. `scratch` is reused between calls.
Memtable::Node* Memtable::SortSiblings(Node* first, std::vector<Node*>* scratch) noexcept {
  if (first == nullptr || first->sibling == nullptr) return first;
  scratch->clear();
  for (Node* node = first; node != nullptr; node = node->sibling) scratch->push_back(node);
  std::sort(scratch->begin(), scratch->end(),
            [](const Node* a, const Node* b) { return a->f < b->f; });
  for (size_t i = 0; i + 1 < scratch->size(); ++i) (*scratch)[i]->sibling = (*scratch)[i + 1];
  scratch->back()->sibling = nullptr;
  return scratch->front();
}

void Memtable::SortOnce() const noexcept {
  const std::lock_guard lock(mutex_);
  if (sorted_) return;
  sorted_roots_.reserve(root_count_);
  for (const Node* node = roots_; node != nullptr; node = node->sibling)
    sorted_roots_.push_back(static_cast<const RootNode*>(node));
  std::sort(sorted_roots_.begin(), sorted_roots_.end(), [](const RootNode* a, const RootNode* b) {
    return PageKey{a->anchor, a->f} < PageKey{b->anchor, b->f};
  });

  std::vector<Node*> siblings;
  std::vector<Node*> to_visit;
  for (const RootNode* root : sorted_roots_) {
    to_visit.push_back(const_cast<RootNode*>(root));
    while (!to_visit.empty()) {
      Node* node = to_visit.back();
      to_visit.pop_back();
      node->first_child = SortSiblings(node->first_child, &siblings);
      for (Node* child = node->first_child; child != nullptr; child = child->sibling)
        to_visit.push_back(child);
    }
  }
  sorted_ = true;
  UpdateBytes();
}

// Depth-first over sorted links. `nodes_` is the way from a root to the current node, `path_` its
// fingerprints.
class Memtable::Iterator final : public EntryIterator {
 public:
  explicit Iterator(const std::vector<const RootNode*>& roots) noexcept : roots_(roots) {
    nodes_.reserve(kMaxStemPages);
    path_.reserve(kMaxStemPages);
  }

  [[nodiscard]] bool Valid() const noexcept override { return candidate_ != nullptr; }
  [[nodiscard]] StemKey key() const noexcept override {
    return {roots_[root_]->anchor, std::span<const Fingerprint>(path_)};
  }
  [[nodiscard]] const Entry& entry() const noexcept override { return candidate_->entry; }
  [[nodiscard]] Status status() const noexcept override { return Status::Ok(); }

  void SeekToFirst() noexcept override {
    StartAtRoot(0);
    SkipEmpty();
  }

  void Seek(const StemKey& target) noexcept override {
    const PageKey first{target.anchor, target.fingerprints[0]};
    const auto at = std::lower_bound(roots_.begin(), roots_.end(), first,
                                     [](const RootNode* root, const PageKey& key) {
                                       return PageKey{root->anchor, root->f} < key;
                                     });
    StartAtRoot(static_cast<size_t>(at - roots_.begin()));
    if (!nodes_.empty() && PageKey{(*at)->anchor, (*at)->f} == first)
      Descend(target.fingerprints.subspan(1));
    SkipEmpty();
  }

  void Next() noexcept override {
    candidate_ = candidate_->older;
    if (candidate_ != nullptr) return;
    MoveInto();
    SkipEmpty();
  }

 private:
  void StartAtRoot(size_t root) noexcept {
    nodes_.clear();
    path_.clear();
    root_ = root;
    if (root_ < roots_.size()) Push(roots_[root_]);
  }

  // Follows `path` below the current node as far as it leads, and stops at the first node that is
  // not below it.
  void Descend(std::span<const Fingerprint> path) noexcept {
    for (const Fingerprint f : path) {
      const Node* child = nodes_.back()->first_child;
      while (child != nullptr && child->f < f) child = child->sibling;
      if (child == nullptr) {
        MovePast();
        return;
      }
      Push(child);
      if (child->f != f) return;
    }
  }

  void MoveInto() noexcept {
    if (const Node* child = nodes_.back()->first_child; child != nullptr)
      Push(child);
    else
      MovePast();
  }

  // To the first node after the current one's subtree.
  void MovePast() noexcept {
    while (nodes_.size() > 1) {
      const Node* sibling = nodes_.back()->sibling;
      Pop();
      if (sibling != nullptr) {
        Push(sibling);
        return;
      }
    }
    StartAtRoot(root_ + 1);
  }

  void SkipEmpty() noexcept {
    candidate_ = nullptr;
    while (!nodes_.empty()) {
      candidate_ = nodes_.back()->newest.load(std::memory_order_acquire);
      if (candidate_ != nullptr) return;
      MoveInto();
    }
  }

  void Push(const Node* node) noexcept {
    nodes_.push_back(node);
    path_.push_back(node->f);
  }
  void Pop() noexcept {
    nodes_.pop_back();
    path_.pop_back();
  }

  const std::vector<const RootNode*>& roots_;
  size_t root_ = 0;
  std::vector<const Node*> nodes_;
  std::vector<Fingerprint> path_;
  const Candidate* candidate_ = nullptr;
};

std::unique_ptr<EntryIterator> Memtable::NewIterator() const noexcept {
  LAMINA_CHECK(frozen());
  SortOnce();
  return std::make_unique<Iterator>(sorted_roots_);
}

}  // namespace lamina
