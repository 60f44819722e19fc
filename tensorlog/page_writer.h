// Writes pages into slots that were taken for them, and computes their checksums meanwhile.
#ifndef LAMINA_TENSORLOG_PAGE_WRITER_H_
#define LAMINA_TENSORLOG_PAGE_WRITER_H_

#include <span>
#include <vector>

#include "tensorlog/page_io.h"
#include "tensorlog/request_window.h"
#include "tensorlog/segment_table.h"

namespace lamina {

class PageWriter final : private RequestWindow {
 public:
  PageWriter(const SegmentTable& table, IoQueue& queue, BufferPool& bounce, const IoLimits& limits,
             IoTally* tally) noexcept;
  ~PageWriter() override;

  // TensorLog::WritePages, without the sync. Once.
  Status Run(std::span<PageWrite> pages, WriteObserver* observer) noexcept;
  // The segments that were written to.
  [[nodiscard]] std::span<Segment* const> segments() const noexcept { return segments_; }

 private:
  struct Progress {
    Segment* segment = nullptr;
    uint64_t bytes = 0;
    bool failed = false;
    std::vector<uint64_t> chunk_sums;
  };

  void Submitted(std::span<const PageRequest::Part> parts) noexcept override;
  void Completed(const PageRequest& request) noexcept override;
  void PartAdded(size_t) noexcept override {}

  bool Prepare(size_t page) noexcept;
  void SetChecksums() noexcept;
  void Fail(size_t page, Status why) noexcept;

  const SegmentTable& table_;
  std::span<PageWrite> pages_;
  std::vector<Progress> progress_;
  std::vector<Segment*> segments_;
  Status first_error_;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_PAGE_WRITER_H_
