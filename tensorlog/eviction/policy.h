// Which page goes next, and whether a new page is worth writing at all.
//
// A policy is pure: no I/O, no locks, no threads, no clock but the requests it was shown. The same
// calls with the same seed give the same answers, so ranks that see the same requests evict the
// same pages. The engine owns the pages; the policy owns 8 bytes a page, the `Heat`, which the
// engine keeps in the page's slot and which means nothing to it. Beside that the policy has a model
// and a bounded number of records of pages seen recently, resident or not.
//
// Not thread-safe: the engine calls a policy under one mutex, which also covers the heats of slots.
//
// How a store drives it. A request is one path, counted once over its probe, get and put:
//
//   first call on the path   OnRequest(all pages of the path), which fills in every page's heat.
//                            Store it in the slots of those that are readable, make those that were
//                            condemned live again, then TrimToCapacity without newcomers. Keep the
//                            other heats with the path, for its put.
//   later calls on it        nothing.
//   put of m new pages       TrimToCapacity with their heats; take slots for, and write, as many
//                            leading ones as it returns; the rest is rejected. What another call
//                            made resident since is no newcomer. Slots get the heats kept.
//   touch of [a, b)          OnRequest(pages [0, b)), always, and the same as for a first call.
//   erase, overwriting       nothing: the policy holds no pages.
//   open                     Load; OnRecovered(every live heat). Checkpoint and close: Save.
#ifndef LAMINA_TENSORLOG_EVICTION_POLICY_H_
#define LAMINA_TENSORLOG_EVICTION_POLICY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace lamina {

// A slot's number within its class, dense from 0.
using PageHandle = uint32_t;
inline constexpr PageHandle kNoPage = UINT32_MAX;

// What a policy knows of a page that has a slot. Opaque to the engine; saved with the slot. Any
// bytes are legal: a lost or damaged heat costs hits, never correctness.
struct Heat {
  uint32_t tick = 0;  // when the page was used last, on the policy's clock
  uint32_t bits = 0;
  friend bool operator==(const Heat&, const Heat&) = default;
};
static_assert(sizeof(Heat) == 8);

// One page of a request.
struct RequestPage {
  uint64_t key = 0;       // in: the page's fingerprint
  Heat heat;              // in, where readable: its slot's. Out: what its slot is to hold
  bool readable = false;  // in: a live or condemned slot holds it, as far as the engine knows
  bool seen = false;      // out: readable, or seen recently (what admission=second_use asks)
};

struct RequestShape {
  // Keys that each name a page alone: path features stay neutral.
  bool flat = false;
  // Pages that make about 512 tokens, the unit in which path lengths count. At least 1.
  uint32_t pages_per_unit = 1;
};

// The pages of one slot class, as the engine shows them to a policy. Called under the policy's
// mutex.
class Residents {
 public:
  virtual ~Residents() = default;

  // Slots of the class; handles are below it.
  [[nodiscard]] virtual uint32_t slot_count() const noexcept = 0;
  // Live (not condemned) pages now, and how many there may be.
  [[nodiscard]] virtual uint64_t live_pages() const noexcept = 0;
  [[nodiscard]] virtual uint64_t capacity_pages() const noexcept = 0;
  // Whether the slot holds a live page; its heat if so. Slots from slot_count() on hold none.
  [[nodiscard]] virtual bool Live(PageHandle slot, Heat* heat) const noexcept = 0;
  // Where the page behind this one may lie, on the path that used it last; kNoPage if unknown. A
  // guess: the policy compares heats.
  [[nodiscard]] virtual PageHandle LastChild(PageHandle slot) const noexcept = 0;
  // Replaces the heat of a live page.
  virtual void SetHeat(PageHandle slot, const Heat& heat) noexcept = 0;
  // The page is live no longer. It stays readable until its slot is overwritten.
  virtual void Condemn(PageHandle slot) noexcept = 0;

 private:
  friend class VictimSearch;
  // The policy's notes from one search for a victim to the next.
  static constexpr size_t kPoolSize = 8;
  std::array<PageHandle, kPoolSize> pool_{};
  size_t pool_size_ = 0;
};

enum class PolicyKind : uint8_t { kPrhd = 0, kLru = 1, kS3Fifo = 2 };

struct PolicyOptions {
  PolicyKind kind = PolicyKind::kPrhd;
  uint64_t seed = 1;
  // Pages that may be live. Records are kept for max(20,000, 4 * capacity_pages) pages beyond them.
  uint64_t capacity_pages = 0;
  // Bound on the memory of records, bytes: about 36 a record, a record a unit.
  uint64_t record_bytes = uint64_t{64} << 20;
};

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  // A request for pages [0, n) of a path, shallowest first; or for independent pages, if flat.
  virtual void OnRequest(const RequestShape& shape, std::span<RequestPage> pages) noexcept = 0;

  // Does what the last request's answer did not need: what there is to learn. At a time when nobody
  // waits; the next request does it otherwise, with the same outcome.
  virtual void Settle() noexcept {}

  // Appends to `victims` between 1 and `want` live pages that are to go next: the deepest resident
  // ones of a path, of one unit at most. Appends nothing when there is no live page, or when
  // `newcomer`, a page not yet written, is worth less than what would go for it. A newcomer is
  // never kept at the cost of its own ancestors; `admit_all`: at the cost of all others.
  virtual void PickVictims(Residents& residents, const Heat* newcomer, bool admit_all, size_t want,
                           std::vector<PageHandle>* victims) noexcept = 0;

  // What it is worth to keep the page, to compare pages of one moment by. Higher is better.
  [[nodiscard]] virtual double Worth(const Heat& heat) const noexcept = 0;

  // Changes how many records are kept.
  virtual void SetCapacity(uint64_t capacity_pages, uint64_t record_bytes) noexcept = 0;
  // Memory in use, bytes.
  [[nodiscard]] virtual uint64_t memory_bytes() const noexcept = 0;

  // Appends what was learned, and the records, as bytes (format: eviction/state_format.h).
  virtual void Save(std::string* out) noexcept = 0;
  // Replaces the state by a saved one. On an error nothing is changed: kCorruption if the bytes are
  // damaged, kNotSupported if they are another policy's or of another version.
  virtual Status Load(std::string_view bytes) noexcept = 0;
  // The heat of a page of which nothing is known but that it was put just now: for pages that
  // recovery finds in the journal.
  [[nodiscard]] virtual Heat UnknownHeat() const noexcept = 0;
  // A heat that a slot had when the store was opened: the clock goes on behind the latest one, also
  // where the saved state is older or lost.
  virtual void OnRecovered(const Heat& heat) noexcept = 0;

  // The model in numbers, as a JSON object.
  [[nodiscard]] virtual std::string Explain() const noexcept = 0;
};

std::unique_ptr<EvictionPolicy> MakePolicy(const PolicyOptions& options) noexcept;

// Condemns pages until the live ones and the newcomers fit the capacity, and returns how many
// leading newcomers are to be written. `newcomers` are the heats of pages of one path that are to
// be put, shallowest first; `admit_all`: they are worth more than any page of another path.
size_t TrimToCapacity(EvictionPolicy& policy, Residents& residents, std::span<const Heat> newcomers,
                      bool admit_all) noexcept;

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_POLICY_H_
