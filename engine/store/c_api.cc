// The C interface over lamina.h: argument checks that only C needs, and the conversion of results.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "engine/lamina.h"
#include "engine/lamina_c.h"

struct lamina_store {
  std::unique_ptr<lamina::Store> store;
};
struct lamina_path {
  std::unique_ptr<lamina::Path> path;
};

namespace {

using lamina::PageState;
using lamina::Path;
using lamina::Result;
using lamina::Status;
using lamina::StatusCode;

static_assert(LAMINA_OK == static_cast<int>(StatusCode::kOk));
static_assert(LAMINA_INVALID_ARGUMENT == static_cast<int>(StatusCode::kInvalidArgument));
static_assert(LAMINA_IO_ERROR == static_cast<int>(StatusCode::kIoError));
static_assert(LAMINA_CORRUPTION == static_cast<int>(StatusCode::kCorruption));
static_assert(LAMINA_NO_SPACE == static_cast<int>(StatusCode::kNoSpace));
static_assert(LAMINA_BUSY == static_cast<int>(StatusCode::kBusy));
static_assert(LAMINA_NOT_SUPPORTED == static_cast<int>(StatusCode::kNotSupported));
static_assert(LAMINA_CLOSED == static_cast<int>(StatusCode::kClosed));
static_assert(LAMINA_TIMED_OUT == static_cast<int>(StatusCode::kTimedOut));
static_assert(LAMINA_PAGE_PENDING == static_cast<int>(PageState::kPending));
static_assert(LAMINA_PAGE_OK == static_cast<int>(PageState::kOk));
static_assert(LAMINA_PAGE_MISS == static_cast<int>(PageState::kMiss));
static_assert(LAMINA_PAGE_REJECTED == static_cast<int>(PageState::kRejected));
static_assert(LAMINA_PAGE_CANCELLED == static_cast<int>(PageState::kCancelled));

thread_local std::string last_error;

char* CopyText(std::string_view text) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) std::abort();
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

int Report(const Status& status, char** error) {
  if (error != nullptr) *error = status.ok() ? nullptr : CopyText(status.message());
  return static_cast<int>(status.code());
}

int ReportLeading(const Result<size_t>& result, size_t* leading, char** error) {
  if (leading != nullptr) *leading = result.ok() ? *result : 0;
  return Report(result.status(), error);
}

Status MissingArgument(const char* function, const char* argument) {
  return Status::InvalidArgument(std::string(function) + ": " + argument + " is NULL");
}

// Store and path handles of a call.
Status CheckHandles(const char* function, const lamina_store* store, const lamina_path* path) {
  if (store == nullptr) return MissingArgument(function, "store");
  if (path == nullptr) return MissingArgument(function, "path");
  return Status::Ok();
}

std::span<PageState> StatesOf(uint8_t* states, size_t page_count) {
  static_assert(sizeof(PageState) == 1);
  return states == nullptr ? std::span<PageState>()
                           : std::span(reinterpret_cast<PageState*>(states), page_count);
}

// The flat arrays of a put or get as spans. The count is checked against overflow here; what the
// arrays hold is checked by the store.
template <class Buffers, class Pointer>
Result<Buffers> BuffersOf(const char* function, Pointer buffers, const size_t* sizes,
                          size_t page_count, size_t buffers_per_page) {
  if (buffers == nullptr) return MissingArgument(function, "buffers");
  if (sizes == nullptr) return MissingArgument(function, "sizes");
  size_t count = 0;
  if (__builtin_mul_overflow(page_count, buffers_per_page, &count)) {
    return Status::InvalidArgument(std::string(function) +
                                   ": page_count * buffers_per_page overflows");
  }
  return Buffers{{buffers, count}, {sizes, count}, buffers_per_page};
}

lamina_path* WrapPath(Result<std::unique_ptr<Path>> path) {
  if (!path.ok()) {
    last_error = path.status().message();
    return nullptr;
  }
  last_error.clear();
  return new lamina_path{std::move(*path)};
}

lamina_path* NoPath(const Status& status) {
  last_error = status.message();
  return nullptr;
}

template <class OpenFunction>
int OpenWith(const char* function, const char* dir, const char* options, lamina_store** store,
             char** error, OpenFunction open) {
  if (store == nullptr) return Report(MissingArgument(function, "store"), error);
  *store = nullptr;
  if (dir == nullptr) return Report(MissingArgument(function, "dir"), error);
  auto parsed = lamina::Options::Parse(options == nullptr ? "" : options);
  if (!parsed.ok()) return Report(parsed.status(), error);
  auto opened = open(dir, *parsed);
  if (opened.ok()) *store = new lamina_store{std::move(*opened)};
  return Report(opened.status(), error);
}

Status CheckSubmission(const char* function, const lamina_store* store, const lamina_path* path,
                       const uint8_t* states, uint64_t* ticket) {
  if (ticket == nullptr) return MissingArgument(function, "ticket");
  *ticket = 0;
  if (Status s = CheckHandles(function, store, path); !s.ok()) return s;
  if (states == nullptr) return MissingArgument(function, "states");
  return Status::Ok();
}

lamina::IoHints HintsOf(const lamina_io_hints* hints) {
  if (hints == nullptr) return {};
  return {hints->priority, hints->backward != 0, hints->deadline_us};
}

int ReportTicket(Result<lamina::Pending> pending, uint64_t* ticket, char** error) {
  if (pending.ok()) *ticket = pending->Detach();
  return Report(pending.status(), error);
}

}  // namespace

extern "C" {

int lamina_open(const char* dir, const char* options, lamina_store** store, char** error) {
  return OpenWith("lamina_open", dir, options, store, error, lamina::Store::Open);
}

int lamina_open_read_only(const char* dir, const char* options, lamina_store** store,
                          char** error) {
  return OpenWith("lamina_open_read_only", dir, options, store, error, lamina::Store::OpenReadOnly);
}

void lamina_close(lamina_store* store) { delete store; }

lamina_path* lamina_path_from_tokens(lamina_store* store, const char* root, const uint32_t* tokens,
                                     size_t token_count, uint32_t page_tokens) {
  const char* function = "lamina_path_from_tokens";
  if (store == nullptr) return NoPath(MissingArgument(function, "store"));
  if (root == nullptr) return NoPath(MissingArgument(function, "root"));
  if (tokens == nullptr && token_count > 0) return NoPath(MissingArgument(function, "tokens"));
  return WrapPath(store->store->PathFromTokens(root, {tokens, token_count}, page_tokens));
}

lamina_path* lamina_path_from_digests(lamina_store* store, const char* root,
                                      const uint8_t* digests32, size_t page_count) {
  const char* function = "lamina_path_from_digests";
  if (store == nullptr) return NoPath(MissingArgument(function, "store"));
  if (root == nullptr) return NoPath(MissingArgument(function, "root"));
  if (digests32 == nullptr && page_count > 0) return NoPath(MissingArgument(function, "digests32"));
  if (page_count > SIZE_MAX / 32)
    return NoPath(Status::InvalidArgument("lamina_path_from_digests: page_count overflows"));
  return WrapPath(store->store->PathFromDigests(root, {digests32, page_count * 32}));
}

lamina_path* lamina_path_from_keys(lamina_store* store, const char* root, const uint8_t* keys32,
                                   size_t page_count) {
  const char* function = "lamina_path_from_keys";
  if (store == nullptr) return NoPath(MissingArgument(function, "store"));
  if (root == nullptr) return NoPath(MissingArgument(function, "root"));
  if (keys32 == nullptr && page_count > 0) return NoPath(MissingArgument(function, "keys32"));
  if (page_count > SIZE_MAX / 32)
    return NoPath(Status::InvalidArgument("lamina_path_from_keys: page_count overflows"));
  return WrapPath(store->store->PathFromKeys(root, {keys32, page_count * 32}));
}

size_t lamina_path_pages(const lamina_path* path) {
  return path == nullptr ? 0 : path->path->pages();
}

void lamina_path_free(lamina_path* path) { delete path; }

const char* lamina_last_error(void) { return last_error.c_str(); }

int lamina_probe(lamina_store* store, lamina_path* path, size_t first_page, size_t page_count,
                 uint8_t* states, size_t* leading, char** error) {
  if (leading != nullptr) *leading = 0;
  if (Status s = CheckHandles("lamina_probe", store, path); !s.ok()) return Report(s, error);
  return ReportLeading(
      store->store->Probe(*path->path, first_page, page_count, StatesOf(states, page_count)),
      leading, error);
}

int lamina_put(lamina_store* store, lamina_path* path, size_t first_page, size_t page_count,
               const void* const* buffers, const size_t* sizes, size_t buffers_per_page,
               uint8_t* states, size_t* leading, char** error) {
  if (leading != nullptr) *leading = 0;
  if (Status s = CheckHandles("lamina_put", store, path); !s.ok()) return Report(s, error);
  auto spans =
      BuffersOf<lamina::PutBuffers>("lamina_put", buffers, sizes, page_count, buffers_per_page);
  if (!spans.ok()) return Report(spans.status(), error);
  return ReportLeading(
      store->store->Put(*path->path, first_page, page_count, *spans, StatesOf(states, page_count)),
      leading, error);
}

int lamina_get(lamina_store* store, lamina_path* path, size_t first_page, size_t page_count,
               void* const* buffers, const size_t* sizes, size_t buffers_per_page, uint8_t* states,
               size_t* leading, char** error) {
  if (leading != nullptr) *leading = 0;
  if (Status s = CheckHandles("lamina_get", store, path); !s.ok()) return Report(s, error);
  auto spans =
      BuffersOf<lamina::GetBuffers>("lamina_get", buffers, sizes, page_count, buffers_per_page);
  if (!spans.ok()) return Report(spans.status(), error);
  return ReportLeading(
      store->store->Get(*path->path, first_page, page_count, *spans, StatesOf(states, page_count)),
      leading, error);
}

int lamina_submit_get(lamina_store* store, lamina_path* path, size_t first_page, size_t page_count,
                      void* const* buffers, const size_t* sizes, size_t buffers_per_page,
                      uint8_t* states, const lamina_io_hints* hints, uint64_t* ticket,
                      char** error) {
  const char* function = "lamina_submit_get";
  if (Status s = CheckSubmission(function, store, path, states, ticket); !s.ok())
    return Report(s, error);
  auto spans =
      BuffersOf<lamina::GetBuffers>(function, buffers, sizes, page_count, buffers_per_page);
  if (!spans.ok()) return Report(spans.status(), error);
  return ReportTicket(store->store->SubmitGet(*path->path, first_page, page_count, *spans,
                                              StatesOf(states, page_count), HintsOf(hints)),
                      ticket, error);
}

int lamina_submit_put(lamina_store* store, lamina_path* path, size_t first_page, size_t page_count,
                      const void* const* buffers, const size_t* sizes, size_t buffers_per_page,
                      uint8_t* states, const lamina_io_hints* hints, uint64_t* ticket,
                      char** error) {
  const char* function = "lamina_submit_put";
  if (Status s = CheckSubmission(function, store, path, states, ticket); !s.ok())
    return Report(s, error);
  auto spans =
      BuffersOf<lamina::PutBuffers>(function, buffers, sizes, page_count, buffers_per_page);
  if (!spans.ok()) return Report(spans.status(), error);
  return ReportTicket(store->store->SubmitPut(*path->path, first_page, page_count, *spans,
                                              StatesOf(states, page_count), HintsOf(hints)),
                      ticket, error);
}

int lamina_event_fd(lamina_store* store) { return store == nullptr ? -1 : store->store->EventFd(); }

size_t lamina_poll(lamina_store* store, uint64_t* tickets, size_t capacity) {
  if (store == nullptr || tickets == nullptr) return 0;
  return store->store->Poll({tickets, capacity});
}

int lamina_cancel(lamina_store* store, uint64_t ticket, size_t first_page, size_t page_count) {
  if (store == nullptr) return LAMINA_INVALID_ARGUMENT;
  return Report(store->store->Cancel(ticket, first_page, page_count), nullptr);
}

int lamina_wait(lamina_store* store, uint64_t ticket, uint64_t timeout_us, size_t* leading,
                char** error) {
  if (leading != nullptr) *leading = 0;
  if (store == nullptr) return Report(MissingArgument("lamina_wait", "store"), error);
  return ReportLeading(store->store->Wait(ticket, timeout_us), leading, error);
}

int lamina_estimate(lamina_store* store, lamina_path* path, size_t first_page, size_t page_count,
                    lamina_load_estimate* estimate, char** error) {
  if (Status s = CheckHandles("lamina_estimate", store, path); !s.ok()) return Report(s, error);
  if (estimate == nullptr) return Report(MissingArgument("lamina_estimate", "estimate"), error);
  auto made = store->store->Estimate(*path->path, first_page, page_count);
  if (made.ok()) {
    *estimate = {made->bytes, made->requests, made->queued_bytes_ahead, made->us_p50, made->us_p95};
  }
  return Report(made.status(), error);
}

size_t lamina_plan_restore(const lamina_load_estimate* estimate, size_t page_count, double a,
                           double b) {
  if (estimate == nullptr) return page_count;
  const lamina::LoadEstimate converted = {estimate->bytes, estimate->requests,
                                          estimate->queued_bytes_ahead, estimate->us_p50,
                                          estimate->us_p95};
  return lamina::PlanRestore(converted, page_count, a, b);
}

int lamina_touch(lamina_store* store, lamina_path* path, size_t first_page, size_t page_count,
                 char** error) {
  if (Status s = CheckHandles("lamina_touch", store, path); !s.ok()) return Report(s, error);
  return Report(store->store->Touch(*path->path, first_page, page_count), error);
}

int lamina_erase(lamina_store* store, lamina_path* path, size_t first_page, size_t page_count,
                 char** error) {
  if (Status s = CheckHandles("lamina_erase", store, path); !s.ok()) return Report(s, error);
  return Report(store->store->Erase(*path->path, first_page, page_count), error);
}

int lamina_erase_root(lamina_store* store, const char* root, char** error) {
  if (store == nullptr) return Report(MissingArgument("lamina_erase_root", "store"), error);
  if (root == nullptr) return Report(MissingArgument("lamina_erase_root", "root"), error);
  return Report(store->store->EraseRoot(root), error);
}

int lamina_flush(lamina_store* store, char** error) {
  if (store == nullptr) return Report(MissingArgument("lamina_flush", "store"), error);
  return Report(store->store->Flush(), error);
}

int lamina_set_capacity(lamina_store* store, uint64_t capacity_bytes, char** error) {
  if (store == nullptr) return Report(MissingArgument("lamina_set_capacity", "store"), error);
  return Report(store->store->SetCapacity(capacity_bytes), error);
}

int lamina_collect_garbage(lamina_store* store, const char* options, char** report_json,
                           char** error) {
  if (report_json != nullptr) *report_json = nullptr;
  if (store == nullptr) return Report(MissingArgument("lamina_collect_garbage", "store"), error);
  auto report = store->store->CollectGarbage(options == nullptr ? "" : options);
  if (report.ok() && report_json != nullptr) *report_json = CopyText(*report);
  return Report(report.status(), error);
}

char* lamina_stats_json(lamina_store* store) {
  return store == nullptr ? nullptr : CopyText(store->store->StatsJson());
}

char* lamina_metrics_text(lamina_store* store) {
  return store == nullptr ? nullptr : CopyText(store->store->MetricsText());
}

char* lamina_explain(lamina_store* store) {
  return store == nullptr ? nullptr : CopyText(store->store->Explain());
}

void lamina_free(void* memory) { std::free(memory); }

const char* lamina_version(void) { return lamina::Version(); }

}  // extern "C"
