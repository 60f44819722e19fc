// The buffers of a call on some pages, cut into fragments as callers cut them.
#ifndef LAMINA_TESTS_SIMULATION_HISTORY_BATCH_H_
#define LAMINA_TESTS_SIMULATION_HISTORY_BATCH_H_

#include <span>
#include <vector>

#include "engine/base/buffer.h"
#include "tests/simulation/history.h"

namespace lamina::simulation {

struct History::Batch {
  Batch(const World& world, const Range& range, Random* random)
      : per_page(1 + (random->Below(3) == 0 ? random->Below(3) : 0)) {
    // Often aligned, so that they are not copied; else at odd places.
    const size_t shift = random->Coin() ? 0 : 1 + random->Below(700);
    std::vector<size_t> starts;
    size_t end = shift;
    for (size_t i = 0; i < range.count; ++i) {
      starts.push_back(end);
      bytes.push_back(world.BytesOf(*range.spec, range.first + i));
      end = (end + bytes.back() + 4095) / 4096 * 4096 + shift;
    }
    memory = AlignedBuffer(end);
    for (size_t i = 0; i < range.count; ++i) {
      pages.push_back(memory.span().subspan(starts[i], bytes[i]));
      Cut(pages.back(), random);
    }
  }

  [[nodiscard]] GetBuffers ToGet() const { return {buffers, sizes, per_page}; }
  [[nodiscard]] PutBuffers ToPut() const { return {const_buffers, sizes, per_page}; }

  size_t per_page;
  AlignedBuffer memory;
  std::vector<size_t> bytes;
  std::vector<std::span<std::byte>> pages;
  std::vector<void*> buffers;
  std::vector<const void*> const_buffers;
  std::vector<size_t> sizes;

 private:
  void Cut(std::span<std::byte> page, Random* random) {
    for (size_t left = per_page; left > 0; --left) {
      size_t take = page.size();
      if (left > 1) {
        take = 1 + random->Below(page.size() - left + 1);
        if (take > 512 && random->Coin()) take = take / 512 * 512;
      }
      buffers.push_back(page.data());
      const_buffers.push_back(page.data());
      sizes.push_back(take);
      page = page.subspan(take);
    }
  }
};

struct History::Submitted {
  Submitted(bool is_put, const Range& pages, Batch&& bytes)
      : put(is_put), range(pages), batch(std::move(bytes)), states(pages.count) {}
  bool put;
  Range range;
  Batch batch;
  std::vector<PageState> states;
  std::vector<uint32_t> versions;  // of a put, by page
  Pending pending;
};

}  // namespace lamina::simulation

#endif  // LAMINA_TESTS_SIMULATION_HISTORY_BATCH_H_
