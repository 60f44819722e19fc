// Between the store's calls and the eviction policy: what counts as a request, which pages are
// admitted, which are condemned.
//
// A request, for the policy, is one path, counted once over its probe, get and put (and once for
// each touch). The first call on a path notes it here, which copies the path's keys and where what
// was found lies; the policy is shown the requests in the order in which they were noted, in the
// background or by the next put, which needs its verdict. Showing a request brings condemned pages
// that it used back to life, and stamps their ancestors too: those that the call did not ask for
// are looked up then, if it found anything and the store has a capacity. What only a later call on
// the path has found condemned (a probe stops at the first miss) comes back to life in the same
// way.
//
// A put asks which of its new pages to write: room for them is made at once by condemning what is
// worth least in their class. Admitted pages are reserved until the put has ended, so that
// concurrent puts do not promise one slot twice.
//
// Thread-safe. Takes no lock of the store's; may be called with none of them held.
#ifndef LAMINA_ENGINE_STORE_EVICTOR_H_
#define LAMINA_ENGINE_STORE_EVICTOR_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/lamina.h"
#include "engine/store/class_residents.h"
#include "engine/store/counters.h"
#include "engine/store/path.h"
#include "tensorlog/eviction/policy.h"
#include "tensorlog/eviction/random.h"
#include "tensorlog/tensor_log.h"

namespace lamina {

// What the policy said of a path, shared by the path, the copies that asynchronous calls have of
// it, and the request that was noted for it. Written when the request is shown, before `shown`.
struct ShownRequest {
  std::atomic<bool> noted{false};  // by the first call on any of them
  std::atomic<bool> shown{false};
  std::vector<Heat> heats;  // by page
  std::vector<bool> seen;   // whether the page was seen before, here or by a record
};

struct EvictorOptions {
  PolicyOptions policy;
  Options::Admission admission = Options::Admission::kPolicy;
  uint32_t page_tokens = 512;  // of paths that do not say
  // Finds pages [first, first + count) of a path.
  std::function<void(Path::Impl& path, size_t first, size_t count)> locate;
  // How many slots may be added to a class now.
  std::function<uint64_t(uint32_t slot_bytes)> growable;
};

class Evictor {
 public:
  Evictor(TensorLog& log, StoreCounters& counters, EvictorOptions options) noexcept;

  // The first call on a path, with pages [first, first + count) located, notes a request; later
  // ones only what they found condemned. Returns how many are noted: from kMaxNoted on somebody has
  // to call ShowNoted.
  size_t NoteUse(Path::Impl& path, size_t first, size_t count) noexcept;
  // Notes one for the pages below `end`, always.
  size_t NoteTouch(const Path::Impl& path, size_t end) noexcept;
  // Shows the policy all that was noted.
  void ShowNoted() noexcept;
  // Lets the policy learn from what it was shown, when nobody waits for it.
  void Settle() noexcept;
  // How many requests may be noted before somebody has to show them.
  static constexpr size_t kMaxNoted = 64;

  // How many of a path's pages, which are new and ascending, of one class, are to be written:
  // leading ones. They are reserved until Unreserve. Nothing where the class has no slots and may
  // get none now; NoteShort and a transfer may help.
  std::optional<size_t> Admit(const Path::Impl& path, std::span<const size_t> pages,
                              uint32_t slot_bytes) noexcept;
  void Unreserve(uint32_t slot_bytes, uint64_t pages) noexcept;
  // A page of the path was published in its slot: gives it its heat, and its neighbours a link.
  void Placed(const Path::Impl& path, size_t page) noexcept;

  // Condemns what is beyond the classes' logical capacity now.
  void TrimAll() noexcept;

  // Which segments to give up so that a class gets its slots, and for whom; see class_balance.cc.
  struct Transfer {
    std::vector<uint32_t> segments;  // to be given up
    uint32_t slot_bytes = 0;         // the class that is to have their bytes
  };
  // Nothing when no class is short, or all others are worth more.
  std::optional<Transfer> NextTransfer() noexcept;
  // NextTransfer may have one.
  [[nodiscard]] bool transfer_due() const noexcept {
    return transfer_due_.load(std::memory_order_relaxed);
  }
  // A put found no slot of a class at all.
  void NoteShort(uint32_t slot_bytes) noexcept;

  // The segments with the fewest live bytes first: what goes when the store shrinks.
  [[nodiscard]] std::vector<uint32_t> SegmentsByLiveBytes() noexcept;

  // The policy's state, for a file. Load replaces it; see EvictionPolicy.
  std::string Save() noexcept;
  Status Load(std::string_view bytes) noexcept;
  // The log's slots are what recovery found: the policy's clock goes on behind them.
  void OnRecovered() noexcept;
  [[nodiscard]] uint64_t memory_bytes() noexcept;
  // The policy's model, as a JSON object.
  [[nodiscard]] std::string Explain() noexcept;

 private:
  // A call on pages [first, end) of a path, and where those that were found lay. Below it nobody
  // has looked yet; behind it pages count as new.
  struct Noted {
    struct Found {
      uint32_t page = 0;
      Entry entry;
    };
    PathKeys path;
    size_t first = 0;
    size_t end = 0;
    std::vector<Found> found;
    std::shared_ptr<ShownRequest> result;  // null for a touch
    bool again = false;                    // by a later call: `found` is to come back to life
  };
  // What is known of a class that may be short of slots.
  struct Demand {
    uint64_t pages = 0;     // evicted or rejected since the last transfer was weighed
    double worth = 0;       // of these, in all
    bool no_slots = false;  // a put found none
  };

  size_t Note(const Path::Impl& path, size_t first, size_t end,
              std::shared_ptr<ShownRequest> result) noexcept;
  size_t NoteAgain(const Path::Impl& path, size_t first, size_t end) noexcept;
  void Show(const Noted& noted) noexcept;
  void ShowAgain(const Noted& noted) noexcept;
  void Apply(const Path::Impl& path, std::span<const RequestPage> pages) noexcept;
  void Revive(SlotRef slot, uint64_t tag, std::set<uint32_t>* classes) noexcept;
  // The path's pages that lie in the class and are condemned are live again.
  void ReviveOwn(const Path::Impl& path, uint32_t slot_bytes) noexcept;
  ClassResidents& ClassOf(uint32_t slot_bytes) noexcept;
  void Trim(ClassResidents& residents) noexcept;
  void SizeRecords() noexcept;
  static uint64_t LossDue(const ClassResidents& residents) noexcept;
  void NoteLost(ClassResidents& residents, std::span<const Heat> rejected) noexcept;
  [[nodiscard]] RequestShape ShapeOf(const PathKeys& path) const noexcept;
  [[nodiscard]] std::vector<uint32_t> LeastWorth(const std::vector<uint32_t>& sizes,
                                                 uint32_t except, double bound,
                                                 uint64_t count) noexcept;
  [[nodiscard]] double SegmentWorth(const Segment& segment) noexcept;

  TensorLog& log_;
  StoreCounters& counters_;
  const EvictorOptions options_;

  std::atomic<bool> transfer_due_{false};

  std::mutex noted_mutex_;
  std::deque<Noted> noted_;

  // One thread at a time shows requests, so that they are shown in order. Before mutex_.
  std::mutex show_mutex_;

  // The policy, the classes, and the heats of all slots.
  std::mutex mutex_;
  std::unique_ptr<EvictionPolicy> policy_;
  std::map<uint32_t, std::unique_ptr<ClassResidents>> classes_;
  std::map<uint32_t, Demand> demands_;
  uint64_t recorded_pages_ = 0;  // of all classes, when the policy was told last
  SplitMix sampler_;             // draws the pages whose worths stand for a class's
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_EVICTOR_H_
