#include "bench/workloads.h"

#include <unordered_set>
#include <utility>

#include "bench/page_name.h"

namespace lamina::bench {

Result<Workload> MakeWorkload(std::string_view name, size_t count, uint64_t seed) {
  if (name == "conversation") return MakeConversation(count == 0 ? 1000 : count, seed);
  if (name == "staged") return MakeStaged(count == 0 ? 700 : count, seed);
  return Status::InvalidArgument("unknown workload \"" + std::string(name) +
                                 "\" (known: conversation, staged)");
}

void SplitBlocks(uint32_t pages, Workload* workload) {
  if (pages == 1) return;
  workload->page_tokens /= pages;
  for (Request& request : workload->requests) {
    std::vector<uint64_t> blocks;
    blocks.reserve(request.blocks.size() * pages);
    for (const uint64_t block : request.blocks)
      for (uint64_t i = 0; i < pages; ++i) blocks.push_back(Mix(block) + i);
    request.blocks = std::move(blocks);
  }
}

std::vector<size_t> UnboundedHits(std::span<const Request> requests) {
  std::unordered_set<PageName, PageNameHash> stored;
  std::vector<size_t> hits;
  hits.reserve(requests.size());
  for (const Request& request : requests) {
    const std::vector<PageName> names = PageNamesOf("", request.blocks);
    size_t leading = 0;
    while (leading < names.size() && stored.contains(names[leading])) ++leading;
    stored.insert(names.begin() + static_cast<ptrdiff_t>(leading), names.end());
    hits.push_back(leading);
  }
  return hits;
}

size_t CountDistinctPages(std::span<const Request> requests) {
  std::unordered_set<PageName, PageNameHash> pages;
  for (const Request& request : requests) {
    for (const PageName& name : PageNamesOf("", request.blocks)) pages.insert(name);
  }
  return pages.size();
}

}  // namespace lamina::bench
