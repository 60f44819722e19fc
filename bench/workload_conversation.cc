// The conversation workload: chat sessions that come back, interleaved.
//
// It is fitted to one hour of a real chat service (the public conversation trace of Mooncake,
// FAST'25: 12,031 requests, 288,500 page references). Matched, as quantile tables and shares
// measured there:
// - one root block that every request shares (the system prompt), and nearly all fan-out at it;
// - the kinds of requests: new sessions (61 %), sessions that go on (33 %), of which 2.5 % send the
//   same prompt once more, and requests that share a prefix of somebody else's session and then
//   leave it (6 %, a shared document or template);
// - pages of a new session's first request (median 11, mean 21.5, up to 247), and new pages of each
//   further turn (median 2, mean 4.2);
// - a session's next request is its previous path without the last block, which was not full, and
//   then new blocks: this leaves one page of each turn that nobody reads again;
// - the probability that a session goes on after its first, second, ... turn, less for one-page
//   prompts;
// - the gap between two turns, as a share of the whole run: the hit rate depends on how many
//   sessions have come back by the end, and with gaps in proportion it is 37 % for a thousand
//   requests as for the twelve thousand of the original.
// Not matched: the dependence of gaps and lengths on each other and on the time of day.
#include <algorithm>
#include <cmath>
#include <queue>
#include <utility>

#include "bench/random.h"
#include "bench/workloads.h"

namespace lamina::bench {
namespace {

constexpr uint32_t kPageTokens = 512;
constexpr uint64_t kRootBlock = 0;
// The original's: 12,031 requests in an hour.
constexpr double kMsBetweenRequests = 299.2;

constexpr Quantile kFirstPages[] = {
    {0, 2},    {.15, 2},  {.20, 3},   {.25, 3},    {.30, 4},   {.35, 6},  {.40, 8},  {.45, 9},
    {.50, 11}, {.55, 13}, {.60, 15},  {.65, 18},   {.70, 22},  {.75, 26}, {.80, 31}, {.85, 38},
    {.90, 50}, {.95, 76}, {.97, 100}, {.975, 115}, {.99, 176}, {1, 247}};
constexpr Quantile kNextPages[] = {{0, 1},     {.20, 1},  {.25, 2},   {.65, 2},  {.70, 3},
                                   {.75, 3},   {.80, 4},  {.85, 7},   {.90, 10}, {.95, 16},
                                   {.975, 22}, {.99, 35}, {.998, 55}, {1, 181}};
// Of a request that shares a prefix of another session: the shared pages, and its own.
constexpr Quantile kForkDepth[] = {{0, 2},    {.15, 2},   {.30, 3},   {.40, 4},  {.50, 6},
                                   {.60, 8},  {.70, 12},  {.80, 17},  {.85, 20}, {.90, 28},
                                   {.95, 47}, {.975, 67}, {.99, 145}, {1, 145}};
constexpr Quantile kForkPages[] = {{0, 1},    {.10, 4},  {.20, 10}, {.30, 14}, {.40, 17},
                                   {.50, 19}, {.60, 22}, {.70, 27}, {.80, 32}, {.90, 39},
                                   {.95, 52}, {.99, 85}, {1, 186}};
// Requests between two turns of a session, over all requests of the run.
constexpr Quantile kGap[] = {{0, .0004},   {.05, .0079},  {.10, .0115}, {.20, .0166},
                             {.30, .0210}, {.40, .0268},  {.50, .0352}, {.60, .0461},
                             {.70, .0642}, {.80, .0904},  {.85, .1089}, {.90, .1368},
                             {.95, .1742}, {.975, .2362}, {.99, .4211}, {1, .8739}};
constexpr Quantile kOutputTokens[] = {{0, 1},     {.05, 10},  {.10, 24},   {.20, 100},
                                      {.30, 213}, {.40, 291}, {.50, 350},  {.70, 447},
                                      {.90, 597}, {.95, 698}, {.99, 1120}, {1, 2000}};
// That a session goes on after turn i (the last value: and all later ones).
constexpr double kGoesOn[] = {.37, .42, .52, .60, .64, .68, .74, .76};
// By how much more or less for a path of fewer than `pages` pages. One-page prompts seldom go on at
// all, and long ones are often single jobs.
struct LengthFactor {
  size_t pages;
  double factor;
};
constexpr LengthFactor kGoesOnByLength[] = {{16, 1.05}, {64, .95}, {128, .72}, {SIZE_MAX, .50}};
constexpr double kShortGoesOn = .22;
constexpr size_t kShortPages = 3;
constexpr double kRepeats = .025;
// Among requests that do not continue a session.
constexpr double kForks = .087;

double GoesOn(size_t pages, uint32_t turn) {
  if (turn == 0 && pages <= kShortPages) return kShortGoesOn;
  const LengthFactor* by_length = kGoesOnByLength;
  while (pages >= by_length->pages) ++by_length;
  return kGoesOn[std::min<size_t>(turn, std::size(kGoesOn) - 1)] * by_length->factor;
}

struct Turn {
  double due = 0;  // in requests since the start
  size_t request = 0;
  uint32_t turn = 0;
  friend bool operator>(const Turn& a, const Turn& b) { return a.due > b.due; }
};

class Generator {
 public:
  Generator(size_t count, uint64_t seed) : count_(count), random_(seed) {}

  std::vector<Request> Make() {
    requests_.reserve(count_);
    for (size_t i = 0; i < count_; ++i) {
      uint32_t turn = 0;
      if (!due_.empty() && due_.top().due <= static_cast<double>(i)) {
        const Turn next = due_.top();
        due_.pop();
        turn = next.turn;
        Add(Continue(requests_[next.request]));
      } else if (i > 0 && random_.Chance(kForks)) {
        Add(Fork());
      } else {
        Add(Extend({kRootBlock}, DrawCount(kFirstPages, &random_) - 1));
      }
      ScheduleNextTurn(i, turn);
    }
    return std::move(requests_);
  }

 private:
  std::vector<uint64_t> Extend(std::vector<uint64_t> blocks, size_t new_pages) {
    for (size_t i = 0; i < new_pages; ++i) blocks.push_back(next_block_++);
    return blocks;
  }

  std::vector<uint64_t> Continue(const Request& previous) {
    std::vector<uint64_t> blocks = previous.blocks;
    if (random_.Chance(kRepeats)) return blocks;
    blocks.pop_back();
    return Extend(std::move(blocks), DrawCount(kNextPages, &random_));
  }

  // The first request with enough pages after a random one; a random one's first two otherwise.
  std::vector<uint64_t> Fork() {
    const size_t depth = DrawCount(kForkDepth, &random_);
    const size_t start = random_.Below(requests_.size());
    size_t from = start;
    while (from < requests_.size() && requests_[from].blocks.size() <= depth) ++from;
    if (from == requests_.size()) from = start;
    const std::vector<uint64_t>& blocks = requests_[from].blocks;
    const size_t shared = std::min(depth, blocks.size() - 1);
    return Extend({blocks.begin(), blocks.begin() + static_cast<ptrdiff_t>(shared)},
                  DrawCount(kForkPages, &random_));
  }

  void Add(std::vector<uint64_t> blocks) {
    Request request;
    request.timestamp_ms = std::floor(static_cast<double>(requests_.size()) * kMsBetweenRequests);
    request.input_tokens = (blocks.size() - 1) * kPageTokens + 1 + random_.Below(kPageTokens);
    request.output_tokens = DrawCount(kOutputTokens, &random_);
    request.blocks = std::move(blocks);
    requests_.push_back(std::move(request));
  }

  void ScheduleNextTurn(size_t request, uint32_t turn) {
    if (!random_.Chance(GoesOn(requests_[request].blocks.size(), turn))) return;
    const double gap = std::max(1.0, Draw(kGap, &random_) * static_cast<double>(count_));
    due_.push({static_cast<double>(request) + gap, request, turn + 1});
  }

  const size_t count_;
  Random random_;
  std::vector<Request> requests_;
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> due_;
  uint64_t next_block_ = kRootBlock + 1;
};

}  // namespace

Workload MakeConversation(size_t count, uint64_t seed) {
  return {"conversation", kPageTokens, {}, Generator(count, seed).Make()};
}

}  // namespace lamina::bench
