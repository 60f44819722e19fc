// Erasing pages and roots, so that nothing brings them back: no put in progress, no replay, no
// restart.
#include <algorithm>
#include <utility>

#include "engine/base/mutation.h"
#include "engine/store/locate.h"
#include "engine/store/store_impl.h"

namespace lamina {
namespace {

// Keeps page keys barred from publication while it exists.
class Bar {
 public:
  Bar(std::mutex& mutex, std::set<PageKey>& barred, std::vector<PageKey> keys) noexcept
      : mutex_(mutex), barred_(barred), keys_(std::move(keys)) {
    std::lock_guard lock(mutex_);
    barred_.insert(keys_.begin(), keys_.end());
  }
  ~Bar() {
    std::lock_guard lock(mutex_);
    for (const PageKey& key : keys_) barred_.erase(key);
  }
  Bar(const Bar&) = delete;
  Bar& operator=(const Bar&) = delete;

 private:
  std::mutex& mutex_;
  std::set<PageKey>& barred_;
  const std::vector<PageKey> keys_;
};

}  // namespace

// Once the bar stands, no put that registers journals these pages, and none publishes them. Puts
// that had registered before may still journal them: the checkpoint has to lie above their records,
// or a replay would bring the pages back. So wait for those puts; then every such record lies below
// the journal's present end, and the low water has to rise to it.
void Store::Impl::WaitForEarlierPuts() noexcept {
  std::unique_lock lock(publish_mutex_);
  const uint64_t next = next_put_;
  put_done_.wait(lock,
                 [&] { return puts_in_progress_.empty() || *puts_in_progress_.begin() >= next; });
  const JournalPosition end = journal_->CurrentPosition();
  put_done_.wait(lock, [&] { return journal_->LowWater() >= end; });
}

Status Store::Impl::ScrubFreed() noexcept {
  Status status = log_->Scrub();
  if (status.ok()) return status;
  StoreCounters::Add(counters_.scrub_failures, 1);
  NoteBackgroundError(status);
  return status;
}

Status Store::Impl::Erase(Path::Impl& path, size_t first, size_t count) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  LAMINA_RETURN_IF_ERROR(CheckRange("erase", path, first, count, std::nullopt));
  path.CatchUpWithRoot();
  StoreCounters::Add(counters_.erases, 1);

  std::lock_guard erase_lock(erase_mutex_);
  std::vector<PageKey> keys;
  for (size_t page = first; page < first + count; ++page) keys.push_back(path.page_key(page));
  const Bar bar(publish_mutex_, barred_, std::move(keys));
  WaitForEarlierPuts();

  if (options_.erase == Options::Erase::kPhysical) LAMINA_RETURN_IF_ERROR(SettleHeld());
  const uint64_t failures = log_->scrub_failures();
  const auto view = CurrentView();
  Locator locator(*view, *log_, cache_.get(), *queues_, counters_);
  std::vector<Entry> entries;
  for (size_t page = first; page < first + count; ++page) {
    entries.clear();
    LAMINA_RETURN_IF_ERROR(locator.AllEntries(path, page, &entries));
    for (const Entry& entry : entries) log_->Free(entry.slot, entry.tag(path.fingerprints[page]));
    path.locations[page].found = false;
  }
  // Before the checkpoint, which makes it durable together with what says that the slots are free.
  const Status scrubbed = ScrubErased(failures);
  if (Mutated(Mutation::kEraseWithoutFlush)) return scrubbed;
  LAMINA_RETURN_IF_ERROR(Checkpoint(false));
  return scrubbed;
}

// Somebody else may have taken the slots that an erase has freed, and have failed with them.
Status Store::Impl::ScrubErased(uint64_t failures_before) noexcept {
  LAMINA_RETURN_IF_ERROR(ScrubFreed());
  if (log_->scrub_failures() == failures_before) return Status::Ok();
  return Status::IoError(
      "erase: bytes of slots that were freed meanwhile could not be erased, these pages' perhaps "
      "among them; Stats say why (last_background_error). They are tried again when the store is "
      "opened");
}

// The new epoch is durable before anything of the old one is freed: from then on neither a lookup
// nor a replayed record reaches the root's pages. Puts under the old epoch are refused at
// publication.
Status Store::Impl::EraseRoot(std::string_view root) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  StoreCounters::Add(counters_.root_erases, 1);
  const auto state = roots_.Hold(RootName(creation_.secret, root), root);
  roots_.Register(state);

  std::lock_guard erase_lock(erase_mutex_);
  uint64_t epoch = 0;
  Status committed;
  {
    std::lock_guard lock(manifest_mutex_);
    epoch = manifest_->state().epoch_counter + 1;
    ManifestEdit edit;
    edit.epoch_counter = epoch;
    edit.roots.push_back({state->name, std::string(root), state->number, epoch});
    committed = manifest_->Commit(edit);
    if (!committed.ok() && manifest_->status().ok()) return committed;
  }
  // Where the manifest is latched the edit may have reached the disk, and the next open may find
  // the root erased: so no put is told meanwhile that a page of it is present.
  {
    std::lock_guard lock(publish_mutex_);
    state->epoch.store(epoch, std::memory_order_release);
  }
  LAMINA_RETURN_IF_ERROR(committed);
  // Those of the old epoch are writing still; later ones are refused before they do.
  WaitForEarlierPuts();
  if (options_.erase == Options::Erase::kPhysical) LAMINA_RETURN_IF_ERROR(SettleHeld());
  const uint64_t failures = log_->scrub_failures();
  log_->FreeRoot(state->number);
  const Status scrubbed = ScrubErased(failures);
  LAMINA_RETURN_IF_ERROR(Checkpoint(false));
  return scrubbed;
}

}  // namespace lamina
