// The public face of Store, argument checks, and what all calls share.
#include <algorithm>
#include <utility>

#include "engine/store/locate.h"
#include "engine/store/store_impl.h"

namespace lamina {
namespace {

std::string At(const char* call, const char* what) { return std::string(call) + ": " + what; }

}  // namespace

const char* Version() noexcept { return "0.1.0"; }

// ---- Calls in progress
// -----------------------------------------------------------------------------

Store::Impl::Call::Call(Impl& store) noexcept : store_(store) { ++store_.calls_; }

Store::Impl::Call::~Call() {
  // Wakes by address alone: the store may be gone as soon as the count is.
  std::atomic<uint32_t>& calls = store_.calls_;
  if (--calls == 0) calls.notify_all();
}

Status Store::Impl::Call::status() const noexcept {
  if (!store_.closing_) return Status::Ok();
  return Status::Closed(store_.directory_ + ": the store is being closed");
}

// ---- Argument checks
// -------------------------------------------------------------------------------

Status Store::Impl::CheckRange(const char* call, const Path::Impl& path, size_t first, size_t count,
                               std::optional<size_t> states) const noexcept {
  if (path.store_instance != instance_) {
    return Status::InvalidArgument(At(
        call, "the path was made by another store (or before this one was opened); make it anew"));
  }
  if (count == 0) return Status::InvalidArgument(At(call, "page_count is 0, expected at least 1"));
  if (first >= path.pages() || count > path.pages() - first) {
    return Status::InvalidArgument(At(call, "pages [") + std::to_string(first) + ", +" +
                                   std::to_string(count) + ") reach past the path's " +
                                   std::to_string(path.pages()) + " pages");
  }
  if (states && *states != 0 && *states != count) {
    return Status::InvalidArgument(At(call, "states has ") + std::to_string(*states) +
                                   " elements, expected page_count = " + std::to_string(count));
  }
  return Status::Ok();
}

Status Store::Impl::CheckBuffers(const char* call, size_t count,
                                 std::span<const void* const> buffers,
                                 std::span<const size_t> sizes,
                                 size_t buffers_per_page) const noexcept {
  size_t expected = 0;
  if (buffers_per_page == 0)
    return Status::InvalidArgument(At(call, "buffers_per_page is 0, expected at least 1"));
  if (__builtin_mul_overflow(count, buffers_per_page, &expected) || buffers.size() != expected ||
      sizes.size() != expected) {
    return Status::InvalidArgument(
        At(call, "expected page_count * buffers_per_page buffers and sizes (") +
        std::to_string(count) + " * " + std::to_string(buffers_per_page) + "), found " +
        std::to_string(buffers.size()) + " and " + std::to_string(sizes.size()));
  }
  for (size_t page = 0; page < count; ++page) {
    size_t page_bytes = 0;
    for (size_t i = page * buffers_per_page; i < (page + 1) * buffers_per_page; ++i) {
      if (sizes[i] == 0 || sizes[i] > kMaxPageBytes - page_bytes) {
        return Status::InvalidArgument(At(call, "sizes[") + std::to_string(i) + "] is " +
                                       std::to_string(sizes[i]) +
                                       "; a fragment has at least 1 byte and a page at most 1 GiB");
      }
      page_bytes += sizes[i];
      if (buffers[i] == nullptr)
        return Status::InvalidArgument(At(call, "buffers[") + std::to_string(i) + "] is NULL");
    }
  }
  return Status::Ok();
}

// ---- Shared by calls
// -------------------------------------------------------------------------------

std::shared_ptr<const View> Store::Impl::CurrentView() const noexcept {
  std::lock_guard lock(view_mutex_);
  return view_;
}

// A page that moves while it is looked for may be missed in both places: its copy is not in the
// memtable yet, or in a younger one than this view has, and then its old slot is free. So where
// moves were published meanwhile, what is missing is looked for again.
void Store::Impl::Locate(Path::Impl& path, size_t first, size_t count, bool stop_at_miss,
                         std::span<const SlotRef> avoid) noexcept {
  if (tables_->unopened() > 0) RetryTables();
  constexpr int kMaxTries = 4;
  for (int i = 0; i < kMaxTries; ++i) {
    const uint64_t before = move_generation_.load(std::memory_order_acquire);
    const auto view = CurrentView();
    Locator locator(*view, *log_, cache_.get(), *queues_, counters_, avoid);
    NoteIndexUse(locator.Locate(path, first, count, stop_at_miss));
    const auto end = path.locations.begin() + static_cast<ptrdiff_t>(first + count);
    const bool all = std::all_of(path.locations.begin() + static_cast<ptrdiff_t>(first), end,
                                 [](const Location& location) { return location.found; });
    const uint64_t after = move_generation_.load(std::memory_order_acquire);
    if (all || (after == before && before % 2 == 0)) return;
    if (after % 2 != 0) move_generation_.wait(after);
  }
}

Status Store::Impl::LatchStatus() const noexcept {
  Status why = manifest_->status();
  if (why.ok()) why = journal_->status();
  if (why.ok()) return why;
  return {why.code(), directory_ +
                          ": nothing is stored any more until the store is opened again, "
                          "since its metadata could not be written: " +
                          std::string(why.message())};
}

void Store::Impl::CountTally(const IoTally& tally, bool write) noexcept {
  StoreCounters::Add(write ? counters_.write_requests : counters_.read_requests, tally.requests);
  StoreCounters::Add(write ? counters_.write_bytes : counters_.read_bytes, tally.device_bytes);
  if (write) StoreCounters::Add(counters_.write_payload_bytes, tally.payload_bytes);
  StoreCounters::Add(counters_.bounced_bytes, tally.bounced_bytes);
}

Result<std::unique_ptr<Path::Impl>> Store::Impl::PathFromTokens(std::string_view root,
                                                                std::span<const uint32_t> tokens,
                                                                uint32_t page_tokens) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  if (page_tokens == 0)
    return Status::InvalidArgument("path from tokens: page_tokens is 0, expected at least 1");
  const PathMaker maker = {creation_.secret, creation_.stem_pages, instance_};
  return maker.FromTokens(roots_.Hold(RootName(creation_.secret, root), root), root, tokens,
                          page_tokens);
}

Result<std::unique_ptr<Path::Impl>> Store::Impl::PathFromDigests(
    std::string_view root, PathKind kind, std::span<const uint8_t> digests) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  if (digests.size() % kDigestBytes != 0) {
    return Status::InvalidArgument(
        "path from " + std::string(kind == PathKind::kDigests ? "digests" : "keys") + ": " +
        std::to_string(digests.size()) + " bytes are not a whole number of 32-byte digests");
  }
  const PathMaker maker = {creation_.secret, creation_.stem_pages, instance_};
  return maker.FromDigests(roots_.Hold(RootName(creation_.secret, root), root), root, kind,
                           digests);
}

Result<size_t> Store::Impl::Probe(Path::Impl& path, size_t first, size_t count,
                                  std::span<PageState> states) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  LAMINA_RETURN_IF_ERROR(CheckRange("probe", path, first, count, states.size()));
  path.CatchUpWithRoot();
  Locate(path, first, count, states.empty());
  NoteUse(path, first, count);
  size_t leading = 0;
  while (leading < count && path.locations[first + leading].found) ++leading;
  size_t present = leading;
  if (!states.empty()) {
    present = 0;
    for (size_t i = 0; i < count; ++i) {
      const bool found = path.locations[first + i].found;
      states[i] = found ? PageState::kOk : PageState::kMiss;
      present += found ? 1 : 0;
    }
  }
  StoreCounters::Add(counters_.probes, 1);
  StoreCounters::Add(counters_.pages_probed, count);
  StoreCounters::Add(counters_.pages_probed_present, present);
  return leading;
}

Status Store::Impl::Touch(Path::Impl& path, size_t first, size_t count) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  LAMINA_RETURN_IF_ERROR(CheckRange("touch", path, first, count, std::nullopt));
  path.CatchUpWithRoot();
  Locate(path, first, count, false);
  NoteMore(evictor_->NoteTouch(path, first + count));
  StoreCounters::Add(counters_.touches, 1);
  return Status::Ok();
}

// The path's first call tells the eviction policy of it, later ones nothing.
void Store::Impl::NoteUse(Path::Impl& path, size_t first, size_t count) noexcept {
  NoteMore(evictor_->NoteUse(path, first, count));
}

// The background shows the policy what was noted; where it is busy with something long, the caller
// does, so that what is noted stays little.
void Store::Impl::NoteMore(size_t noted) noexcept {
  if (noted >= 4 * Evictor::kMaxNoted) return evictor_->ShowNoted();
  if (noted >= Evictor::kMaxNoted) WakeReclaim();
}

// ---- lamina.h
// --------------------------------------------------------------------------------------

Store::Store(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(const std::string& dir,
                                           const Options& options) noexcept {
  LAMINA_ASSIGN_OR_RETURN(auto impl, Impl::Open(dir, options, {}));
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Result<std::unique_ptr<Store>> Store::OpenReadOnly(const std::string& dir,
                                                   const Options&) noexcept {
  return Status::NotSupported(dir + ": read-only followers are not implemented in version " +
                              Version());
}

Result<std::unique_ptr<Path>> Store::PathFromTokens(std::string_view root,
                                                    std::span<const uint32_t> tokens,
                                                    uint32_t page_tokens) noexcept {
  LAMINA_ASSIGN_OR_RETURN(auto path, impl_->PathFromTokens(root, tokens, page_tokens));
  return std::unique_ptr<Path>(new Path(std::move(path)));
}

Result<std::unique_ptr<Path>> Store::PathFromDigests(std::string_view root,
                                                     std::span<const uint8_t> digests32) noexcept {
  LAMINA_ASSIGN_OR_RETURN(auto path, impl_->PathFromDigests(root, PathKind::kDigests, digests32));
  return std::unique_ptr<Path>(new Path(std::move(path)));
}

Result<std::unique_ptr<Path>> Store::PathFromKeys(std::string_view root,
                                                  std::span<const uint8_t> keys32) noexcept {
  LAMINA_ASSIGN_OR_RETURN(auto path, impl_->PathFromDigests(root, PathKind::kFlatKeys, keys32));
  return std::unique_ptr<Path>(new Path(std::move(path)));
}

Result<size_t> Store::Probe(Path& path, size_t first_page, size_t page_count,
                            std::span<PageState> states) noexcept {
  return impl_->Probe(*path.impl(), first_page, page_count, states);
}

Result<size_t> Store::Put(Path& path, size_t first_page, size_t page_count,
                          const PutBuffers& buffers, std::span<PageState> states) noexcept {
  return impl_->Put(*path.impl(), first_page, page_count, buffers, states);
}

Result<size_t> Store::Get(Path& path, size_t first_page, size_t page_count,
                          const GetBuffers& buffers, std::span<PageState> states) noexcept {
  return impl_->Get(*path.impl(), first_page, page_count, buffers, states);
}

Status Store::Touch(Path& path, size_t first_page, size_t page_count) noexcept {
  return impl_->Touch(*path.impl(), first_page, page_count);
}

Status Store::Erase(Path& path, size_t first_page, size_t page_count) noexcept {
  return impl_->Erase(*path.impl(), first_page, page_count);
}

Status Store::EraseRoot(std::string_view root) noexcept { return impl_->EraseRoot(root); }
Status Store::Flush() noexcept { return impl_->Flush(); }
Status Store::SetCapacity(uint64_t capacity_bytes) noexcept {
  return impl_->SetCapacity(capacity_bytes);
}
std::string Store::StatsJson() noexcept { return impl_->StatsJson(); }
std::string Store::Explain() noexcept { return impl_->Explain(); }

}  // namespace lamina
