// Asynchronous gets and puts: what a ticket asks for is served by the blocking operations, which
// tell the ticket how far they are.
#include <algorithm>
#include <atomic>
#include <utility>

#include "engine/store/store_impl.h"

namespace lamina {
namespace {

// A put is made in steps, so that its pages are acknowledged as they are stored, and a cancellation
// does not wait for long.
constexpr uint64_t kPutStepBytes = uint64_t{32} << 20;

Status CheckHints(const char* call, const IoHints& hints) noexcept {
  if (hints.priority <= 1) return Status::Ok();
  return Status::InvalidArgument(std::string(call) + ": priority is " +
                                 std::to_string(hints.priority) +
                                 ", expected 0 (demand) or 1 (prefetch)");
}

const char* NameOf(AsyncCall::Kind kind) noexcept {
  return kind == AsyncCall::Kind::kGet ? "submit get" : "submit put";
}

}  // namespace

Result<uint64_t> Store::Impl::Submit(AsyncCall::Kind kind, Path::Impl& path, size_t first,
                                     size_t count, std::vector<void*> buffers,
                                     std::span<const size_t> sizes, size_t buffers_per_page,
                                     std::span<PageState> states, const IoHints& hints) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  const char* const name = NameOf(kind);
  if (states.empty())
    return Status::InvalidArgument(std::string(name) + ": states is NULL; each page needs one");
  LAMINA_RETURN_IF_ERROR(CheckRange(name, path, first, count, states.size()));
  LAMINA_RETURN_IF_ERROR(CheckBuffers(name, count, buffers, sizes, buffers_per_page));
  LAMINA_RETURN_IF_ERROR(CheckHints(name, hints));
  path.CatchUpWithRoot();
  // For the eviction policy the copy is the same request.
  if (path.request == nullptr) path.request = std::make_shared<ShownRequest>();
  AsyncCall asked;
  asked.kind = kind;
  asked.hints = hints;
  asked.path = std::make_unique<Path::Impl>(static_cast<const PathKeys&>(path));
  asked.path->store_instance = path.store_instance;
  asked.path->request = path.request;
  std::copy_n(path.locations.begin() + static_cast<ptrdiff_t>(first), count,
              asked.path->locations.begin() + static_cast<ptrdiff_t>(first));
  asked.first = first;
  asked.count = count;
  asked.buffers = std::move(buffers);
  asked.sizes.assign(sizes.begin(), sizes.end());
  asked.buffers_per_page = buffers_per_page;
  for (const size_t size : sizes) asked.bytes += size;
  asked.states = states;
  return tickets_.Submit(std::move(asked));
}

Result<uint64_t> Store::Impl::SubmitGet(Path::Impl& path, size_t first, size_t count,
                                        const GetBuffers& buffers, std::span<PageState> states,
                                        const IoHints& hints) noexcept {
  return Submit(AsyncCall::Kind::kGet, path, first, count,
                std::vector<void*>(buffers.buffers.begin(), buffers.buffers.end()), buffers.sizes,
                buffers.buffers_per_page, states, hints);
}

Result<uint64_t> Store::Impl::SubmitPut(Path::Impl& path, size_t first, size_t count,
                                        const PutBuffers& buffers, std::span<PageState> states,
                                        const IoHints& hints) noexcept {
  std::vector<void*> untyped;
  untyped.reserve(buffers.buffers.size());
  for (const void* buffer : buffers.buffers) untyped.push_back(const_cast<void*>(buffer));
  return Submit(AsyncCall::Kind::kPut, path, first, count, std::move(untyped), buffers.sizes,
                buffers.buffers_per_page, states, hints);
}

// These are not refused while the store closes: closing ends all tickets, and whoever waits for one
// has to know that its buffers are his again.
int Store::Impl::EventFd() noexcept {
  const Call call(*this);
  return tickets_.EventFd();
}

size_t Store::Impl::PollTickets(std::span<uint64_t> tickets) noexcept {
  const Call call(*this);
  return tickets_.Poll(tickets);
}

Result<size_t> Store::Impl::WaitTicket(uint64_t ticket, uint64_t timeout_us) noexcept {
  const Call call(*this);
  return tickets_.Wait(ticket, timeout_us);
}

Status Store::Impl::CancelTicket(uint64_t ticket, size_t first, size_t count) noexcept {
  const Call call(*this);
  return tickets_.Cancel(ticket, first, count);
}

void Store::Impl::AbandonTicket(uint64_t ticket) noexcept {
  const Call call(*this);
  tickets_.Abandon(ticket);
}

// ---- On the queue's threads --------------------------------------------------------------------

void Store::Impl::ServeTicket(Ticket& ticket) noexcept {
  // Cancelled while it waited.
  if (ticket.AllDecided()) return;
  if (ticket.call().kind == AsyncCall::Kind::kGet) {
    ServeGet(ticket);
  } else {
    ServePut(ticket);
  }
}

void Store::Impl::ServeGet(Ticket& ticket) noexcept {
  AsyncCall& call = ticket.call();
  // The ticket alone knows which of the caller's states may still be written.
  std::vector<PageState> states(call.count);
  AsyncGet async;
  async.watch = &ticket;
  async.backward = call.hints.backward;
  async.io_class = ticket.prefetch() ? IoClass::kPrefetchGet : IoClass::kDemandGet;
  (void)RunGet(*call.path, call.first, call.count,
               {call.buffers, call.sizes, call.buffers_per_page}, states, async);
}

void Store::Impl::ServePut(Ticket& ticket) noexcept {
  AsyncCall& call = ticket.call();
  StoreCounters::Add(counters_.puts, 1);
  const std::vector<const void*> buffers(call.buffers.begin(), call.buffers.end());
  const size_t per_page = call.buffers_per_page;
  std::vector<PageState> states;
  bool rejected = false;
  if (call.bytes > kPutStepBytes) {
    // For the eviction policy all steps are one request, which its first one would note in part.
    call.path->CatchUpWithRoot();
    Locate(*call.path, call.first, call.count, false);
    NoteUse(*call.path, call.first, call.count);
  }
  for (size_t begin = 0; begin < call.count && !rejected;) {
    // A step ends before a page that is not wanted any more.
    size_t end = begin;
    for (uint64_t bytes = 0; end < call.count && bytes < kPutStepBytes; ++end) {
      if (!ticket.Begin(end)) break;
      for (size_t i = end * per_page; i < (end + 1) * per_page; ++i) bytes += call.sizes[i];
    }
    if (end == begin) {
      ticket.Decided(begin++, PageState::kCancelled);
      continue;
    }
    states.assign(end - begin, PageState::kPending);
    const size_t count = (end - begin) * per_page;
    (void)RunPut(*call.path, call.first + begin, end - begin,
                 {std::span(buffers).subspan(begin * per_page, count),
                  std::span(call.sizes).subspan(begin * per_page, count), per_page},
                 states);
    for (size_t page = begin; page < end; ++page) {
      ticket.Decided(page, states[page - begin]);
      rejected = rejected || states[page - begin] == PageState::kRejected;
    }
    begin = end;
  }
  // A prefix has no hole at its head: what follows a rejected page is rejected with it.
  for (size_t page = 0; rejected && page < call.count; ++page)
    ticket.Decided(page, PageState::kRejected);
}

// ---- lamina.h ----------------------------------------------------------------------------------

Pending& Pending::operator=(Pending&& other) noexcept {
  if (this == &other) return *this;
  Abandon();
  store_ = std::exchange(other.store_, nullptr);
  ticket_ = std::exchange(other.ticket_, 0);
  return *this;
}

Result<size_t> Pending::Wait(uint64_t timeout_us) noexcept {
  if (store_ == nullptr) return Status::InvalidArgument("wait: there is no call to wait for");
  auto leading = store_->Wait(ticket_, timeout_us);
  if (leading.ok() || leading.status().code() != StatusCode::kTimedOut) (void)Detach();
  return leading;
}

Status Pending::Cancel(size_t first, size_t count) noexcept {
  if (store_ == nullptr) return Status::InvalidArgument("cancel: there is no call to cancel");
  return store_->Cancel(ticket_, first, count);
}

void Pending::Abandon() noexcept {
  if (store_ == nullptr) return;
  store_->Abandon(ticket_);
  (void)Detach();
}

Result<Pending> Store::SubmitGet(Path& path, size_t first_page, size_t page_count,
                                 const GetBuffers& buffers, std::span<PageState> states,
                                 const IoHints& hints) noexcept {
  LAMINA_ASSIGN_OR_RETURN(
      const uint64_t ticket,
      impl_->SubmitGet(*path.impl(), first_page, page_count, buffers, states, hints));
  return Pending(this, ticket);
}

Result<Pending> Store::SubmitPut(Path& path, size_t first_page, size_t page_count,
                                 const PutBuffers& buffers, std::span<PageState> states,
                                 const IoHints& hints) noexcept {
  LAMINA_ASSIGN_OR_RETURN(
      const uint64_t ticket,
      impl_->SubmitPut(*path.impl(), first_page, page_count, buffers, states, hints));
  return Pending(this, ticket);
}

int Store::EventFd() noexcept { return impl_->EventFd(); }
size_t Store::Poll(std::span<uint64_t> tickets) noexcept { return impl_->PollTickets(tickets); }
Result<size_t> Store::Wait(uint64_t ticket, uint64_t timeout_us) noexcept {
  return impl_->WaitTicket(ticket, timeout_us);
}
void Store::Abandon(uint64_t ticket) noexcept { impl_->AbandonTicket(ticket); }
Status Store::Cancel(uint64_t ticket, size_t first, size_t count) noexcept {
  return impl_->CancelTicket(ticket, first, count);
}

}  // namespace lamina
