// Pages as small numbers, for simulations that keep a table of them.
#ifndef LAMINA_BENCH_PAGE_NUMBERS_H_
#define LAMINA_BENCH_PAGE_NUMBERS_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "bench/page_name.h"
#include "bench/trace.h"

namespace lamina::bench {

// Numbers pages from 0 on in the order in which they first appear. A page is its whole path.
class PageNumbers {
 public:
  // The numbers of a request's blocks, first block first.
  std::vector<uint64_t> Of(const Request& request) {
    std::vector<uint64_t> numbers;
    numbers.reserve(request.blocks.size());
    for (const PageName& name : PageNamesOf("", request.blocks))
      numbers.push_back(numbers_.try_emplace(name, numbers_.size()).first->second);
    return numbers;
  }
  // Pages numbered so far.
  [[nodiscard]] uint64_t count() const { return numbers_.size(); }

 private:
  std::unordered_map<PageName, uint64_t, PageNameHash> numbers_;
};

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_PAGE_NUMBERS_H_
