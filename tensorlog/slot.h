// A slot in memory: what one page-sized place of a segment holds, and who may touch it.
//
//   tag    64 bits naming the page that lies there (TagOf of its fingerprint and checksum); 0: none
//   word   2 bits of state, 1 bit unproven, 24 bits of pins
//   root   the number of the root that the page belongs to
//   heat   16 bytes that belong to the eviction policy
//
//            take               publish              condemn
//   free ----------> writing ------------> live <--------------> condemned
//    ^ ^               |   ^                |        revive        |   |
//    | +---release-----+   +----------------|-------- take --------+   |
//    +-----------------free-----------------+------------free----------+
//
// Why a reader never holds a slot that is being overwritten. Whoever overwrites first *takes* the
// slot: one compare-exchange of the word from (free or condemned, no pins) to writing. Whoever
// reads first *pins* it: one compare-exchange from (live or condemned, n pins) to n + 1 pins, and
// then looks at the tag again. Both act on the same word, so one of them comes first. If the take
// was first, the pin finds `writing` and fails, or finds a later incarnation, whose tag was set
// before its publication (release) and is seen after the pin (acquire): the tag differs, the pin is
// undone, and nothing was read. If the pin was first, the take finds a pin and fails until the
// reader unpins (release), which the take's compare-exchange (acquire) comes after; so the reader's
// I/O is over before the first byte is overwritten. Every other change of a published slot
// (condemn, revive, free, prove) is made under a pin of one's own, for the same reason: what is
// pinned and bears the tag stays that page until it is unpinned.
//
// Changes of the word that end a pin or a write are sequentially consistent, and so are pins: who
// waits for a segment to become idle announces itself, then looks at the words; who ends a pin
// changes the word, then looks for such an announcement. One of the two sees the other.
//
// A slot can be freed while others have it pinned: its tag goes to 0 and its state to free at once,
// so that no entry resolves to it, and its bytes stay until the last pin is gone. Where its bytes
// have to go, it is *seized* instead: the state becomes writing, which keeps everybody out until
// the one who seized it has seen the last pin go, erased the bytes, and releases it.
#ifndef LAMINA_TENSORLOG_SLOT_H_
#define LAMINA_TENSORLOG_SLOT_H_

#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "engine/base/mutation.h"

namespace lamina {

// The values are on disk (slot_table_format.h).
enum class SlotState : uint8_t { kFree = 0, kWriting = 1, kLive = 2, kCondemned = 3 };

// Two words that the eviction policy owns. It may load and store each of them at any time;
// a slot that is taken starts with zeros. Losing an update in a race is legal.
inline constexpr size_t kHeatWords = 2;
using HeatValue = std::array<uint64_t, kHeatWords>;

// All functions are lock-free and may be called by any thread, except where a state is required.
class Slot {
 public:
  Slot() noexcept = default;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // 0 when the slot holds no page. A tag that equals an entry's tag is all that says that the entry
  // counts: it is non-zero from just before publication to the moment of being freed or taken.
  [[nodiscard]] uint64_t tag() const noexcept { return tag_.load(std::memory_order_acquire); }
  [[nodiscard]] SlotState state() const noexcept { return StateOf(Load()); }
  [[nodiscard]] uint32_t pins() const noexcept { return Load() >> kPinShift; }
  // The payload has not been verified since the page came from the journal, or from a slot table
  // after an unclean shutdown, or since it could not be read.
  [[nodiscard]] bool unproven() const noexcept { return (Load() & kUnproven) != 0; }
  [[nodiscard]] uint32_t root() const noexcept { return root_.load(std::memory_order_relaxed); }

  // Nothing is written here, and nobody has it pinned: its state and pins in one look.
  [[nodiscard]] bool idle() const noexcept {
    const uint32_t word = word_.load(std::memory_order_seq_cst);
    return (word >> kPinShift) == 0 && IsTakeable(StateOf(word));
  }

  [[nodiscard]] bool unpinned() const noexcept {
    return (word_.load(std::memory_order_seq_cst) >> kPinShift) == 0;
  }

  // Whether the sweep may overwrite the slot right now.
  [[nodiscard]] bool takeable() const noexcept {
    const uint32_t word = word_.load(std::memory_order_relaxed);
    return (word >> kPinShift) == 0 && IsTakeable(StateOf(word));
  }

  [[nodiscard]] uint64_t heat(size_t i) const noexcept {
    return heat_[i].load(std::memory_order_relaxed);
  }
  void set_heat(size_t i, uint64_t value) noexcept {
    heat_[i].store(value, std::memory_order_relaxed);
  }
  std::atomic<uint64_t>& heat_word(size_t i) noexcept { return heat_[i]; }

  // Free or condemned, without pins -> writing. Clears the tag. `was` gets the state before.
  bool Take(SlotState* was) noexcept {
    uint32_t word = word_.load(std::memory_order_relaxed);
    do {
      const bool pinned = (word >> kPinShift) != 0 && !Mutated(Mutation::kOverwritePinned);
      if (pinned || !IsTakeable(StateOf(word))) return false;
    } while (!word_.compare_exchange_weak(word, static_cast<uint32_t>(SlotState::kWriting),
                                          std::memory_order_acq_rel, std::memory_order_relaxed));
    // After the exchange: until here the page was whole and its entry right.
    if (!Mutated(Mutation::kKeepTag)) tag_.store(0, std::memory_order_release);
    *was = StateOf(word);
    return true;
  }

  // Writing -> live. Only by the one who took it, after its payload and journal block are complete.
  void Publish(uint64_t tag, uint32_t root) noexcept {
    assert(state() == SlotState::kWriting && tag != 0);
    for (auto& word : heat_) word.store(0, std::memory_order_relaxed);
    root_.store(root, std::memory_order_relaxed);
    tag_.store(tag, std::memory_order_release);
    // Nobody can pin a slot that is being written, so there is no pin to keep.
    word_.store(static_cast<uint32_t>(SlotState::kLive), std::memory_order_seq_cst);
  }

  // Writing -> free, by the one who took it.
  void Release() noexcept {
    assert(state() == SlotState::kWriting && tag() == 0);
    word_.store(static_cast<uint32_t>(SlotState::kFree), std::memory_order_seq_cst);
  }

  // Pins the slot if it is live or condemned and bears `tag`. While pinned it holds that page's
  // bytes.
  bool Pin(uint64_t tag) noexcept {
    uint32_t word = word_.load(std::memory_order_relaxed);
    do {
      if (!IsReadable(StateOf(word)) || (word >> kPinShift) == kMaxPins) return false;
    } while (!word_.compare_exchange_weak(word, word + kOnePin, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
    if (tag_.load(std::memory_order_acquire) == tag) return true;
    Unpin();
    return false;
  }
  void Unpin() noexcept {
    [[maybe_unused]] const uint32_t before = word_.fetch_sub(kOnePin, std::memory_order_seq_cst);
    assert((before >> kPinShift) != 0);
  }

  // Live <-> condemned, if the slot bears `tag`. False when nothing changed.
  bool Condemn(uint64_t tag) noexcept {
    return ChangeState(tag, SlotState::kLive, SlotState::kCondemned);
  }
  bool Revive(uint64_t tag) noexcept {
    return ChangeState(tag, SlotState::kCondemned, SlotState::kLive);
  }

  // Live or condemned -> free, if the slot bears `tag`; of several callers one gets true. `was`
  // gets the state before.
  bool Free(uint64_t tag, SlotState* was) noexcept { return Withdraw(tag, SlotState::kFree, was); }
  // The same, into state writing: the one who gets true is the one to Release it when there are no
  // pins.
  bool Seize(uint64_t tag, SlotState* was) noexcept {
    return Withdraw(tag, SlotState::kWriting, was);
  }

  // The payload of the page `tag` was verified. False when the slot bears another.
  bool MarkProven(uint64_t tag) noexcept {
    if (!unproven()) return this->tag() == tag;
    if (!Pin(tag)) return false;
    word_.fetch_and(~kUnproven, std::memory_order_relaxed);
    Unpin();
    return true;
  }

  // It is not known any more whether the payload is the page's. False when the slot bears another.
  bool Doubt(uint64_t tag) noexcept {
    if (!Pin(tag)) return false;
    uint32_t word = word_.load(std::memory_order_relaxed);
    uint32_t next;
    do {
      // It may have been freed since.
      next = (IsReadable(StateOf(word)) ? word | kUnproven : word) - kOnePin;
    } while (!word_.compare_exchange_weak(word, next, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
    return true;
  }

  // Sets everything at once. Only while no other thread uses the slot: loading, replay.
  void Restore(SlotState state, bool unproven, uint64_t tag, uint32_t root,
               const HeatValue& heat) noexcept {
    for (size_t i = 0; i < kHeatWords; ++i) set_heat(i, heat[i]);
    root_.store(root, std::memory_order_relaxed);
    tag_.store(tag, std::memory_order_release);
    word_.store(static_cast<uint32_t>(state) | (unproven ? kUnproven : 0),
                std::memory_order_release);
  }

 private:
  static constexpr uint32_t kStateMask = 3;
  static constexpr uint32_t kUnproven = 4;
  static constexpr unsigned kPinShift = 8;
  static constexpr uint32_t kOnePin = 1u << kPinShift;
  static constexpr uint32_t kPinMask = ~(kOnePin - 1);
  // Two more than any honest number of readers; keeps the count from wrapping.
  static constexpr uint32_t kMaxPins = (1u << 24) - 2;

  static SlotState StateOf(uint32_t word) noexcept {
    return static_cast<SlotState>(word & kStateMask);
  }
  static bool IsTakeable(SlotState s) noexcept {
    return s == SlotState::kFree || s == SlotState::kCondemned;
  }
  static bool IsReadable(SlotState s) noexcept {
    return s == SlotState::kLive || s == SlotState::kCondemned;
  }
  [[nodiscard]] uint32_t Load() const noexcept { return word_.load(std::memory_order_acquire); }

  bool Withdraw(uint64_t tag, SlotState to, SlotState* was) noexcept {
    if (!Pin(tag)) return false;
    if (!tag_.compare_exchange_strong(tag, 0, std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) {
      Unpin();
      return false;
    }
    // Our pin keeps takers out, and only the one who cleared the tag may free: the state is live or
    // condemned until we change it. The pins of others stay.
    uint32_t word = word_.load(std::memory_order_relaxed);
    while (!word_.compare_exchange_weak(word,
                                        ((word & kPinMask) - kOnePin) | static_cast<uint32_t>(to),
                                        std::memory_order_seq_cst, std::memory_order_relaxed)) {
    }
    *was = StateOf(word);
    return true;
  }

  bool ChangeState(uint64_t tag, SlotState from, SlotState to) noexcept {
    if (!Pin(tag)) return false;
    uint32_t word = word_.load(std::memory_order_relaxed);
    bool changed;
    uint32_t next;
    do {
      // Another thread may have freed or changed it since; then only our pin goes.
      changed = StateOf(word) == from;
      next = changed ? (word & ~kStateMask) | static_cast<uint32_t>(to) : word;
      next -= kOnePin;
    } while (!word_.compare_exchange_weak(word, next, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
    return changed;
  }

  std::atomic<uint64_t> tag_{0};
  std::atomic<uint32_t> word_{0};
  std::atomic<uint32_t> root_{0};
  std::array<std::atomic<uint64_t>, kHeatWords> heat_{};
};

static_assert(sizeof(Slot) == 32, "memory budgets count on it");
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_SLOT_H_
