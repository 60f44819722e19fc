// What a restore is predicted to take.
#include "engine/store/store_impl.h"

namespace lamina {
namespace {

// Device requests that reading these pages takes: neighbours in the log share one while they fit.
class RequestCount {
 public:
  explicit RequestCount(uint64_t request_bytes) noexcept : request_bytes_(request_bytes) {}
  void Add(const Entry& entry) noexcept {
    const uint64_t bytes = SlotBytesFor(entry.length);
    const bool joins =
        count_ > 0 && entry.slot == SlotRef{last_.segment, last_.slot + 1} && bytes <= room_;
    if (!joins) {
      count_ += (bytes + request_bytes_ - 1) / request_bytes_;
      room_ = bytes < request_bytes_ ? request_bytes_ : bytes;
    }
    room_ -= bytes;
    last_ = entry.slot;
  }
  [[nodiscard]] uint64_t count() const noexcept { return count_; }

 private:
  const uint64_t request_bytes_;
  uint64_t count_ = 0;
  uint64_t room_ = 0;  // in the last one
  SlotRef last_;
};

}  // namespace

Result<LoadEstimate> Store::Impl::Estimate(Path::Impl& path, size_t first, size_t count) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  LAMINA_RETURN_IF_ERROR(CheckRange("estimate", path, first, count, std::nullopt));
  path.CatchUpWithRoot();
  Locate(path, first, count, false);
  LoadEstimate estimate;
  RequestCount requests(options_.request_bytes);
  for (size_t page = first; page < first + count; ++page) {
    const Location& location = path.locations[page];
    if (!location.found) continue;
    estimate.bytes += location.entry.length;
    requests.Add(location.entry);
  }
  estimate.requests = requests.count();
  estimate.queued_bytes_ahead = tickets_.load().get_bytes + load_model_.running_bytes();
  const LoadModel::Prediction predicted = load_model_.Predict(
      {estimate.bytes, estimate.requests, estimate.queued_bytes_ahead, governor_.writers() > 0});
  estimate.us_p50 = predicted.us_p50;
  estimate.us_p95 = predicted.us_p95;
  return estimate;
}

Result<LoadEstimate> Store::Estimate(Path& path, size_t first_page, size_t page_count) noexcept {
  return impl_->Estimate(*path.impl(), first_page, page_count);
}

}  // namespace lamina
