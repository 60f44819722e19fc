#include "engine/index/merging_iterator.h"

#include <utility>

namespace lamina {

MergingIterator::MergingIterator(std::vector<std::unique_ptr<EntryIterator>> newest_first) noexcept
    : sources_(std::move(newest_first)) {
  heap_.reserve(sources_.size());
}

bool MergingIterator::Before(const Head& a, const Head& b) noexcept {
  const auto order = Compare(a.key, b.key);
  return order < 0 || (order == 0 && a.source < b.source);
}

void MergingIterator::SeekToFirst() noexcept {
  for (const auto& source : sources_) source->SeekToFirst();
  Build();
}

void MergingIterator::Seek(const StemKey& target) noexcept {
  for (const auto& source : sources_) source->Seek(target);
  Build();
}

void MergingIterator::Build() noexcept {
  heap_.clear();
  failed_ = kNone;
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i]->Valid())
      heap_.push_back({sources_[i]->key(), i});
    else if (!sources_[i]->status().ok() && failed_ == kNone)
      failed_ = i;
  }
  for (size_t at = heap_.size() / 2; at-- > 0;) SiftDown(at);
}

void MergingIterator::Next() noexcept {
  const size_t i = heap_.front().source;
  sources_[i]->Next();
  if (sources_[i]->Valid()) {
    heap_.front().key = sources_[i]->key();
  } else {
    if (!sources_[i]->status().ok()) failed_ = i;
    heap_.front() = heap_.back();
    heap_.pop_back();
  }
  if (!heap_.empty()) SiftDown(0);
}

void MergingIterator::SiftDown(size_t at) noexcept {
  const Head moved = heap_[at];
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && Before(heap_[child + 1], heap_[child])) ++child;
    if (!Before(heap_[child], moved)) break;
    heap_[at] = heap_[child];
    at = child;
  }
  heap_[at] = moved;
}

const Entry& MergingIterator::entry() const noexcept { return sources_[source()]->entry(); }

Status MergingIterator::status() const noexcept {
  return failed_ == kNone ? Status::Ok() : sources_[failed_]->status();
}

}  // namespace lamina
