// Reads pages into the caller's buffers and checks them.
#ifndef LAMINA_TENSORLOG_PAGE_READER_H_
#define LAMINA_TENSORLOG_PAGE_READER_H_

#include <span>
#include <vector>

#include "tensorlog/page_io.h"
#include "tensorlog/request_window.h"
#include "tensorlog/segment_table.h"

namespace lamina {

// A read that fails for several pages together is repeated for each of them alone, so that a bad
// sector costs the page that it lies in. Nothing else is repeated.
class PageReader final : private RequestWindow {
 public:
  PageReader(const SegmentTable& table, IoQueue& queue, BufferPool& bounce, const IoLimits& limits,
             ReadObserver* observer, IoTally* tally) noexcept;
  ~PageReader() override;

  // TensorLog::ReadPages. Once.
  void Run(std::span<PageRead> pages) noexcept;

 private:
  struct Progress {
    Segment* segment = nullptr;
    size_t first_chunk = 0;   // of its chunks in chunks_
    uint32_t open_parts = 0;  // in requests that are not done
    bool added = false;       // all of its parts are in requests
    bool failed = false;
    bool shared = false;  // a request that failed had other pages in it
  };
  struct Chunk {
    uint32_t bytes_left = 0;
    uint64_t sum = 0;
  };

  void Submitted(std::span<const PageRequest::Part>) noexcept override {}
  void Completed(const PageRequest& request) noexcept override;
  void PartAdded(size_t page) noexcept override { ++progress_[page].open_parts; }

  void HoldBackTail() noexcept;
  void ReadAll(std::span<const size_t> order, bool coalesce) noexcept;
  void ReadOne(size_t page, bool coalesce) noexcept;
  bool PinPage(size_t page) noexcept;
  void CheckPart(const PageRequest::Part& part) noexcept;
  void FinishIfDone(size_t page) noexcept;
  [[nodiscard]] ReadOutcome Verify(size_t page) noexcept;
  void SetOutcome(size_t page, ReadOutcome outcome) noexcept;

  const SegmentTable& table_;
  ReadObserver* const observer_;
  std::span<PageRead> pages_;
  std::vector<Progress> progress_;
  std::vector<Chunk> chunks_;
  std::vector<size_t> again_;  // pages to be read alone
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_PAGE_READER_H_
